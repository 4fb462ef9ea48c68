"""Commands that serve pages and an HTTP API."""
