"""All that prints: results to stdout; progress, notes and errors to stderr."""
