"""Lines of many callers, read together: those that wait when a thread is free share its batches."""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
from PIL import Image

from vocr_cli.core.data.images.fit import fit_line
from vocr_cli.core.data.images.open_image import line_flags, open_line
from vocr_cli.core.data.images.pages import SeveralPagesError
from vocr_cli.core.errors import ImageError, VocrError
from vocr_cli.core.inference.prepare import LineResult, without_page
from vocr_cli.core.inference.recognizer import Recognizer

_SINGLE_LINES = 8  # of engines that gain nothing by batches: a caller waits for the others of his task
_BATCH_LINES = 64
_MAX_PIXELS = 20_000_000  # far more than a line has; of a page, reading means nothing
_PAGES_REMEDY = "Send each page as a picture of its own; whole pages go to /read/page."
_FORGETTING = 0.98  # of the mean time that a line takes, for each new one


class BusyError(VocrError):
    """As much waits to be read as is let wait.

    Args:
        waiting: What waits, with its number, such as "20 lines".
        retry_s: When it may be worth asking again.
    """

    def __init__(self, waiting: str, retry_s: int) -> None:
        super().__init__(f"{waiting} wait to be read.", f"Ask again in {retry_s} s.")
        self.retry_s = retry_s


@dataclass(slots=True)
class _Waiting:
    name: str
    data: bytes
    result: Future[LineResult] = field(default_factory=Future)


class LineReader:
    """Reads images as they come, in the recogniser's own number of threads.

    A thread that is free takes what waits: one line where nobody else asks, so that nobody waits for company,
    and many where many do. Engines that gain by it read them in batches of neighbouring widths.

    Args:
        recognizer: Reads the batches.
        max_waiting: Lines let wait; more are refused.
    """

    def __init__(self, recognizer: Recognizer, max_waiting: int) -> None:
        self._recognizer, self._max_waiting = recognizer, max_waiting
        self._waiting: deque[_Waiting] = deque()
        self._change = threading.Condition()
        self._line_s = 0.005
        self._stopped = False
        self.read_lines = 0
        single = recognizer.engine.reads_singly
        self._most_lines = _SINGLE_LINES if single else _BATCH_LINES
        self._threads = [
            threading.Thread(target=self._work, name=f"vocr-serve-{index}", daemon=True)
            for index in range(recognizer.threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Lines that wait."""
        return len(self._waiting)

    def submit(self, images: list[tuple[str, bytes]]) -> list[Future[LineResult]]:
        """Takes images, all or none: names to report, and their bytes.

        Raises:
            BusyError: Too many lines wait.
        """
        with self._change:
            if self._stopped or (self._waiting and len(self._waiting) + len(images) > self._max_waiting):
                seconds = len(self._waiting) * self._line_s / len(self._threads)
                raise BusyError(f"{len(self._waiting):,} lines", max(1, round(seconds)))
            asked = [_Waiting(name, data) for name, data in images]
            self._waiting.extend(asked)
            self._change.notify(len(asked))
        return [one.result for one in asked]

    def stop(self) -> None:
        """Ends the threads when they have read what waits."""
        with self._change:
            self._stopped = True
            self._change.notify_all()
        for thread in self._threads:
            thread.join(timeout=5)

    def _work(self) -> None:
        self._recognizer.engine.enter_thread()
        while taken := self._take():
            began = time.perf_counter()
            self._read(taken)
            line_s = (time.perf_counter() - began) / len(taken)
            self._line_s = _FORGETTING * self._line_s + (1 - _FORGETTING) * line_s
            self.read_lines += len(taken)

    def _take(self) -> list[_Waiting]:
        """The lines that this thread reads next, a fair share of those that wait; none: it is to end."""
        with self._change:
            while True:
                while not self._waiting:
                    if self._stopped:
                        return []
                    self._change.wait()
                share = -(-len(self._waiting) // len(self._threads))
                count = min(self._most_lines, share)
                taken = [self._waiting.popleft() for _ in range(count)]
                # A caller that went away has his lines cancelled; they are not read.
                if taken := [one for one in taken if one.result.set_running_or_notify_cancel()]:
                    return taken

    def _read(self, taken: list[_Waiting]) -> None:
        lines: list[tuple[_Waiting, np.ndarray, tuple[str, ...], tuple[int, int]]] = []
        for one in taken:
            try:
                image = _opened(one)
                flags = line_flags(image, self._recognizer.image)
                lines.append((one, fit_line(image, self._recognizer.image), flags, image.size))
            except VocrError as error:
                one.result.set_result(LineResult(one.name, None, error))
            except Exception as error:  # a fault of ours must not leave the caller waiting for ever
                one.result.set_exception(error)
        for batch in self._recognizer.batches([pixels.shape[1] for _, pixels, _, _ in lines]):
            members = [lines[index] for index in batch]
            try:
                readings = self._recognizer.read_fitted([pixels for _, pixels, _, _ in members])
            except Exception as error:
                for one, *_ in members:
                    one.result.set_exception(error)
                continue
            for (one, _, flags, size), reading in zip(members, readings, strict=True):
                one.result.set_result(without_page(LineResult(one.name, reading.flagged(flags), None, *size)))


def _opened(one: _Waiting) -> Image.Image:
    """An image, which is looked at before it is decoded: a small file can hold a huge one.

    Raises:
        ImageError: It cannot be read, or is far too large for a line.
    """
    size = stated_size(one.data)
    if size is not None and size[0] * size[1] > _MAX_PIXELS:
        raise ImageError(
            f"{one.name}: {size[0]:,} × {size[1]:,} px are too many for a line image.",
            "Crop the text lines out of it, or scale it down.",
        )
    try:
        return open_line(one.data, one.name)
    except SeveralPagesError as error:  # what a command would be told to do cannot be done here
        raise ImageError(error.problem, _PAGES_REMEDY) from None


def stated_size(data: bytes) -> tuple[int, int] | None:
    """Width and height that a file says its image has; None: it says none, and `open_line` will say why."""
    if data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR" and len(data) >= 24:
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    try:
        with Image.open(BytesIO(data)) as image:
            return image.size
    except Exception:  # decoders raise anything on damaged files
        return None
