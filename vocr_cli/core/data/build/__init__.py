"""Building and checking databases."""
