"""The way of a line from files to batches."""
