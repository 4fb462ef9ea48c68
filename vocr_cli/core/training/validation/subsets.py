"""Which lines a validation reads: a fixed subset of the sources, the same at each validation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vocr_cli.core.config.tree import ValidateConfig
from vocr_cli.core.data.loader.batching import batches_of_one_width
from vocr_cli.core.data.loader.dataset import Batch, Sample, StoredSource, collate
from vocr_cli.core.errors import DataError, ImageError

_MOST_BATCH_LINES = 256


@dataclass(frozen=True)
class ValidationSubset:
    """Lines to read.

    Attributes:
        lines: Sources, and (n,) int64 indices of the lines to read of each.
    """

    lines: tuple[tuple[StoredSource, np.ndarray], ...] = ()

    def __len__(self) -> int:
        return sum(len(indices) for _, indices in self.lines)

    def shard(self, rank: int, world_size: int) -> ValidationSubset:
        """Returns the lines that one of several ranks reads: of each source, every `world_size`-th."""
        return ValidationSubset(tuple((source, indices[rank::world_size]) for source, indices in self.lines))

    def batches(self, pixels: int, unreadable: list[str]) -> Iterator[Batch]:
        """Reads the lines, in batches of exactly one width each, so that nothing is padded.

        Args:
            pixels: Lines × width × height of a batch, at most.
            unreadable: Gets the reason for each line that cannot be read, which is passed over.
        """
        for source, indices in self.lines:
            height, planned = source.config.image.height_px, source.widths[indices].tolist()
            for chunk in batches_of_one_width(planned, height, pixels, _MOST_BATCH_LINES):
                # A label too long for its columns stretches its line: group by the widths that came out.
                read = (_sample(source, int(indices[index]), unreadable) for index in chunk)
                samples = [sample for sample in read if sample is not None]
                widths = [sample.width_px for sample in samples]
                for group in batches_of_one_width(widths, height, pixels, _MOST_BATCH_LINES):
                    yield collate([samples[index] for index in group], bucket_px=1)


def validation_subset(sources: list[StoredSource], max_lines: int) -> ValidationSubset:
    """Chooses evenly spread lines of all sources, as many of each as it is large; `max_lines` 0: all."""
    total = sum(len(source) for source in sources)
    fraction = min(1.0, max_lines / total) if max_lines else 1.0
    lines = []
    for source in sources:
        count = max(1, round(fraction * len(source)))
        lines.append((source, np.unique(np.linspace(0, len(source) - 1, count).astype(np.int64))))
    return ValidationSubset(tuple(lines))


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
    unreadable: list[str] = []
    for source, indices in subset.lines:
        for index in indices.tolist():
            if _sample(source, index, unreadable) is not None:
                return
    raise DataError(
        f"None of the {len(subset):,} validation lines can be read; the first: {unreadable[0]}",
        "Correct the images of data.valid (`vocr inspect` looks at them), or name other data with --valid.",
    )


def _sample(source: StoredSource, index: int, unreadable: list[str]) -> Sample | None:
    """Returns a line, or None where it cannot be read, and `unreadable` then says why."""
    try:
        return source.sample(index)
    except (ImageError, DataError) as error:
        unreadable.append(error.problem)
        return None
