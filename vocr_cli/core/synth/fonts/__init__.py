"""Which faces draw them, and their glyphs."""
