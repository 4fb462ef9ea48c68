"""Labelling in the browser: lines, decisions, the order in which they are shown, and what is written."""
