"""Servers: the labelling pages and the HTTP API that reads lines. What needs starlette is loaded by them alone."""
