"""Learning from a larger model. B lines, T columns, L tokens, C classes, S classes that both models have.

The student learns from the labels and from the teacher's softened outputs (Hinton et al., 2015): a CTC
student column by column (as in Takashima et al., 2018), a seq2seq student token by token under teacher
forcing, the word-level distillation of Kim and Rush (2016). CTC models place their characters where they
please, so a CTC student does best if it starts near its teacher: pruned from it, or guided by it from its
first step (Kurata and Audhkhasi, 2019).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vocr_cli.core.config.families import Head
from vocr_cli.core.config.tree import Config
from vocr_cli.core.data.loader.batch import Batch
from vocr_cli.core.errors import ConfigError
from vocr_cli.core.models.files import ModelFile
from vocr_cli.core.models.vietocr.constants import PAD
from vocr_cli.core.text import Charset
from vocr_cli.core.training.initial_weights import check_widths, class_rows
from vocr_cli.core.training.step.objective import (
    MASK,
    CtcObjective,
    Objective,
    TokenObjective,
    autocast,
    count_tokens,
    smoothed_cross_entropies,
    teacher_tokens,
    to_device,
)

_PIXEL_SETTINGS = ("height_px", "channels", "polarity", "stretch")
"""Image settings that must agree: both models are shown the same pixels."""


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """A model to learn from, in evaluation mode, on the student's device.

    Attributes:
        module: Its weights need no gradients.
        teacher_classes: (S,) int64, the teacher's classes that the student has, too.
        student_classes: (S,) int64, the same classes as the student numbers them.
        token_map: (C,) int64, the teacher's class for each of the student's; those that it lacks are masked.
        class_map: (C of the teacher,) int64, the student's class for each of the teacher's; -1 where none is.
        weight: How much the divergence counts in the loss, 0..1.
        temperature: What both models' logits are divided by.
        right_lines_only: Whether lines that the teacher reads wrong are learned from their labels alone.
    """

    module: nn.Module
    teacher_classes: Tensor
    student_classes: Tensor
    token_map: Tensor
    class_map: Tensor
    weight: float
    temperature: float
    right_lines_only: bool

    def line_weights(self, right: Callable[[], Tensor]) -> Tensor | float:
        """How much the teacher counts in each line's loss, (B,), or in those of all.

        Args:
            right: Gives (B,) bool, whether it reads them right; asked only where that matters.
        """
        return self.weight * right() if self.right_lines_only else self.weight

    def divergence(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Kullback-Leibler divergence of the student from the teacher, over the classes that both have.

        Args:
            student: (B, T, C) logits.
            teacher: (B, T, C of the teacher) logits.

        Returns:
            (B, T), times the square of the temperature, which keeps the gradients' size (Hinton et al.).
        """
        student = F.log_softmax(student.float()[..., self.student_classes] / self.temperature, dim=-1)
        teacher = F.log_softmax(teacher.float()[..., self.teacher_classes] / self.temperature, dim=-1)
        # (B, T, S) each, summed over S
        return F.kl_div(student, teacher, reduction="none", log_target=True).sum(-1) * self.temperature**2


class DistilledCtc(CtcObjective):
    """CTC loss, and the divergence from the teacher's columns, both per character and averaged over lines."""

    def __init__(
        self, config: Config, charset: Charset, device: torch.device, dtype: torch.dtype, teacher: Teacher
    ) -> None:
        super().__init__(config, charset, device, dtype)
        self._teacher = teacher

    def loss(self, module: nn.Module, images: Tensor, batch: Batch) -> tuple[Tensor, int]:
        """See `Objective.loss`."""
        teacher, columns = self._teacher, to_device(batch.columns, self._device)
        with autocast(self._device, self._dtype):
            with torch.no_grad():
                teacher_logits = teacher.module(images, columns)
            logits = module(images, columns)
        divergence = teacher.divergence(logits, teacher_logits)  # (B, T)
        padding = torch.arange(divergence.shape[1], device=divergence.device) >= columns[:, None]
        lengths = to_device(batch.lengths, divergence.device).clamp(min=1)
        per_line = divergence.masked_fill(padding, 0).sum(1) / lengths  # (B,)
        weights = teacher.line_weights(lambda: self._right(teacher_logits.argmax(-1), padding, batch))
        total = ((1 - weights) * self._losses(logits, batch) + weights * per_line).sum()
        return total, len(batch.texts)

    def _right(self, best: Tensor, padding: Tensor, batch: Batch) -> Tensor:
        """(B,) bool, lines that the teacher reads as labelled; `best` (B, T) its classes, `padding` alike."""
        repeated = F.pad(best[:, 1:] == best[:, :-1], (1, 0))
        read = ((best != 0) & ~repeated & ~padding).cpu()
        # A class that the student lacks is read as -1, which no label is.
        classes = self._teacher.class_map[best].cpu()
        labels = batch.targets.split(batch.lengths.tolist())
        right = [
            torch.equal(row[kept], label) for row, kept, label in zip(classes, read, labels, strict=True)
        ]
        return torch.tensor(right, device=best.device)


class DistilledTokens(TokenObjective):
    """Cross entropy, and the divergence from what the teacher says after the true tokens, both per token."""

    def __init__(
        self, config: Config, charset: Charset, device: torch.device, dtype: torch.dtype, teacher: Teacher
    ) -> None:
        super().__init__(config, charset, device, dtype)
        self._teacher = teacher

    def loss(self, module: nn.Module, images: Tensor, batch: Batch) -> tuple[Tensor, int]:
        """See `Objective.loss`. The teacher sees the tokens that are masked for the student."""
        teacher = self._teacher
        tokens, _ = teacher_tokens(batch, self._specials)
        with torch.no_grad(), autocast(self._device, self._dtype):
            teacher_inputs = teacher.token_map[to_device(tokens, self._device)]  # (B, L)
            teacher_logits = teacher.module(images, teacher_inputs)
        logits, targets = self._logits(module, images, batch)
        padding = targets == PAD  # (B, L)
        divergence = teacher.divergence(logits, teacher_logits).masked_fill(padding, 0).sum(1)
        weights = teacher.line_weights(
            lambda: ((teacher.class_map[teacher_logits.argmax(-1)] == targets) | padding).all(1)
        )
        labels = smoothed_cross_entropies(logits, targets, self._smoothing)
        total = ((1 - weights) * labels + weights * divergence).sum()
        return total, count_tokens(batch)


def make_distillation_objective(
    model: ModelFile, config: Config, charset: Charset, device: torch.device, dtype: torch.dtype
) -> Objective:
    """Makes the objective of a student of `config` whose teacher is `model`.

    Args:
        model: The teacher; its module is moved to `device` and put into evaluation mode.
        config: Names the student and how much the teacher counts.
        charset: The student's.
        device: Where the student trains.
        dtype: Number format of both forward passes.

    Raises:
        ConfigError: The two cannot be compared: another family, other pixels, or no common characters.
    """
    _check(model, config, charset)
    theirs, ours = class_rows(model.charset, model.config), class_rows(charset, config.model)
    common = [name for name in ours if name in theirs]
    layout = torch.channels_last if config.precision.channels_last else torch.contiguous_format
    module = model.module.requires_grad_(False).eval()
    teacher = Teacher(
        module=module.to(device, memory_format=layout),  # type: ignore[call-overload]
        teacher_classes=torch.tensor([theirs[name] for name in common], device=device),
        student_classes=torch.tensor([ours[name] for name in common], device=device),
        token_map=torch.tensor([theirs.get(name, MASK) for name in ours], device=device),
        class_map=torch.tensor([ours.get(name, -1) for name in theirs], device=device),
        weight=config.train.teacher_weight,
        temperature=config.train.teacher_temperature,
        right_lines_only=config.train.teacher_lines == "right",
    )
    return DISTILLED[config.model.HEAD](config, charset, device, dtype, teacher)


DISTILLED: dict[Head, Callable[[Config, Charset, torch.device, torch.dtype, Teacher], Objective]] = {
    "ctc": DistilledCtc,
    "autoregressive": DistilledTokens,
}
"""What students learn by, by the `HEAD` of their family."""


def _check(model: ModelFile, config: Config, charset: Charset) -> None:
    if model.config.family != config.model.family:
        raise ConfigError(
            f"The teacher {model.name} is of the family {model.config.family}, the student of "
            f"{config.model.family}: their outputs cannot be compared.",
            "Take a teacher of the student's family.",
        )
    for key in _PIXEL_SETTINGS:
        theirs, ours = getattr(model.image, key), getattr(config.image, key)
        if theirs != ours:
            raise ConfigError(
                f"The teacher {model.name} has image.{key} {theirs}, the student {ours}.",
                f"Set image.{key} to {theirs}, for both are shown the same pixels.",
            )
    lacking = [char for char in charset.characters if char not in model.charset]
    if len(lacking) == len(charset):
        raise ConfigError(
            f"The teacher {model.name} has no character in common with the student.", "Take another teacher."
        )
    if lacking and model.config.HEAD == "autoregressive" and model.config.special_classes <= MASK:
        raise ConfigError(
            f"The teacher {model.name} lacks characters of the student: {''.join(lacking)}",
            "Give the student the teacher's characters, or take a teacher that knows these.",
        )
    check_widths(config.model_copy(update={"model": model.config}))
