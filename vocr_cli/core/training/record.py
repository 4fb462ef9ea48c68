"""Keeps the events of a run in events.jsonl, and turns signals into a wish to stop."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from vocr_cli.core.training.events import Event, to_json


def recorded(events: Iterable[Event], path: Path) -> Iterator[Event]:
    """Passes events on, each appended to `path` as one line of JSON with its Unix time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8", buffering=1) as file:
        for event in events:
            file.write(
                json.dumps({"time": round(time.time(), 3), **to_json(event)}, ensure_ascii=False) + "\n"
            )
            yield event


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """While the block runs, the first Ctrl-C or SIGTERM only sets a flag; the second acts as usual."""
    seen: list[int] = []
    before: dict[signal.Signals, object] = {}

    def note(number: int, _: FrameType | None) -> None:
        seen.append(number)
        for other, handler in before.items():
            signal.signal(other, handler)  # type: ignore[arg-type]

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, note)
    try:
        yield lambda: bool(seen)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
