"""Reading in the background makes room while a page is answered: whoever presses Enter waits for that."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import numpy as np

from vocr_cli.core.inference.reading import Reading
from vocr_cli.core.inference.recognizer import Recognizer

_QUIET_S = 0.1  # after a request the browser fetches the next image and draws it
_LONGEST_S = 0.5  # pages that ask without end slow reading down, and do not stop it


class Courtesy:
    """Tells background work to wait while somebody waits for a page."""

    def __init__(self) -> None:
        self._quiet_at = 0.0
        self._ended = threading.Event()

    def note_request(self) -> None:
        """Somebody waits."""
        self._quiet_at = time.monotonic() + _QUIET_S

    def end(self) -> None:
        """Nobody waits any more, now or later."""
        self._ended.set()

    def wait(self) -> None:
        """Returns when nobody waits, or after half a second."""
        until = time.monotonic() + _LONGEST_S
        while not self._ended.is_set() and (now := time.monotonic()) < min(self._quiet_at, until):
            self._ended.wait(min(self._quiet_at, until) - now)


class CourteousRecognizer(Recognizer):
    """A recogniser that reads as another does, with its engine, but waits before each line or batch.

    Args:
        other: Whose engine and settings it has.
        courtesy: What it waits for.
    """

    def __init__(self, other: Recognizer, courtesy: Courtesy) -> None:
        super().__init__(
            other.engine, other.image, other.charset, other.name,
            threads=other.threads * other.engine.threads_per_batch, beam=other.beam, n_best=other.n_best,
            batch_pixels=other.batch_pixels, language_model=other.language_model,
            calibration=other.calibration, min_confidence=other.min_confidence,
            second_look=other.second_look,
        )  # fmt: skip
        self._courtesy = courtesy

    def read_fitted(self, lines: Sequence[np.ndarray]) -> list[Reading]:
        """Reads a batch; one line after the other where that comes to the same."""
        if not self.engine.reads_singly:
            self._courtesy.wait()
            return super().read_fitted(lines)
        read: list[Reading] = []
        for line in lines:
            self._courtesy.wait()
            read += super().read_fitted([line])
        return read
