"""From facts and timings to a config, each value with its reason."""
