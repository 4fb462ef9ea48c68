"""Files that torch wrote: read without executing anything, in memory for as many bytes as they have."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vocr_cli.core.models.zip_size import refuse_inflation


class NotPlain(Exception):
    """A file holds what no tensor of weights is: the message completes "cannot be read: …"."""


def system_error(error: Exception) -> Exception:
    """Returns what the system said where `torch.save` tells only that it did not get as far as it wanted."""
    return error.__context__ if isinstance(error.__context__, OSError) else error


def load_tensors(path: Path) -> Any:
    """What a file holds: tensors on the CPU, numbers, texts, and lists and dictionaries of these.

    Raises:
        NotPlain: Parts of it are packed, or a tensor is not backed by as many numbers as it claims.
        Exception: Of any kind, by torch: the file is missing, damaged, or holds other objects.
    """
    refuse_inflation(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pickles that it will refuse in a moment
        content = torch.load(path, map_location="cpu", weights_only=True)
    for tensor in _tensors(content):
        if tensor.layout is not torch.strided or tensor.is_meta or tensor.is_quantized:
            raise NotPlain("a tensor in it is not stored number by number")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise NotPlain(f"a tensor of {tensor.numel():,} numbers is stored in fewer")
    return content


def _tensors(content: Any) -> Iterator[Tensor]:
    waiting, seen = [content], set[int]()
    while waiting:
        value = waiting.pop()
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, dict | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            waiting.extend(value.values() if isinstance(value, dict) else value)
