"""One optimizer step: the losses, the micro-batches, what is done about numbers that are not finite."""
