"""Labelled lines out of whatever people keep them in."""
