"""Lines of several lengths in one batch: where each one ends. B lines, S columns."""

from __future__ import annotations

import torch
from torch import Tensor

from vocr_cli.core.errors import ModelError


def check_columns(columns: int, table: int) -> None:
    """Refuses lines of more columns than a model's table of positions holds.

    Raises:
        ModelError: They are too long.
    """
    if columns > table:
        raise ModelError(
            f"A line has {columns} columns, this model's table of positions ends at {table}.",
            "Lower `image.max_width_px`.",
        )


def padded_columns(lengths: Tensor | None, features: Tensor) -> Tensor | None:
    """Returns where (S, B, hidden) features stand behind the end of their line, (B, S) bool; None: nowhere.

    Raises:
        ValueError: The lengths are not (B,) numbers from 1 to S.
    """
    if lengths is None:
        return None
    columns, lines = features.shape[:2]
    if lengths.shape != (lines,) or not bool(((lengths >= 1) & (lengths <= columns)).all()):
        raise ValueError(f"lengths {lengths.tolist()} do not fit {lines} lines of up to {columns} columns")
    return torch.arange(columns, device=features.device) >= lengths.to(features.device)[:, None]


def padding_bias(padded: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """Returns what is added to attention scores, (B, 1, 1, S): -inf where `padded` (B, S) is true, else 0."""
    if padded is None:
        return None
    return torch.zeros(padded.shape, dtype=dtype, device=padded.device).masked_fill_(padded, -torch.inf)[
        :, None, None
    ]
