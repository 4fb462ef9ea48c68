"""Folders of labelled lines: what they hold, which split of it is wanted, labels beside images."""
