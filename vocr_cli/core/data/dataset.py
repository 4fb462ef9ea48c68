"""From training sources to padded batches. B lines, H and W px, T columns, C channels.

Worker w of n takes every n-th batch of an LMDB's epoch, and every n-th index of a rendered source.
"""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from vocr_cli.core.config import COLUMN_PX, Config
from vocr_cli.core.data.augment import augment
from vocr_cli.core.data.batching import exact_epoch, padded_width, plan_epoch, stream_batches
from vocr_cli.core.data.images import fit_line, fitted_width, open_line
from vocr_cli.core.data.lines import Lines
from vocr_cli.core.errors import DataError
from vocr_cli.core.synth.source import LineSource
from vocr_cli.core.text import Charset, clean


@dataclass(frozen=True)
class Sample:
    """One line at model height: (H, W, C) uint8 pixels, its classes and text."""

    pixels: np.ndarray
    classes: list[int]
    text: str
    name: str

    @property
    def width_px(self) -> int:
        """W."""
        return int(self.pixels.shape[1])


@dataclass
class Batch:
    """Padded lines of one source.

    Attributes:
        images: (B, H, W, C) uint8, each line padded with its own last column of pixels.
        columns: (B,) int64, T of each line before padding.
        targets: (sum of lengths,) int64, classes of all lines one after another.
        lengths: (B,) int64, classes per line.
        texts: The labels.
        names: Where each line came from.
        source: Number of the source.
        position: Where the source stands after this batch: rendered index, or (epoch, batch).
        worker: Number of the worker that made it.
    """

    images: Tensor
    columns: Tensor
    targets: Tensor
    lengths: Tensor
    texts: list[str]
    names: list[str]
    source: int = 0
    position: tuple[int, ...] = (0,)
    worker: int = 0


def needed_columns(classes: list[int]) -> int:
    """Columns that CTC needs at least: one a character, one more between equal neighbours."""
    return len(classes) + sum(left == right for left, right in itertools.pairwise(classes))


def make_sample(
    image: Image.Image, text: str, name: str, charset: Charset, config: Config, width: int | None = None
) -> Sample:
    """A sample; for CTC, a line too narrow for its label is stretched until it can be aligned.

    Args:
        image: Any size, mode RGB or L.
        text: Its label, of characters of the charset.
        name: What errors call it.
        charset: Gives the classes.
        config: Image settings, and the family.
        width: W; None: what the image's size gives.
    """
    classes = charset.encode(text)
    if width is None:
        width = fitted_width(image.width, image.height, config.image)
    least = 0 if config.model.EXACT_WIDTHS else needed_columns(classes) * COLUMN_PX
    if width < least:
        multiple = config.image.width_multiple_px
        width = -(-least // multiple) * multiple
    return Sample(fit_line(image, config.image, width), classes, text, name)


def collate(samples: list[Sample], bucket_px: int) -> Batch:
    """Pads lines to one width, a multiple of the bucket."""
    width = padded_width(max(sample.width_px for sample in samples), bucket_px)
    height, _, channels = samples[0].pixels.shape
    images = np.empty((len(samples), height, width, channels), np.uint8)
    for image, sample in zip(images, samples, strict=True):
        image[:, : sample.width_px] = sample.pixels
        image[:, sample.width_px :] = sample.pixels[:, -1:]
    return Batch(
        torch.from_numpy(images),
        torch.tensor([sample.width_px // COLUMN_PX for sample in samples]),
        torch.tensor([index for sample in samples for index in sample.classes]),
        torch.tensor([len(sample.classes) for sample in samples]),
        [sample.text for sample in samples],
        [sample.name for sample in samples],
    )


def padding_px(config: Config) -> int:
    """What the widths of batches are multiples of; 1 in families whose lines are not padded."""
    return 1 if config.model.EXACT_WIDTHS else config.batch.bucket_px


class StoredSource:
    """Lines of a database or an annotation file, epoch after epoch, each a true permutation.

    Args:
        store: The lines.
        config: Image settings, batch sizes, what to do with unknown characters.
        charset: Gives the classes.
        seed: Of the order and the augmentation.
        numbers: (n,) int, the lines of the store to take; None: all. Lines are counted among these.

    Attributes:
        widths: (n,) int64, W of every line.
    """

    def __init__(
        self, store: Lines, config: Config, charset: Charset, seed: int, numbers: np.ndarray | None = None
    ) -> None:
        self.store, self.config, self.charset, self.seed = store, config, charset, seed
        self._numbers = np.arange(len(store.widths)) if numbers is None else numbers
        image = config.image
        heights = np.maximum(store.heights, 1)
        natural = store.widths.astype(np.int64) * image.height_px // heights  # as `fitted_width` has it
        rounded = -(-natural // image.width_multiple_px) * image.width_multiple_px
        self.widths = np.clip(rounded, image.min_width_px, image.max_width_px)[self._numbers]

    def __len__(self) -> int:
        return len(self._numbers)

    def batches(self, worker: int, workers: int, start: tuple[int, ...]) -> Iterator[Batch]:
        """This worker's share, from (epoch, batch) on."""
        epoch, done = start if len(start) == 2 else (0, 0)
        while True:
            planner = exact_epoch if self.config.model.EXACT_WIDTHS else plan_epoch
            plan = planner(self.widths, self.config.image.height_px, self.config.batch, (self.seed, epoch))
            for place in range(done + (worker - done) % workers, len(plan), workers):
                batch = self._batch(plan[place].tolist(), (self.seed, epoch, place))
                batch.position = (epoch, place + 1)
                yield batch
            epoch, done = epoch + 1, 0

    def _batch(self, numbers: list[int], seed: tuple[int, ...]) -> Batch:
        rng = np.random.default_rng(seed)
        return collate([self.sample(number, rng) for number in numbers], padding_px(self.config))

    def sample(self, number: int, rng: np.random.Generator | None = None) -> Sample:
        """Line `number`; when a generator is given, augmented, and as wide as the batch was planned for."""
        planned = int(self.widths[number]) if rng is not None and self.config.model.EXACT_WIDTHS else None
        number = int(self._numbers[number])
        line = self.store[number]
        place = self.store.place(number)
        policy = self.config.charset
        text = self.charset.apply(clean(line.text), policy.unknown, policy.replacement)
        if text is None:
            raise DataError(
                f"The label of {place} is not usable.", "Such lines should have been left out at the start."
            )
        image = open_line(line.image, place)
        if rng is not None:
            image = augment(image, self.config.augment, rng)
        return make_sample(image, text, place, self.charset, self.config, planned)


class RenderedSource:
    """Lines rendered on the fly, without end."""

    def __init__(self, source: LineSource, config: Config, charset: Charset) -> None:
        self.source, self.config, self.charset = source, config, charset

    def batches(self, worker: int, workers: int, start: tuple[int, ...]) -> Iterator[Batch]:
        """Lines worker, worker + n, ... from the start index on."""
        first = start[0] + (worker - start[0]) % workers
        limits = self.config.batch.model_copy(update={"bucket_px": padding_px(self.config)})
        for samples in stream_batches(self._samples(first, workers), self.config.image.height_px, limits):
            batch = collate(samples, limits.bucket_px)
            batch.position = (self.index + 1,)
            yield batch

    def _samples(self, first: int, step: int) -> Iterator[Sample]:
        self.index = first
        while True:
            line = self.source.line(self.index)
            name = f"rendered line {self.index}"
            yield make_sample(line.image, line.text, name, self.charset, self.config)
            self.index += step


class TrainingStream(IterableDataset[Batch]):
    """Batches of all sources, mixed so that each gives its share of the lines.

    Args:
        sources: The opened sources.
        weights: Their shares.
        start: Where each source begins, as `Batch.position` had it.
    """

    def __init__(
        self, sources: list[StoredSource | RenderedSource], weights: list[float], start: list[tuple[int, ...]]
    ) -> None:
        self.sources, self.weights, self.start = sources, weights, start

    def __iter__(self) -> Iterator[Batch]:
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        streams = [
            source.batches(worker, workers, start)
            for source, start in zip(self.sources, self.start, strict=True)
        ]
        served = np.zeros(len(streams))
        weights = np.asarray(self.weights)
        while True:
            chosen = int(np.argmin(served / weights))
            batch = next(streams[chosen])
            served[chosen] += len(batch.texts)
            yield replace(batch, source=chosen, worker=worker)


def _quiet_worker(_: int) -> None:
    """Ctrl-C is the trainer's to handle; a worker needs no threads of its own and yields to the trainer.

    On a CPU, a worker that takes a core from one of the trainer's threads makes all of them wait.
    """
    if hasattr(os, "nice"):
        os.nice(10)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def _same(batch: Any) -> Any:
    return batch


def training_loader(stream: TrainingStream, workers: int, pin_memory: bool) -> DataLoader[Batch]:
    """Batches ahead of the trainer; `workers` 0 makes them in its own process."""
    return DataLoader(
        stream,
        batch_size=None,
        num_workers=workers,
        collate_fn=_same,
        worker_init_fn=_quiet_worker,
        prefetch_factor=4 if workers else None,
        pin_memory=pin_memory,
    )
