"""Validation: when, and how."""
