"""The shared core: returns data, never prints, knows nothing of the command line."""
