"""From stored or rendered lines to the batches of a training step."""
