"""Which lines a validation reads: a fixed subset of the sources, the same at each validation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vocr_cli.core.config.tree import ValidateConfig
from vocr_cli.core.data.loader.batch import Batch, collate
from vocr_cli.core.data.loader.batching import batches_of_one_width
from vocr_cli.core.data.loader.dataset import StoredSource
from vocr_cli.core.data.loader.lines import ListedLines
from vocr_cli.core.data.loader.sample import Sample
from vocr_cli.core.errors import DataError, ImageError

_MOST_BATCH_LINES = 256


@dataclass(frozen=True)
class UnreadLine:
    """A line that cannot be read: why, and its label, None where it is the label that is missing."""

    reason: str
    label: str | None


@dataclass(frozen=True)
class ValidationSubset:
    """Lines to read.

    Attributes:
        lines: Sources, and (n,) int64 indices of the lines to read of each.
        unopened: Labels of lines whose images could not be opened when the sources were.
    """

    lines: tuple[tuple[StoredSource, np.ndarray], ...] = ()
    unopened: tuple[str, ...] = ()

    def __len__(self) -> int:
        return sum(len(indices) for _, indices in self.lines)

    def shard(self, rank: int, world_size: int) -> ValidationSubset:
        """Returns the lines that one of several ranks reads: of each source, every `world_size`-th."""
        lines = tuple((source, indices[rank::world_size]) for source, indices in self.lines)
        return ValidationSubset(lines, self.unopened[rank::world_size])

    def batches(self, pixels: int, unread: list[UnreadLine]) -> Iterator[tuple[Batch, bool]]:
        """Reads the lines, in batches of exactly one width each, so that nothing is padded.

        Args:
            pixels: Lines × width × height of a batch, at most.
            unread: Gets each line that cannot be read.

        Yields:
            A batch, and whether its loss means anything: whether the model can write its labels.
        """
        for source, indices in self.lines:
            height, planned = source.config.image.height_px, source.widths[indices].tolist()
            for chunk in batches_of_one_width(planned, height, pixels, _MOST_BATCH_LINES):
                read = [_sample(source, int(indices[index]), unread) for index in chunk]
                for alignable in (True, False):
                    samples = [one for one in read if one is not None and one.alignable == alignable]
                    widths = [sample.width_px for sample in samples]  # not as planned if the index is wrong
                    for group in batches_of_one_width(widths, height, pixels, _MOST_BATCH_LINES):
                        yield collate([samples[index] for index in group], bucket_px=1), alignable


def validation_subset(sources: list[StoredSource], max_lines: int) -> ValidationSubset:
    """Chooses evenly spread lines of all sources, as many of each as it is large; `max_lines` 0: all.

    Of lines that could not be opened, the same fraction is taken.
    """
    stores = [source.store for source in sources]
    unopened = [line.label for store in stores if isinstance(store, ListedLines) for line in store.unopened]
    total = sum(len(source) for source in sources)
    fraction = min(1.0, max_lines / total) if max_lines else 1.0
    lines = []
    for source in sources:
        count = max(1, round(fraction * len(source)))
        lines.append((source, _evenly_spread(len(source), count)))
    chosen = _evenly_spread(len(unopened), round(fraction * len(unopened)))
    return ValidationSubset(tuple(lines), tuple(unopened[index] for index in chosen))


def _evenly_spread(total: int, count: int) -> np.ndarray:
    """Returns (count,) int64 indices below `total`, ascending."""
    return np.unique(np.linspace(0, total - 1, count).astype(np.int64))


def validation_subsets(
    sources: list[StoredSource], config: ValidateConfig
) -> tuple[ValidationSubset, ValidationSubset]:
    """Returns the lines of full and of quick validations; the latter empty where all validations are full."""
    full = validation_subset(sources, config.max_lines)
    quick = validation_subset(sources, config.quick_lines) if config.quick_lines else ValidationSubset()
    return full, quick if len(quick) < len(full) else ValidationSubset()


def check_readable(subset: ValidationSubset) -> None:
    """Looks whether a validation has anything to read; one good line is enough.

    Raises:
        DataError: Not one of the chosen lines can be read.
    """
    unread: list[UnreadLine] = []
    for source, indices in subset.lines:
        for index in indices.tolist():
            if _sample(source, index, unread) is not None:
                return
    raise DataError(
        f"None of the {len(subset):,} validation lines can be read; the first: {unread[0].reason}",
        "Correct the images of data.valid (`vocr inspect` looks at them), or name other data with --valid.",
    )


def _sample(source: StoredSource, index: int, unread: list[UnreadLine]) -> Sample | None:
    """Returns a line, or None where it cannot be read, and `unread` then has it."""
    try:
        return source.sample_as_read(index)
    except (ImageError, DataError) as error:
        unread.append(UnreadLine(error.problem, _label(source, index)))
        return None


def _label(source: StoredSource, index: int) -> str | None:
    try:
        return source.label(index)
    except DataError:
        return None
