"""Training sources, which make batches. W px."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from vocr_cli.core.config.tree import COLUMN_PX, Config
from vocr_cli.core.data.images.fit import planned_widths
from vocr_cli.core.data.images.open_image import open_line
from vocr_cli.core.data.loader.batch import Batch, collate
from vocr_cli.core.data.loader.batching import (
    lines_that_fit,
    padded_width,
    plan_epoch,
    plan_unpadded_epoch,
)
from vocr_cli.core.data.loader.line_cache import LineCache
from vocr_cli.core.data.loader.lines import Lines
from vocr_cli.core.data.loader.order import (
    Request,
    SourcePosition,
    epoch_requests,
    group_requests,
)
from vocr_cli.core.data.loader.rendered import RenderedLines
from vocr_cli.core.data.loader.sample import Sample, make_sample, make_sample_as_read
from vocr_cli.core.data.readers.labelled import BadLine
from vocr_cli.core.errors import DataError, ImageError
from vocr_cli.core.text import Charset, clean

_PROBED_LINES = 32

_STAND_INS = 1_000
"""Lines that are tried in place of a batch of which none can be read."""


def padding_px(config: Config) -> int:
    """What the widths of batches are multiples of; 1 in families whose lines are not padded."""
    return 1 if config.model.EXACT_WIDTHS else config.batch.bucket_px


class StoredSource:
    """Lines of a database or an annotation file, epoch after epoch, each a true permutation.

    Args:
        store: The lines.
        config: Image settings, batch sizes, what to do with unknown characters.
        charset: Gives the classes.
        seed: Of the order.
        numbers: (n,) int, the lines of the store to take; None: all. Lines are counted among these.
        cache_bytes: Of pixels of lines at model height, kept from epoch to epoch.

    Attributes:
        widths: (n,) int32, W of every line.
    """

    def __init__(
        self,
        store: Lines,
        config: Config,
        charset: Charset,
        seed: int,
        *,
        numbers: np.ndarray | None = None,
        cache_bytes: int = 0,
    ) -> None:
        self.store, self.config, self.charset, self.seed = store, config, charset, seed
        self._numbers = numbers
        widths = planned_widths(store.widths, store.heights, config.image)
        self.widths = widths if numbers is None else widths[numbers]
        line_px = config.image.height_px * config.image.channels
        sizes = self.widths.astype(np.int64) * line_px if cache_bytes else np.empty(0, np.int64)
        self._cache = LineCache(sizes, cache_bytes, max(1, config.data.workers))

    def __len__(self) -> int:
        return len(self.widths)

    def plan(self, epoch: int) -> Sequence[np.ndarray]:
        """Cuts an epoch into batches of line numbers: together they hold every line once.

        For CTC, a line has at least the width that its label needs, but for characters that are doubled.
        """
        config, lengths = self.config, self.store.label_lengths
        lengths = lengths if self._numbers is None else lengths[self._numbers]
        tokens = lengths + 1 if config.batch.tokens else None
        limits = config.image.height_px, config.batch, (self.seed, epoch), tokens
        if config.model.EXACT_WIDTHS:
            return plan_unpadded_epoch(self.widths, *limits)
        return plan_epoch(np.maximum(self.widths, lengths * COLUMN_PX), *limits)

    def lines_per_batch(self) -> float:
        """The mean number of lines in the batches of the first epoch."""
        return len(self) / len(self.plan(0))

    def requests(self, start: SourcePosition, rank: int, world: int) -> Iterator[Request]:
        """One rank's batches from a position on; see `epoch_requests`."""
        return epoch_requests(self.plan, start, rank, world)

    def fetch(self, request: Request) -> Batch:
        """Makes the batch of a request, without those of its lines that cannot be read.

        Where none of them can, the next line of the source that can stands in: each step has a batch, whose
        lines depend on the source alone.

        Raises:
            DataError: Neither these lines nor many behind them can be read.
        """
        samples: list[Sample] = []
        left_out: list[BadLine] = []
        numbers = request.numbers.tolist()
        stand_ins = (number % len(self) for number in range(numbers[-1] + 1, numbers[-1] + 1 + _STAND_INS))
        for number in itertools.chain(numbers, itertools.takewhile(lambda _: not samples, stand_ins)):
            try:
                samples.append(self.sample(number, as_planned=True))
            except (ImageError, DataError) as error:
                left_out.append(self._left_out(number, error))
        if not samples:
            raise DataError(
                f"{self.store.path}: of {len(left_out):,} lines tried one after another none can be read; "
                f"the first: {left_out[0].location}: {left_out[0].reason}",
                left_out[0].remedy or "Look at it with `vocr inspect`, and build or copy it anew.",
            )
        batch = collate(samples, padding_px(self.config))
        return replace(batch, position=request.position, left_out=tuple(left_out))

    def sample(self, number: int, as_planned: bool = False) -> Sample:
        """Reads a line.

        Args:
            number: Which one, counted among those that the source takes.
            as_planned: Whether it must have the width that was planned for, in families without padding.
        """
        width = int(self.widths[number])
        stored = number if self._numbers is None else int(self._numbers[number])
        name = self.store.line_name(stored)
        cached = self._cache.get(number)
        if cached is not None:
            pixels = cached.reshape(self.config.image.height_px, width, self.config.image.channels)
            text = self._text(self.store.text(stored), name)
            return Sample(pixels, self.charset.encode(text), text, name)
        line = self.store[stored]
        planned = width if as_planned and self.config.model.EXACT_WIDTHS else None
        text = self._text(line.text, name)
        image = open_line(line.image, name)
        sample = make_sample(image, text, name, self.charset, self.config, width=planned)
        if sample.width_px == width:  # else its label, or a wrong size in the index, makes it another one
            self._cache.put(number, sample.pixels)
        return sample

    def sample_as_read(self, number: int) -> Sample:
        """Reads a line as `make_sample_as_read` does.

        Args:
            number: Which one, counted among those that the source takes.

        Raises:
            ImageError: The image cannot be read.
            DataError: There is no label.
        """
        stored = number if self._numbers is None else int(self._numbers[number])
        line, name = self.store[stored], self.store.line_name(stored)
        image, policy = open_line(line.image, name), self.config.charset
        # What training refuses, or extends the charset for, counts here as a label that cannot be written.
        unknown = "skip-line" if policy.unknown in ("error", "extend") else policy.unknown
        text = self.charset.apply(clean(line.text), unknown, policy.replacement)
        return make_sample_as_read(image, clean(line.text), text, name, self.charset, self.config)

    def label(self, number: int) -> str:
        """The cleaned label of a line, without its image.

        Raises:
            DataError: There is none.
        """
        return clean(self.store.text(number if self._numbers is None else int(self._numbers[number])))

    def _left_out(self, number: int, error: ImageError | DataError) -> BadLine:
        """Says why a line cannot be used."""
        stored = number if self._numbers is None else int(self._numbers[number])
        source, place, name = self.store.place(stored)
        reason = error.problem.removeprefix(f"{self.store.line_name(stored)}: ")
        try:
            label = self.store.text(stored)
        except DataError:
            label = ""
        return BadLine(place, reason, f"{name}\t{label}", source, error.fix)

    def _text(self, label: str, name: str) -> str:
        policy = self.config.charset
        text = self.charset.apply(clean(label), policy.unknown, policy.replacement)
        if text is None:
            raise DataError(
                f"The label of {name} is not usable.", "Such lines should have been left out at the start."
            )
        return text


class RenderedSource:
    """Lines rendered on the fly, without end; line i is the same whoever renders it."""

    def __init__(self, source: RenderedLines, config: Config, charset: Charset) -> None:
        self.source, self.config, self.charset = source, config, charset

    def lines_per_batch(self) -> float:
        """The mean number of lines in a batch, judged by the widths of the first few lines."""
        height, padding = self.config.image.height_px, padding_px(self.config)
        fitting = [
            lines_that_fit(padded_width(self._sample(number).width_px, padding), height, self.config.batch)
            for number in range(_PROBED_LINES)
        ]
        return len(fitting) / sum(1 / count for count in fitting)

    def requests(self, start: SourcePosition, rank: int, world: int) -> Iterator[Request]:
        """One rank's lines from a position on; see `group_requests`."""
        return group_requests(start, rank, world)

    def fetch(self, request: Request) -> list[Sample]:
        """Renders the lines of a request, which `Buckets` fills into batches."""
        return [self._sample(number) for number in request.numbers.tolist()]

    def _sample(self, number: int) -> Sample:
        line = self.source.line(number)
        return make_sample(line.image, line.text, f"rendered line {number}", self.charset, self.config)
