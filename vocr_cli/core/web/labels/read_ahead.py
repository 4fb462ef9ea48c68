"""Reading ahead: a model reads all lines in the background, those first that are about to be shown."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

from PIL import Image

from vocr_cli.core.errors import DataError, VocrError
from vocr_cli.core.inference.cache.identity import reading_identity
from vocr_cli.core.inference.cache.result_cache import ResultCache
from vocr_cli.core.inference.inputs.sources import LineInput
from vocr_cli.core.inference.pipeline import read_all
from vocr_cli.core.inference.prepare import LineResult
from vocr_cli.core.inference.reading import Reading
from vocr_cli.core.inference.recognizer import Recognizer
from vocr_cli.core.inference.recognizer_options import RecognizerOptions
from vocr_cli.core.web.labels.catalogue import Catalogue, LineReading
from vocr_cli.core.web.labels.courtesy import CourteousRecognizer, Courtesy

_WINDOW_LINES = 256
_ALTERNATIVES = 6
_LOADING_S = 120.0
_LOOK_S = 0.25


class ReadAhead:
    """A model that reads the lines of a catalogue, in a thread of its own.

    Args:
        catalogue: Takes the readings.
        options: The model, and how it reads.
        device: auto, cpu or cuda.
        cache: The folder in which readings are kept.
        courtesy: Makes reading wait while a page is answered.
        second: Whether these are the readings to compare with, rather than those that are shown.
        on_progress: Called now and then, and when all lines are read.

    Attributes:
        name: What the page calls the model.
        problem: Why it does not read; None: it does.
        is_complete: Whether all lines are read.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        options: RecognizerOptions,
        device: str,
        cache: Path,
        *,
        courtesy: Courtesy,
        second: bool = False,
        on_progress: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = str(options.model)
        self.problem: VocrError | None = None
        self.is_complete = False
        self._catalogue, self._options, self._device = catalogue, options, device
        self._cache_folder, self._second, self._on_progress = cache, second, on_progress
        self._courtesy = courtesy
        self._source = options.source()
        self._recognizer: Recognizer | None = None
        self._beam: Recognizer | None = None
        self._loaded = threading.Event()
        self._stopped = False
        self._wanted: deque[int] = deque(maxlen=64)
        self._asked: set[int] = set()
        self._next = 0
        self._thread = threading.Thread(target=self._run, name="vocr-read-ahead", daemon=True)

    def start(self) -> None:
        """Begins to load and read."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread, what it is reading aside, and writes the cache."""
        self._stopped = True
        self._courtesy.end()
        with self._catalogue.lock:
            self._catalogue.grown.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def want(self, indices: Iterable[int]) -> None:
        """These lines are shown soon."""
        with self._catalogue.lock:
            self._wanted.extend(index for index in indices if index not in self._asked)
            self._catalogue.grown.notify_all()

    def read_now(self, image: Image.Image) -> Reading:
        """Reads one image, at once.

        Raises:
            VocrError: The model cannot be loaded, or takes too long to.
        """
        (reading,) = self.recognizer().read([image])
        return reading

    def alternatives(self, image: Image.Image) -> tuple[tuple[str, float], ...]:
        """The likeliest texts of an image, with their scores, the best first, by beam search.

        Raises:
            VocrError: See `read_now`.
        """
        reader = self.recognizer()
        if self._beam is None:
            self._beam = Recognizer(
                reader.engine, reader.image, reader.charset, reader.name, beam=2 * _ALTERNATIVES,
                n_best=_ALTERNATIVES, language_model=reader.language_model, calibration=reader.calibration,
                second_look=reader.second_look,
            )  # fmt: skip
        (reading,) = self._beam.read([image])
        return reading.alternatives or ((reading.text, 0.0),)

    def unknown_characters(self, text: str) -> str:
        """Characters that the model has no class for, each once; empty while it is not loaded."""
        if self._recognizer is None:
            return ""
        return "".join(char for char in dict.fromkeys(text) if char not in self._recognizer.charset)

    def recognizer(self) -> Recognizer:
        """The model, as soon as it is loaded.

        Raises:
            VocrError: It cannot be loaded, or takes too long to.
        """
        self._loaded.wait(_LOADING_S)
        if self._recognizer is None:
            raise self.problem or VocrError("The model is still being loaded.", "Try again in a minute.")
        return self._recognizer

    def _run(self) -> None:
        try:
            self._recognizer = self._options.load(self._source, self._device)
        except VocrError as error:
            self.problem = error
        finally:
            self._loaded.set()
        if self._recognizer is None:
            return
        try:
            self._read(CourteousRecognizer(self._recognizer, self._courtesy))
        except VocrError as error:
            self.problem = error

    def _read(self, recognizer: Recognizer) -> None:
        identity = reading_identity(recognizer, self._source, "", "")
        digest = blake2b(repr(sorted(identity.items())).encode(), digest_size=6).hexdigest()
        cache = self._cache(digest, identity)
        order: deque[int] = deque()
        try:
            results = read_all(recognizer, self._lines(order), window=_WINDOW_LINES, cache=cache)
            progress_at = time.monotonic()
            for result in results:
                index = order.popleft()
                self._catalogue.set_reading(index, _compact(result), self._second)
                if time.monotonic() - progress_at > 1:
                    progress_at = time.monotonic()
                    self._on_progress()
                if self._stopped:
                    break
        finally:
            if cache is not None:
                cache.close()
        if not self._stopped:
            self.is_complete = True
            self._on_progress()

    def _cache(self, digest: str, identity: dict[str, Any]) -> ResultCache | None:
        """Where readings are kept; None: that cannot be, and a restart reads all lines again."""
        try:
            return ResultCache(self._cache_folder / digest, identity)
        except DataError as error:
            self.problem = DataError(
                f"Readings are not kept: {error.problem}",
                "Lines are read all the same, and anew after a restart. Free disk space, or mend the folder.",
            )
            return None

    def _lines(self, order: deque[int]) -> Iterator[LineInput]:
        """The lines to be read; their indices are appended to `order`."""
        while (index := self._take()) is not None:
            order.append(index)
            yield self._catalogue.lines[index]

    def _take(self) -> int | None:
        """The next line to read, waiting for one to be listed; None: there are no more."""
        catalogue = self._catalogue
        with catalogue.lock:
            while not self._stopped:
                while self._wanted:
                    index = self._wanted.popleft()
                    if index >= self._next and self._is_to_read(index):
                        self._asked.add(index)
                        return index
                while self._next < len(catalogue):
                    index = self._next
                    self._next += 1
                    if self._is_to_read(index):
                        return index
                    self._asked.discard(index)
                if catalogue.is_complete:
                    return None
                catalogue.grown.wait(_LOOK_S)
        return None

    def _is_to_read(self, index: int) -> bool:
        known = self._catalogue.second if self._second else self._catalogue.readings
        return known[index] is None and index not in self._asked


def _compact(result: LineResult) -> LineReading:
    if result.reading is None:
        assert result.error is not None
        return LineReading("", 0.0, error=result.error.problem)
    return LineReading.of(result.reading)
