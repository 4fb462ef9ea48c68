"""A run's events as TensorBoard shows them."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from vocr_cli.core.errors import DependencyError
from vocr_cli.core.training.record.events import Event, Started, StepDone, Validated
from vocr_cli.core.training.record.unwritable import writing

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_WITHOUT_SCALAR = ("step", "lines", "best", "full")


def check_tensorboard() -> None:
    """Looks whether the package is there.

    Raises:
        DependencyError: It is not.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise DependencyError(
            "train.tensorboard needs the package tensorboard.",
            "Install it with `pip install 'vocr-cli[tensorboard]'`, or set train.tensorboard to false.",
        )


def with_tensorboard(events: Iterable[Event], folder: Path) -> Iterator[Event]:
    """Passes events on; numbers become scalars, sample readings text, by the step of the run.

    A run that goes on from an earlier step takes back what was logged after it.

    Raises:
        DependencyError: tensorboard is not installed.
        ModelError: Its files cannot be written.
    """
    check_tensorboard()
    from torch.utils.tensorboard import SummaryWriter

    writer: SummaryWriter | None = None
    try:
        for event in events:
            with writing(folder):
                if isinstance(event, Started):
                    writer = SummaryWriter(str(folder), purge_step=event.step + 1)
                elif writer is not None and isinstance(event, StepDone | Validated):
                    _log(writer, event)
            yield event
    finally:
        if writer is not None:
            with writing(folder):
                writer.close()


def _log(writer: SummaryWriter, event: StepDone | Validated) -> None:
    group = "train" if isinstance(event, StepDone) else "validation" if event.full else "quick"
    if isinstance(event, Validated) and event.lines == 0:
        return
    for field in fields(event):
        value = getattr(event, field.name)
        if field.name not in _WITHOUT_SCALAR and isinstance(value, int | float) and math.isfinite(value):
            writer.add_scalar(f"{group}/{field.name}", value, event.step)
    if isinstance(event, Validated):
        rows = "".join(f"    label    {label}\n    reading  {read}\n\n" for label, read in event.samples)
        writer.add_text(f"{group}/readings", rows, event.step)
        writer.flush()
