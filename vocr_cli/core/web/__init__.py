"""Servers: the labelling pages, and the HTTP API that reads lines."""
