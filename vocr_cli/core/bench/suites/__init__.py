"""The suites of `vocr bench`."""
