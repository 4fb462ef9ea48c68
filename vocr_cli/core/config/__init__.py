"""Settings: the tree of a run, the model families, and what is said about faults in them."""
