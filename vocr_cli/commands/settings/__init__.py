"""Commands that explain: the settings of a run, and what is installed."""
