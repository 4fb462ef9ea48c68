"""Readings kept from run to run."""
