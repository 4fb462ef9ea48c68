"""From what a detector found to images of lines."""
