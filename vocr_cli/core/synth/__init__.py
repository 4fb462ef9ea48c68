"""Rendering of labelled Vietnamese lines."""
