"""Validation that counts every line once, whatever its width, and cannot be NaN. B lines.

Its CER is that of `vocr eval`, which counts lines by the same functions: each line is seen as a recogniser
sees it and compared with its label as that stands, though the model cannot write it. A line that cannot be
read counts as read empty.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import torch
from torch import nn

from vocr_cli.core.data.loader.batch import Batch
from vocr_cli.core.evaluation.line_scores import LineCounts, count_line, error_rate
from vocr_cli.core.machine.out_of_memory import in_halves
from vocr_cli.core.text import Charset
from vocr_cli.core.training.parallel.distributed import SINGLE_PROCESS, ProcessGroup
from vocr_cli.core.training.record.events import Validated
from vocr_cli.core.training.step.objective import BatchEvaluator, Objective, to_model_input
from vocr_cli.core.training.validation.subsets import UnreadLine, ValidationSubset

_SAMPLES = 3
_NAMED = 5


@dataclass
class _Tally:
    """Sums over lines.

    Attributes:
        lines: How many were read.
        unread: How many could not be, and count as read empty.
        samples: A label and its reading for each third of the set; a wrong reading where there is one.
    """

    lines: int = 0
    unread: int = 0
    edits: int = 0
    characters: int = 0
    right: int = 0
    loss: float = 0.0
    weight: int = 0
    samples: dict[int, tuple[str, str]] = field(default_factory=dict)

    def add_reading(self, line: LineCounts) -> None:
        self.lines, self.edits = self.lines + 1, self.edits + line.edits
        self.characters, self.right = self.characters + line.characters, self.right + (not line.edits)

    def add_unread(self, label: str) -> None:
        line = count_line(label, "")
        self.unread, self.edits = self.unread + 1, self.edits + line.edits
        self.characters += line.characters

    def add_loss(self, loss: float, weight: int) -> None:
        """Takes the losses of a batch in, if their sum is finite."""
        if math.isfinite(loss):
            self.loss, self.weight = self.loss + loss, self.weight + weight

    def add_sample(self, third: int, label: str, reading: str) -> None:
        shown = self.samples.get(third)
        if shown is None or (shown[0] == shown[1] and reading != label):
            self.samples[third] = (label, reading)

    def merge(self, other: _Tally) -> None:
        """Takes in what another rank read."""
        for name in ("lines", "unread", "edits", "characters", "right", "loss", "weight"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for third, sample in other.samples.items():
            self.add_sample(third, *sample)

    @property
    def cer(self) -> float:
        return error_rate(self.edits, self.characters) if self.lines else 1.0

    @property
    def line_accuracy(self) -> float:
        return self.right / max(self.lines + self.unread, 1)


class Evaluator:
    """Reads validation lines and scores them.

    Args:
        objective: Evaluates a batch.
        charset: Of the model.
        device: Where the model is.
        channels_last: How images lie in memory.
        batch_pixels: Lines × width × height of a batch, at most.
        process_group: The ranks, among which the lines are divided.
    """

    def __init__(
        self,
        *,
        objective: Objective,
        charset: Charset,
        device: torch.device,
        channels_last: bool,
        batch_pixels: int,
        process_group: ProcessGroup = SINGLE_PROCESS,
    ) -> None:
        self._objective, self._charset, self._device = objective, charset, device
        self._channels_last, self._batch_pixels = channels_last, batch_pixels
        self._process_group = process_group

    @torch.inference_mode()
    def evaluate(
        self,
        module: nn.Module,
        subset: ValidationSubset,
        *,
        step: int,
        is_best: Callable[[float, float], bool],
        full: bool = True,
        trained_on: Batch | None = None,
    ) -> Validated:
        """Returns loss, CER and line accuracy of a model.

        A line that cannot be read counts as read empty, and is named. Lines that the model cannot write, and
        batches whose loss is not finite, count towards the CER alone.

        Args:
            module: The model; it is put into evaluation mode.
            subset: What to read.
            step: Of the run.
            is_best: Whether this CER and this line accuracy are better than those of the best model so far.
            full: Whether these are all the lines; a quick look is never `best`.
            trained_on: A batch of training lines, another on each rank, read for comparison.

        Returns:
            The event. The CER of no lines is 1, their loss infinite.
        """
        began = time.monotonic()
        evaluate_batch = self._objective.batch_evaluator(module.eval())
        unread: list[UnreadLine] = []
        tally = self._read_subset(evaluate_batch, subset, unread)
        trained = _Tally() if trained_on is None else self._read_padded(evaluate_batch, trained_on)
        report = (tally, trained, [line.reason for line in unread], time.monotonic() - began)
        reports = self._process_group.all_gather_objects(report)
        tally, trained = (
            _merged(of_rank[0] for of_rank in reports),
            _merged(of_rank[1] for of_rank in reports),
        )
        unreadable = [reason for of_rank in reports for reason in of_rank[2]]
        return Validated(
            step=step,
            lines=tally.lines,
            loss=tally.loss / tally.weight if tally.weight else math.inf,
            cer=tally.cer,
            line_accuracy=tally.line_accuracy,
            best=full and tally.lines > 0 and is_best(tally.cer, tally.line_accuracy),
            samples=tuple(tally.samples[third] for third in sorted(tally.samples)),
            full=full,
            unreadable=len(unreadable),
            unreadable_names=tuple(unreadable[:_NAMED]),
            seconds=reports[0][3],
            train_cer=trained.cer if trained_on is not None else None,
        )

    def _read_subset(
        self, evaluate_batch: BatchEvaluator, subset: ValidationSubset, unread: list[UnreadLine]
    ) -> _Tally:
        """Scores this rank's lines of a subset."""
        lines = subset.shard(self._process_group.rank, self._process_group.world_size)
        tally, total = _Tally(), max(len(lines), 1)
        for batch, has_loss in lines.batches(self._batch_pixels, unread):
            for part, (loss, weight, readings) in self._evaluated(evaluate_batch, [batch]):
                if has_loss:
                    tally.add_loss(loss, weight)
                for label, classes in zip(part.texts, readings, strict=True):
                    line = count_line(label, self._charset.decode(classes))
                    third = min(_SAMPLES * tally.lines // total, _SAMPLES - 1)
                    tally.add_sample(third, line.reference, line.reading)
                    tally.add_reading(line)
        for unread_label in (*(line.label for line in unread), *lines.unopened):
            if unread_label is not None:
                tally.add_unread(unread_label)
        return tally

    def _read_padded(self, evaluate_batch: BatchEvaluator, batch: Batch) -> _Tally:
        """Scores the readings of a padded batch, its lines read without the padding."""
        tally = _Tally()
        for group, (_, _, readings) in self._evaluated(evaluate_batch, batch.of_one_width()):
            for label, classes in zip(group.texts, readings, strict=True):
                tally.add_reading(count_line(label, self._charset.decode(classes)))
        return tally

    def _evaluated(
        self, evaluate_batch: BatchEvaluator, batches: Iterable[Batch]
    ) -> Iterator[tuple[Batch, tuple[float, int, list[list[int]]]]]:
        """Evaluates batches of one width each, in halves where memory is short."""

        def evaluate(batch: Batch) -> tuple[float, int, list[list[int]]]:
            images = to_model_input(batch.images, self._device, self._channels_last)  # (B, C, H, W)
            return evaluate_batch(images, batch)

        for batch in batches:
            yield from in_halves(
                evaluate,
                batch,
                _halves,
                "Memory is short for validating on a single line",
                "Free memory that other programs hold, or lower image.max_width_px.",
            )


def _halves(batch: Batch) -> list[Batch]:
    return batch.split(2)


def _merged(tallies: Iterable[_Tally]) -> _Tally:
    """Returns the sums over ranks."""
    whole = _Tally()
    for tally in tallies:
        whole.merge(tally)
    return whole
