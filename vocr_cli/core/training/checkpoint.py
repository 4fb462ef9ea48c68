"""Checkpoints of a run: tensors and plain Python only, written to a temporary name, flushed, renamed."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from vocr_cli.core.errors import ModelError
from vocr_cli.core.machine.atomic_write import atomic_write
from vocr_cli.core.models.torch_files import load_tensors, system_error
from vocr_cli.core.training.record.events import Saved
from vocr_cli.core.training.record.unwritable import unwritable
from vocr_cli.core.training.resume import run_folder
from vocr_cli.core.training.upgrade_checkpoint import FORMAT, upgrade_checkpoint


class Checkpointed(Protocol):
    """A run, as far as its checkpoints go; after `Stateful` of torch.distributed.checkpoint."""

    @property
    def step(self) -> int:
        """Steps done."""
        ...

    @property
    def is_primary(self) -> bool:
        """Whether this process writes for all ranks."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Returns everything that a resumed run needs; all ranks call it together."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from what `state_dict` gave.

        Raises:
            ModelError: It is another run's.
        """
        ...


class CheckpointStore:
    """The checkpoints of one run: last.pt, and as many older ones as the run keeps.

    Args:
        folder: Where they are.
        keep: How many there are, last.pt included.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self._folder, self._keep = folder, keep
        self._last_step: int | None = None
        """The step of last.pt, where it is sound and known."""

    @property
    def last_path(self) -> Path:
        """The checkpoint that --resume reads."""
        return self._folder / "last.pt"

    @property
    def best_path(self) -> Path:
        """The model of the best validation so far; the latest where nothing is validated."""
        return self._folder / "best.safetensors"

    def save(self, run: Checkpointed) -> Saved:
        """Writes last.pt, on rank 0, for all ranks.

        Raises:
            ModelError: The file cannot be written.
        """
        state = {"format": FORMAT, **run.state_dict()}
        before, self._last_step = self._last_step, run.step
        if run.is_primary:
            if before not in (None, run.step):
                keep_older(self.last_path, before, self._keep)
            save_checkpoint(self.last_path, state)
        return Saved(run.step, self.last_path)

    def load_latest(self) -> tuple[dict[str, Any], str]:
        """Reads last.pt, or where it is damaged the newest older one; see the function `load_latest`."""
        return load_latest(self.last_path)

    def restore(self, run: Checkpointed) -> str:
        """Puts a run where its latest sound checkpoint left it.

        Returns:
            A note where that is not last.pt; otherwise empty.

        Raises:
            ModelError: No checkpoint, or one of another run.
        """
        state, note = self.load_latest()
        run.load_state_dict(state)
        self._last_step = None if note else run.step
        return note


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Replaces `path` in one step, so that a kill leaves the old one or the new one.

    Raises:
        ModelError: The file cannot be written; the checkpoint before it is still there.
    """
    try:
        with atomic_write(path, only_writer=True) as temporary, open(temporary, "wb") as file:
            torch.save(state, file)
    except (OSError, RuntimeError) as error:
        raise unwritable(path, system_error(error), run_folder(path)) from None


def keep_older(path: Path, step: int, keep: int) -> None:
    """Gives the checkpoint at `path` a name of its own before it is replaced, and drops the oldest.

    Args:
        path: The last checkpoint, of `step`. It stays.
        step: Names the copy: step-00000120.pt.
        keep: Checkpoints to have once `path` is replaced, itself included.

    Raises:
        ModelError: The copy cannot be written.
    """
    copy = path.with_name(f"step-{step:08d}.pt")
    if keep > 1 and path.exists():
        try:
            copy.unlink(missing_ok=True)
            try:
                os.link(path, copy)  # takes no room, and is there at once
            except OSError:  # no hard links on this file system
                with atomic_write(copy, only_writer=True) as temporary:
                    shutil.copyfile(path, temporary)
        except OSError as error:
            raise unwritable(copy, error, run_folder(path)) from None
    for old in _older(path)[keep - 1 :]:
        old.unlink(missing_ok=True)


def load_latest(path: Path) -> tuple[dict[str, Any], str]:
    """Reads the checkpoint at `path`, or the newest older one beside it where that is damaged or gone.

    Returns:
        The state, its keys those of this version, and a note where it is not that of `path`; otherwise empty.

    Raises:
        ModelError: None can be read, or the newest that can be is of another version.
    """
    try:
        return _of_this_format(load_checkpoint(path), path), ""
    except ModelError as error:
        for older in _older(path) if not isinstance(error, _OtherFormat) else []:
            try:
                state = load_checkpoint(older)
            except ModelError:
                continue
            return _of_this_format(state, older), f"{error.problem} Going on from {older.name} instead."
        raise


class _OtherFormat(ModelError):
    """A sound checkpoint that this version does not go on from."""


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint without executing anything from it.

    Raises:
        ModelError: Missing or damaged.
    """
    try:
        state: dict[str, Any] = load_tensors(path)
    except FileNotFoundError:
        raise ModelError(
            f"No checkpoint at {path}.",
            "Name the folder of a run, or leave out --resume to begin one: vocr train CONFIG --out FOLDER.",
        ) from None
    except Exception as error:
        raise ModelError(
            f"{path} is not a checkpoint, or is damaged: {error}", "Begin anew without --resume."
        ) from None
    return state


def random_states() -> dict[str, Any]:
    """Returns where the generators of torch, the GPU that this process is on, numpy and Python stand.

    A GPU that was not used yet is left alone: to ask it takes some hundred MB of its memory.
    """
    name, keys, *rest = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": [torch.cuda.get_rng_state()] if torch.cuda.is_initialized() else [],
        "mps": torch.mps.get_rng_state() if torch.backends.mps.is_available() else None,
        "numpy": [name, torch.from_numpy(np.asarray(keys, np.int64)), *rest],
        "python": random.getstate(),
    }


def set_random_states(states: dict[str, Any]) -> None:
    """Puts the generators where `random_states` found them; a GPU's where this process is on one as well.

    Older checkpoints hold the state of every GPU that the machine had: of these, the one of this index
    counts.
    """
    torch.set_rng_state(states["torch"])
    of_gpus = states["cuda"]
    if torch.cuda.is_initialized() and of_gpus:
        index = torch.cuda.current_device() if len(of_gpus) > 1 else 0
        if len(of_gpus) in (1, torch.cuda.device_count()):
            torch.cuda.set_rng_state(of_gpus[index])
    if states.get("mps") is not None and torch.backends.mps.is_available():
        torch.mps.set_rng_state(states["mps"])
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))


def _older(path: Path) -> list[Path]:
    """The older checkpoints beside `path`, newest first."""
    return sorted(path.parent.glob("step-*.pt"), reverse=True)


def _of_this_format(state: dict[str, Any], path: Path) -> dict[str, Any]:
    state = upgrade_checkpoint(state)
    if state.get("format") != FORMAT:
        raise _OtherFormat(
            f"{path} is of another version of vocr, whose runs this one does not go on with.",
            "Start a new run from its best.safetensors with --init.",
        )
    return state
