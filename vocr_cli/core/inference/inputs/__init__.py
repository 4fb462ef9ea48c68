"""Where the lines to read come from."""
