"""The two sides of a comparison: VietOCR in a process of its own environment, vocr in this one."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from answers import Answering
from PIL import Image

from vocr_cli.core.bench.measure import spread
from vocr_cli.core.inference.loading import available_backends
from vocr_cli.core.inference.reading import Reading
from vocr_cli.core.inference.recognizer import Recognizer

HERE = Path(__file__).resolve().parent

Result = dict[str, Any]


class Peer(Answering):
    """VietOCR, asked through pipes; see readings.py for what it answers."""

    def __init__(self, folder: Path, model: str, threads: int) -> None:
        command = [
            folder / "venv" / "bin" / "python", "-W", "ignore", HERE / "readings.py",
            folder / "weights" / f"{model}.pth", folder / "configs" / f"{model}.yml", "--serve",
        ]  # fmt: skip
        super().__init__(command, os.environ | {"OMP_NUM_THREADS": str(threads)})

    def ask(self, what: str, images: Sequence[str], **more: Any) -> dict[str, Any]:
        """The answer to a request: `seconds`, and `texts` or what else it gives."""
        return self.request(json.dumps({"ask": what, "images": list(images), **more}))


def precisions(weights: Path) -> list[str]:
    """The number formats that a model can be read in on this CPU, fp32 first."""
    return list(dict.fromkeys(backend.precision for backend in available_backends(weights, "cpu")))


class Ours:
    """A recogniser with images in memory, and batches and lengths as a comparison wants them."""

    def __init__(
        self, weights: Path, precision: str, threads: int, beam: int = 1, with_config: bool = True
    ) -> None:
        config = weights.parents[1] / "configs" / f"{weights.stem}.yml" if with_config else None
        self._load = partial(Recognizer.load, weights, "cpu", precision, threads, config=config, beam=beam)
        self.recognizer = self._load()
        self._variants: dict[str, Recognizer] = {}  # by the settings they read with
        self._images: dict[str, Image.Image] = {}

    def read(
        self, images: Sequence[str], size: int | None = None, steps: int | None = None, **decoding: float
    ) -> tuple[float, list[Reading]]:
        """Seconds and readings.

        Args:
            images: Their paths.
            size: Lines handed over at a time, a batch a width; None: all, batches as vocr makes them.
            steps: Characters to write exactly, by a model that never ends a line.
            decoding: Other settings of the engine's decoding.
        """
        for path in images:
            if path not in self._images:
                with Image.open(path) as image:
                    self._images[path] = image.convert("RGB")
        exactly: dict[str, Any] = {} if steps is None else {"max_steps": steps, "repetition_steps": 0}
        recognizer = self._variant(None if size is None else 10**9, exactly | decoding)
        readings: list[Reading] = []
        start = time.perf_counter()
        for first in range(0, len(images), size or len(images)):
            readings += recognizer.read(
                [self._images[path] for path in images[first : first + (size or len(images))]]
            )
        return time.perf_counter() - start, readings

    def _variant(self, batch_pixels: int | None, decoding: dict[str, Any]) -> Recognizer:
        """The recogniser with other settings, loaded when they are first asked for."""
        if batch_pixels is None and not decoding:
            return self.recognizer
        key = f"{batch_pixels} {sorted(decoding.items())}"
        if key not in self._variants:
            engine: Any = self.recognizer.engine
            options = engine.options.model_copy(update=decoding)
            self._variants[key] = self._load(batch_pixels=batch_pixels, decode_options=options)
        return self._variants[key]


def test_lines(folder: Path, count: int) -> list[str]:
    """The first `count` images of the rendered test set."""
    return sorted(str(path) for path in (folder / "data" / "test").rglob("*.png"))[:count]


def by_width(images: Sequence[str], recognizer: Recognizer) -> list[str]:
    """Sorted by the width they are read at, so that neighbours can share a batch."""
    from vocr_cli.core.data.images.fit import fitted_width

    def width(path: str) -> int:
        with Image.open(path) as image:
            return fitted_width(*image.size, recognizer.image)

    return sorted(images, key=lambda path: (width(path), path))


def ratio(slower: Sequence[float], faster: Sequence[float]) -> dict[str, float]:
    """How many times as long, round by round: median, lowest, highest."""
    found = spread([a / b for a, b in zip(slower, faster, strict=True)])
    return {"median": found.median, "low": found.low, "high": found.high}
