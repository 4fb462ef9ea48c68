"""A character n-gram model of text: how likely the next letter is after those before it."""
