"""Labelled lines listed in tables of any kind: which columns hold image and text is found by their cells."""
