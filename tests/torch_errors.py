"""Errors that some versions of torch do not have."""

from __future__ import annotations

import torch

AcceleratorError: type[RuntimeError] = getattr(torch, "AcceleratorError", RuntimeError)
"""Of CUDA's runtime, from torch 2.8 on; a plain RuntimeError before."""
