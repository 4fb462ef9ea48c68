"""Validation that counts every line once, whatever its width, and cannot be NaN."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from rapidfuzz.distance import Levenshtein
from torch import nn

from vocr_cli.core.config.tree import COLUMN_PX, ValidateConfig
from vocr_cli.core.data.loader.batching import batches_of_one_width
from vocr_cli.core.data.loader.dataset import Batch, Sample, StoredSource, collate
from vocr_cli.core.errors import DataError, ImageError
from vocr_cli.core.text import Charset
from vocr_cli.core.training.parallel.distributed import ALONE, Team
from vocr_cli.core.training.record.events import Validated
from vocr_cli.core.training.step.objective import Examiner, Objective, as_input

_SAMPLES = 3
_NAMED = 5

Chosen = list[tuple[StoredSource, np.ndarray]]
"""Sources, and (n,) int64 numbers of the lines to read of each."""


def chosen_lines(sources: list[StoredSource], max_lines: int) -> Chosen:
    """A fixed subset of the validation sources, every source by its share; `max_lines` 0: all."""
    total = sum(len(source) for source in sources)
    share = min(1.0, max_lines / total) if max_lines else 1.0
    chosen = []
    for source in sources:
        count = max(1, round(share * len(source)))
        chosen.append((source, np.unique(np.linspace(0, len(source) - 1, count).astype(np.int64))))
    return chosen


def chosen_sets(sources: list[StoredSource], config: ValidateConfig) -> tuple[Chosen, Chosen]:
    """The lines of full and of quick validations; the latter empty where all validations are full."""
    if not sources:
        return [], []
    full = chosen_lines(sources, config.max_lines)
    quick = chosen_lines(sources, config.quick_lines) if config.quick_lines else []
    return full, quick if count_lines(quick) < count_lines(full) else []


def count_lines(lines: Chosen) -> int:
    """How many lines were chosen."""
    return sum(len(numbers) for _, numbers in lines)


def check_readable(lines: Chosen) -> None:
    """Looks whether a validation has anything to read; one good line is enough.

    Raises:
        DataError: Not one of the chosen lines can be read.
    """
    unreadable: list[str] = []
    for source, numbers in lines:
        for number in numbers.tolist():
            if _sample(source, number, unreadable) is not None:
                return
    raise DataError(
        f"None of the {count_lines(lines):,} validation lines can be read; the first: {unreadable[0]}",
        "Correct the images of data.valid (`vocr inspect` looks at them), or name other data with --valid.",
    )


@dataclass
class _Tally:
    """Sums over the lines read."""

    lines: int = 0
    edits: int = 0
    characters: int = 0
    right: int = 0
    loss: float = 0.0
    weight: int = 0
    samples: dict[int, tuple[str, str]] = field(default_factory=dict)

    def add(self, text: str, reading: str) -> None:
        wrong = Levenshtein.distance(text, reading)
        self.lines, self.edits = self.lines + 1, self.edits + wrong
        self.characters, self.right = self.characters + len(text), self.right + (not wrong)

    @property
    def cer(self) -> float:
        return self.edits / self.characters if self.characters else 1.0


@torch.inference_mode()
def validate(
    module: nn.Module,
    lines: Chosen,
    charset: Charset,
    objective: Objective,
    device: torch.device,
    pixels: int,
    channels_last: bool,
    step: int,
    best_cer: float,
    full: bool = True,
    trained_on: Batch | None = None,
    team: Team = ALONE,
) -> Validated:
    """Loss, CER and line accuracy of `module` on the chosen lines.

    A line that cannot be read is passed over, counted and named. A batch whose loss is not finite counts
    towards the CER alone.

    Args:
        module: The model.
        lines: What to read.
        charset: Of the model.
        objective: Judges a batch.
        device: Where the model is.
        pixels: Lines × width × height of a batch, at most.
        channels_last: How images lie in memory.
        step: Of the run.
        best_cer: Of full validations so far.
        full: Whether these are all the lines; a quick look is never `best`.
        trained_on: A batch of training lines, read for comparison.
        team: The ranks, which share the lines among them; each has a `trained_on` of its own.

    Returns:
        The event. The CER of no lines is 1, their loss infinite.
    """
    began = time.monotonic()
    module.eval()
    examine = objective.examiner(module)
    lines = [(source, numbers[team.rank :: team.world]) for source, numbers in lines]
    tally, total = _Tally(), max(count_lines(lines), 1)
    unreadable: list[str] = []
    for batch in _batches(lines, pixels, unreadable):
        loss, parts, readings = examine(as_input(batch.images, device, channels_last), batch)
        if math.isfinite(loss):
            tally.loss, tally.weight = tally.loss + loss, tally.weight + parts
        for text, classes in zip(batch.texts, readings, strict=True):
            reading, third = charset.decode(classes), min(_SAMPLES * tally.lines // total, _SAMPLES - 1)
            shown = tally.samples.get(third)
            if shown is None or (shown[0] == shown[1] and reading != text):
                tally.samples[third] = (text, reading)
            tally.add(text, reading)
    trained = _Tally()
    if trained_on is not None:
        trained = _read(examine, trained_on, charset, device, channels_last)
    reports = team.objects((tally, trained, unreadable, time.monotonic() - began))
    tally, trained = _joined(report[0] for report in reports), _joined(report[1] for report in reports)
    unreadable = [reason for report in reports for reason in report[2]]
    return Validated(
        step=step,
        lines=tally.lines,
        loss=tally.loss / tally.weight if tally.weight else math.inf,
        cer=tally.cer,
        line_accuracy=tally.right / max(tally.lines, 1),
        best=full and tally.lines > 0 and tally.cer < best_cer,
        samples=tuple(tally.samples[third] for third in sorted(tally.samples)),
        full=full,
        unreadable=len(unreadable),
        unreadable_names=tuple(unreadable[:_NAMED]),
        seconds=reports[0][3],
        train_cer=trained.cer if trained_on is not None else None,
    )


def _joined(tallies: Iterable[_Tally]) -> _Tally:
    """The sums over ranks; a sample for each third of the set, a wrong reading where there is one."""
    whole = _Tally()
    for part in tallies:
        for name in ("lines", "edits", "characters", "right", "loss", "weight"):
            setattr(whole, name, getattr(whole, name) + getattr(part, name))
        for third, (text, reading) in part.samples.items():
            shown = whole.samples.get(third)
            if shown is None or (shown[0] == shown[1] and reading != text):
                whole.samples[third] = (text, reading)
    return whole


def _read(
    examine: Examiner, batch: Batch, charset: Charset, device: torch.device, channels_last: bool
) -> _Tally:
    """Scores on a padded batch, its lines read without the padding."""
    tally = _Tally()
    targets, padded = batch.targets.split(batch.lengths.tolist()), batch.images.shape[2]
    for columns in batch.columns.unique().tolist():
        rows = (batch.columns == columns).nonzero().flatten()
        width = columns * COLUMN_PX
        part = Batch(
            batch.images[rows][:, :, : width if padded - width >= COLUMN_PX else padded],
            batch.columns[rows],
            torch.cat([targets[row] for row in rows.tolist()]),
            batch.lengths[rows],
            [batch.texts[row] for row in rows.tolist()],
            [batch.names[row] for row in rows.tolist()],
        )
        _, _, readings = examine(as_input(part.images, device, channels_last), part)
        for text, classes in zip(part.texts, readings, strict=True):
            tally.add(text, charset.decode(classes))
    return tally


def _sample(source: StoredSource, number: int, unreadable: list[str]) -> Sample | None:
    """A line, or None: it cannot be read, and `unreadable` says why."""
    try:
        return source.sample(number)
    except (ImageError, DataError) as error:
        unreadable.append(error.problem)
        return None


def _batches(lines: Chosen, pixels: int, unreadable: list[str]) -> Iterator[Batch]:
    for source, numbers in lines:
        height = source.config.image.height_px
        for places in batches_of_one_width(source.widths[numbers].tolist(), height, pixels, 256):
            # A label too long for its columns stretches its line: group again by the widths that came out.
            read = (_sample(source, int(numbers[place]), unreadable) for place in places)
            samples = [sample for sample in read if sample is not None]
            for group in batches_of_one_width([sample.width_px for sample in samples], height, pixels, 256):
                yield collate([samples[place] for place in group], bucket_px=1)
