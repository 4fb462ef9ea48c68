"""Keeps the events of a run in events.jsonl, and turns signals into a wish to stop."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from vocr_cli.core.training.record.curves import draw_curves
from vocr_cli.core.training.record.events import Event, Started, Stopped, Validated, to_json
from vocr_cli.core.training.record.unwritable import writing


def recorded(events: Iterable[Event], path: Path) -> Iterator[Event]:
    """Passes events on, each appended to `path` as one line of JSON with its Unix time.

    When a run goes on from a checkpoint, what it recorded after that is cut off first: it does it again.

    Raises:
        ModelError: `path` cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path):
        file = open(path, "ab", buffering=0)
    with file:
        for event in events:
            line = json.dumps({"time": round(time.time(), 3), **to_json(event)}, ensure_ascii=False)
            with writing(path):
                if isinstance(event, Started):
                    os.truncate(path, _sound_bytes(path, event.step))
                rest = f"{line}\n".encode()
                while rest:
                    rest = rest[file.write(rest) :]
            yield event


def _sound_bytes(path: Path, step: int) -> int:
    """Returns after how many bytes of a record what belongs to a checkpoint of that step ends.

    Behind it stand later steps, a line half written, and scores of the step itself that were recorded after
    its checkpoint was written, and will be recorded again.
    """
    end, saved = 0, False
    for line in path.read_bytes().splitlines(keepends=True):
        try:
            event = json.loads(line)
        except ValueError:
            break
        if event["step"] > step or (saved and event["event"] in ("StepDone", "Validated")):
            break
        here = event["step"] == step and event["event"] == "Saved"
        saved = saved or (here and event["path"].endswith(".pt"))
        end += len(line)
    return end


def with_curves(events: Iterable[Event], folder: Path, every_s: float = 60.0) -> Iterator[Event]:
    """Passes recorded events on, and draws the run folder's curves.png: at validations and at the end.

    Args:
        events: As `recorded` gives them.
        folder: Holds events.jsonl.
        every_s: Validations sooner after the last picture than this draw none.

    Raises:
        ModelError: The picture cannot be written.
    """
    drawn = -math.inf
    for event in events:
        yield event
        over = isinstance(event, Stopped)
        if over or (isinstance(event, Validated) and time.monotonic() - drawn >= every_s):
            with writing(folder / "curves.png"):
                draw_curves(folder / "events.jsonl", folder / "curves.png")
            drawn = time.monotonic()


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """While the block runs, the first Ctrl-C or SIGTERM only sets a flag; the second acts as usual."""
    received: list[int] = []
    before: dict[signal.Signals, object] = {}

    def note(number: int, _: FrameType | None) -> None:
        received.append(number)
        for other, handler in before.items():
            signal.signal(other, handler)  # type: ignore[arg-type]

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, note)
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
