"""Reading on a Ray cluster."""
