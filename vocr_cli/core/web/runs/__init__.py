"""Training from the labelling page: the commands, the process, and how a run goes."""
