"""Checkpoints: tensors and plain Python only, written to a temporary name, flushed, renamed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from vocr_cli.core.errors import ModelError


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Replaces `path` in one step, so that a kill leaves the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    with open(temporary, "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint without executing anything from it.

    Raises:
        ModelError: Missing or damaged.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ModelError(
            f"No checkpoint at {path}.",
            "Leave out --resume to begin anew, or name the run's folder with --out.",
        ) from None
    except Exception as error:
        raise ModelError(
            f"{path} is not a checkpoint, or is damaged: {error}", "Begin anew without --resume."
        ) from None
    return state
