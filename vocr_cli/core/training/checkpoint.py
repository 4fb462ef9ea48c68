"""Checkpoints: tensors and plain Python only, written to a temporary name, flushed, renamed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from vocr_cli.core.errors import ModelError
from vocr_cli.core.models.files import UNWRITABLE


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Replaces `path` in one step, so that a kill leaves the old one or the new one.

    Raises:
        ModelError: The file cannot be written; the checkpoint before it is still there.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        if path.parent.is_dir():
            temporary.unlink(missing_ok=True)
        raise ModelError(f"{path} cannot be written: {error}.", f"{UNWRITABLE} Then --resume.") from None


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
