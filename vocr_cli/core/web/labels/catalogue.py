"""The lines to be labelled, and what is known of each while they are listed, read and decided. N lines."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from rapidfuzz.distance import Levenshtein

from vocr_cli.core.inference.inputs.sources import LineInput
from vocr_cli.core.inference.reading import Reading
from vocr_cli.core.web.labels.source import SourceLine

_START_LINES = 1024
UNDECIDED, TEXT, UNREADABLE, NOT_A_LINE = range(4)
STATE_OF = {"undecided": UNDECIDED, "text": TEXT, "unreadable": UNREADABLE, "not-a-line": NOT_A_LINE}
"""Numbers of the verdicts in `Catalogue.state`."""


@dataclass(frozen=True, slots=True)
class LineReading:
    """What a model read, or why it could not; the confidences of characters are bytes, 255 stands for 1."""

    text: str
    confidence: float
    chars: bytes = b""
    flags: tuple[str, ...] = ()
    error: str = ""

    @classmethod
    def of(cls, reading: Reading) -> LineReading:
        """The compact form of a reading."""
        return cls(reading.text, reading.confidence, as_bytes(reading.char_confidences), reading.flags)


def as_bytes(confidences: tuple[float, ...]) -> bytes:
    """Confidences, 0..1, in steps of 1/255."""
    return bytes(round(255 * min(1.0, max(0.0, value))) for value in confidences)


class Catalogue:
    """Lines by index, in the order of their source; only grows. Several threads may use it.

    Attributes:
        lock: Held while lines are added or changed, and by who looks at several at once.
        lines: N images.
        names: N names.
        labels: N labels that the source has, or None.
        readings: N readings of the model, or of the file of readings, or None.
        second: N readings of the second model, or None.
        state: (N,) uint8: see `STATE_OF`.
        confidence: (N,) float32; NaN: not read yet.
        disagreement: (N,) float32: share of characters in which label and readings differ; NaN: not known.
        length: (N,) int32, characters of the label, or else of the reading.
        changed: (N,) bool: the image is another than when it was decided about.
        is_complete: Whether all lines are listed.
        duplicates: Lines that were left out, since another has their name.
        revision: Grows with every change.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.grown = threading.Condition(self.lock)
        self.lines: list[LineInput] = []
        self.names: list[str] = []
        self.labels: list[str | None] = []
        self.readings: list[LineReading | None] = []
        self.second: list[LineReading | None] = []
        self.is_complete = False
        self.duplicates = 0
        self.revision = 0
        self._index_of: dict[str, int] = {}
        self._touched = np.zeros(_START_LINES, np.int64)
        self._read_at = np.zeros(_START_LINES)
        self._state = np.zeros(_START_LINES, np.uint8)
        self._changed = np.zeros(_START_LINES, bool)
        self._confidence = np.full(_START_LINES, np.nan, np.float32)
        self._disagreement = np.full(_START_LINES, np.nan, np.float32)
        self._length = np.zeros(_START_LINES, np.int32)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def state(self) -> np.ndarray:
        """(N,) uint8: see `STATE_OF`."""
        return self._state[: len(self.names)]

    @property
    def changed(self) -> np.ndarray:
        """(N,) bool: whether the image is another than when it was decided about."""
        return self._changed[: len(self.names)]

    @property
    def confidence(self) -> np.ndarray:
        """(N,) float32; NaN: not read yet."""
        return self._confidence[: len(self.names)]

    @property
    def disagreement(self) -> np.ndarray:
        """(N,) float32, 0..1; NaN: there are no two texts to compare."""
        return self._disagreement[: len(self.names)]

    @property
    def length(self) -> np.ndarray:
        """(N,) int32, characters."""
        return self._length[: len(self.names)]

    def index(self, name: str) -> int | None:
        """The index of a line by its name."""
        return self._index_of.get(name)

    def add(self, given: SourceLine, state: int = UNDECIDED) -> int | None:
        """Takes a line; None: there is one of that name already."""
        with self.lock:
            if given.name in self._index_of:
                self.duplicates += 1
                return None
            index = len(self.names)
            if index == len(self._state):
                self._grow()
            self._index_of[given.name] = index
            self._state[index] = state
            self.lines.append(given.line)
            self.labels.append(given.label)
            self.readings.append(None)
            self.second.append(None)
            self.names.append(given.name)  # last: it makes the line count
            if given.reading is not None:
                chars = as_bytes(given.reading.char_confidences)
                self.set_reading(index, LineReading(given.reading.text, given.reading.confidence, chars))
            else:
                self._length[index] = len(given.label or "")
            self._touch(index)
            self.grown.notify_all()
            return index

    def complete(self) -> None:
        """All lines are listed."""
        with self.lock:
            self.is_complete = True
            self.grown.notify_all()

    def wait_for_lines(self, seconds: float) -> None:
        """Returns when a line is listed, or it is known that there is none, or after so long."""
        with self.lock:
            self.grown.wait_for(lambda: self.names or self.is_complete, seconds)

    def set_reading(self, index: int, reading: LineReading, second: bool = False) -> None:
        """Takes the reading of a line, by the model or by the second one."""
        with self.lock:
            (self.second if second else self.readings)[index] = reading
            first, other = self.readings[index], self.second[index]
            self._read_at[index] = time.time()
            if first is not None and not first.error:
                self._confidence[index] = first.confidence
            self._length[index] = len(self.labels[index] or (first.text if first else ""))
            read = [one.text for one in (first, other) if one is not None and not one.error]
            label = self.labels[index]
            known = read if label is None else [label, *read]
            if len(known) > 1:
                distance = Levenshtein.normalized_distance
                self._disagreement[index] = max(distance(known[0], text) for text in known[1:])
            self._touch(index)

    def forget_readings(self, index: int) -> None:
        """The image is another one: what was read of it means nothing any more."""
        with self.lock:
            self.readings[index] = self.second[index] = None
            self._confidence[index] = self._disagreement[index] = np.nan
            self._read_at[index] = 0
            self._touch(index)

    def was_read_before(self, index: int, moment: float) -> bool:
        """Whether a line was read by a model, and before that moment (s since 1970)."""
        return 0 < self._read_at[index] < moment

    def set_state(self, index: int, state: int) -> None:
        """Takes a verdict on a line."""
        with self.lock:
            self._state[index] = state
            self._changed[index] = False
            self._touch(index)

    def set_changed(self, index: int) -> None:
        """Notes that a decided line's image is another one now."""
        with self.lock:
            self._changed[index] = True
            self._touch(index)

    def texts(self, index: int) -> Iterator[str]:
        """What is to be searched of a line: name, label and reading."""
        yield self.names[index]
        if (label := self.labels[index]) is not None:
            yield label
        if (reading := self.readings[index]) is not None:
            yield reading.text

    def touched_since(self, revision: int) -> list[int]:
        """Indices of the lines that were added or changed after the catalogue had that `revision`."""
        touched: list[int] = np.flatnonzero(self._touched[: len(self.names)] > revision).tolist()
        return touched

    def _touch(self, index: int) -> None:
        self.revision += 1
        self._touched[index] = self.revision

    def _grow(self) -> None:
        self._read_at = np.concatenate([self._read_at, np.zeros_like(self._read_at)])
        self._touched = np.concatenate([self._touched, np.zeros_like(self._touched)])
        self._state = np.concatenate([self._state, np.zeros_like(self._state)])
        self._changed = np.concatenate([self._changed, np.zeros_like(self._changed)])
        self._length = np.concatenate([self._length, np.zeros_like(self._length)])
        self._confidence = np.concatenate([self._confidence, np.full_like(self._confidence, np.nan)])
        self._disagreement = np.concatenate([self._disagreement, np.full_like(self._disagreement, np.nan)])
