"""Text files that list images with their labels, and where those images are."""
