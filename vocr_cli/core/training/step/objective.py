"""What models of each head learn by, how they read in validation. B lines, L tokens, T columns, C classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vocr_cli.core.config.families import Head
from vocr_cli.core.config.tree import Config
from vocr_cli.core.data.images.fit import stretch_line
from vocr_cli.core.data.loader.batch import Batch
from vocr_cli.core.decoding.ctc import CtcHypothesis, is_surer, seen_spaces
from vocr_cli.core.decoding.ctc_torch import ctc_greedy_on_device
from vocr_cli.core.decoding.decode_options import reading_options
from vocr_cli.core.decoding.greedy import greedy
from vocr_cli.core.decoding.incremental import make_incremental_decoder
from vocr_cli.core.models.vietocr.constants import EOS, PAD, SOS
from vocr_cli.core.models.vietocr.recognizer import VietocrRecognizer
from vocr_cli.core.text import Charset

MASK = 3
"""The class of a masked character, in models that have one."""

BatchEvaluator = Callable[[Tensor, Batch], tuple[float, int, list[list[int]]]]
"""(B, channels, H, W) images and their batch to the sum of losses, its weight, and the classes read."""


class Objective(Protocol):
    """The loss and the reading of one kind of model. Classes are the charset's, 1 the first character."""

    def loss(self, module: nn.Module, images: Tensor, batch: Batch) -> tuple[Tensor, int]:
        """The sum of a batch's losses, and how many are in it: to be divided by it.

        Args:
            module: In training mode.
            images: (B, channels, H, W) float in 0..1, on the device.
            batch: Its labels, anywhere.
        """
        ...

    def count(self, batch: Batch) -> int:
        """How many losses there are in a batch: what `loss` gives beside their sum."""
        ...

    def batch_evaluator(self, module: nn.Module) -> BatchEvaluator:
        """Returns what evaluates batches by a module in evaluation mode, its weights as they are now."""
        ...


def make_objective(config: Config, charset: Charset, device: torch.device, dtype: torch.dtype) -> Objective:
    """The objective of the config's head; `dtype` is that of the forward pass."""
    return OBJECTIVES[config.model.HEAD](config, charset, device, dtype)


def to_model_input(images: Tensor, device: torch.device, channels_last: bool) -> Tensor:
    """Turns (B, H, W, C) uint8 on any device into (B, C, H, W) float in 0..1 on `device`."""
    x = to_device(images, device).permute(0, 3, 1, 2)  # (B, C, H, W)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return x.to(torch.float32).div_(255).contiguous(memory_format=layout)


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """Copies values of the CPU's to a device; to a CUDA GPU without waiting, by way of page-locked memory.

    Elsewhere a copy that is not waited for gains nothing, or, on MPS, may read memory that is others' by
    then.
    """
    if device.type == "cuda" and values.device.type == "cpu":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


def ctc_loss(logits: Tensor, columns: Tensor, targets: Tensor, lengths: Tensor) -> Tensor:
    """(B,) CTC loss (Graves et al., 2006) per character of each line.

    It is computed where the logits are, but on the CPU for MPS, which has no such loss, and where torch is to
    use deterministic algorithms alone: CUDA's adds gradients up in any order.

    Args:
        logits: (B, T, C) float.
        columns: (B,) int64, in the CPU's memory: a GPU would have to be waited for.
        targets: (sum of lengths,) int64, anywhere.
        lengths: (B,) int64, in the CPU's memory.
    """
    device = logits.device
    on_cpu = device.type == "mps" or (device.type == "cuda" and torch.are_deterministic_algorithms_enabled())
    log_probabilities = F.log_softmax(logits.float(), dim=-1).transpose(0, 1)  # (T, B, C)
    if on_cpu:
        log_probabilities = log_probabilities.cpu()
    targets = to_device(targets, log_probabilities.device)
    losses = F.ctc_loss(log_probabilities, targets, columns, lengths, reduction="none", zero_infinity=True)
    return losses.to(device) / to_device(lengths, device).clamp(min=1)


class CtcObjective:
    """CTC loss per character, averaged over lines; readings by the best class of each column."""

    def __init__(self, config: Config, charset: Charset, device: torch.device, dtype: torch.dtype) -> None:
        self._device, self._dtype = device, dtype
        self._image, self._channels_last = config.image, config.precision.channels_last
        self._space = charset.space_class

    def loss(self, module: nn.Module, images: Tensor, batch: Batch) -> tuple[Tensor, int]:
        """See `Objective.loss`."""
        columns = to_device(batch.columns, self._device)
        with autocast(self._device, self._dtype):
            logits = module(images, columns)
        return self._losses(logits, batch).sum(), len(batch.texts)

    def count(self, batch: Batch) -> int:
        """See `Objective.count`: lines."""
        return len(batch.texts)

    def batch_evaluator(self, module: nn.Module) -> BatchEvaluator:
        """See `Objective.batch_evaluator`; reads as `Recognizer` does.

        Lines are of one width each, so columns need not be told apart.
        """

        def evaluate(images: Tensor, batch: Batch) -> tuple[float, int, list[list[int]]]:
            with autocast(self._device, self._dtype):
                logits = module(images)
            total = self._losses(logits, batch).sum()
            paths = ctc_greedy_on_device(logits)
            for row, path in enumerate(paths):
                if path.crowded:
                    paths[row] = self._read_wider(module, batch.images[row].numpy(), path)
            texts = [[path.classes[at] for at in seen_spaces(path.classes, self._space)] for path in paths]
            return float(total), len(batch.texts), texts

        return evaluate

    def _read_wider(self, module: nn.Module, line: np.ndarray, path: CtcHypothesis) -> CtcHypothesis:
        """Reads a line (H, W, channels) uint8 again, stretched; `path` if that is the more confident."""
        if (wide := stretch_line(line, self._image)) is None:
            return path
        with autocast(self._device, self._dtype):
            logits = module(to_model_input(torch.tensor(wide[None]), self._device, self._channels_last))
        (wider,) = ctc_greedy_on_device(logits)
        return wider if is_surer(wider.confidences, path.confidences) else path

    def _losses(self, logits: Tensor, batch: Batch) -> Tensor:
        """(B,) loss of each line."""
        return ctc_loss(logits, batch.columns, batch.targets, batch.lengths)


class TokenObjective:
    """Teacher forcing: each token from the true ones before it, some of them masked as in VietOCR.

    Smoothed cross entropy averaged over real tokens, the end included. Padding needs no mask: it stands
    behind the real tokens, and no token's logits depend on what follows it.
    """

    def __init__(self, config: Config, charset: Charset, device: torch.device, dtype: torch.dtype) -> None:
        self._device, self._dtype = device, dtype
        self._specials = config.model.special_classes
        self._smoothing = config.optim.label_smoothing
        self._masked_share = config.augment.masked_share if self._specials > MASK else 0.0
        self._options = reading_options(charset, self._specials)

    def loss(self, module: nn.Module, images: Tensor, batch: Batch) -> tuple[Tensor, int]:
        """See `Objective.loss`."""
        logits, targets = self._logits(module, images, batch)
        return smoothed_cross_entropies(logits, targets, self._smoothing).sum(), count_tokens(batch)

    def count(self, batch: Batch) -> int:
        """See `Objective.count`: tokens."""
        return count_tokens(batch)

    def _logits(self, module: nn.Module, images: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """(B, L, C) logits under teacher forcing, and the (B, L) tokens that they are to say."""
        tokens, targets = teacher_tokens(batch, self._specials)
        masked = (torch.rand(tokens.shape) < self._masked_share) & (tokens >= self._specials)
        tokens = to_device(tokens.masked_fill(masked, MASK), self._device)
        with autocast(self._device, self._dtype):
            logits = module(images, tokens)
        return logits, to_device(targets, self._device)

    def batch_evaluator(self, module: nn.Module) -> BatchEvaluator:
        """See `Objective.batch_evaluator`; reads as `Recognizer` does, without a beam."""
        assert isinstance(module, VietocrRecognizer)
        stepper = make_incremental_decoder(module, self._dtype, self._options.max_steps)

        def evaluate(images: Tensor, batch: Batch) -> tuple[float, int, list[list[int]]]:
            tokens, targets = (part.to(self._device) for part in teacher_tokens(batch, self._specials))
            with autocast(self._device, self._dtype):
                features = module.features(images)  # (S, B, D)
                logits = module.transformer(features, tokens)
            total = smoothed_cross_entropies(logits, targets, self._smoothing).sum()
            paths = greedy(stepper, features, self._options)
            return float(total), count_tokens(batch), [self._in_charset(path.classes) for path in paths]

        return evaluate

    def _in_charset(self, classes: list[int]) -> list[int]:
        return [number - self._specials + 1 for number in classes if number >= self._specials]


OBJECTIVES: dict[Head, Callable[[Config, Charset, torch.device, torch.dtype], Objective]] = {
    "ctc": CtcObjective,
    "autoregressive": TokenObjective,
}
"""What models learn by, by the `HEAD` of their family."""


def teacher_tokens(batch: Batch, specials: int) -> tuple[Tensor, Tensor]:
    """What the decoder sees and what it is to say.

    Args:
        batch: Classes 1..n, one line after another.
        specials: Classes before the model's first character.

    Returns:
        Two (B, L) int64: start, then the characters; the characters, then the end. Padding behind both.
    """
    lengths = batch.lengths
    lines, longest = len(lengths), int(lengths.max())
    characters = torch.full((lines, longest + 1), PAD)
    characters[torch.arange(longest + 1) < lengths[:, None]] = batch.targets - 1 + specials
    tokens = torch.cat((torch.full((lines, 1), SOS), characters[:, :-1]), dim=1)
    characters[torch.arange(lines), lengths] = EOS
    return tokens, characters


def smoothed_cross_entropies(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """(B,) cross entropy summed over a line's real tokens, labels smoothed (Szegedy et al., 2016).

    Args:
        logits: (B, L, C).
        targets: (B, L) int64; padding counts nothing.
        smoothing: The probability that is spread over the wrong classes, padding aside, as in VietOCR.
    """
    log_probabilities = F.log_softmax(logits.float(), dim=-1)
    right = log_probabilities.gather(-1, targets[..., None]).squeeze(-1)  # (B, L)
    wrong = log_probabilities.sum(-1) - right - log_probabilities[..., PAD]
    losses = -(1 - smoothing) * right - smoothing / (logits.shape[-1] - 2) * wrong
    return losses.masked_fill(targets == PAD, 0).sum(1)


def count_tokens(batch: Batch) -> int:
    """Real tokens: the characters, and an end a line."""
    return int(batch.lengths.sum()) + len(batch.texts)


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """The forward pass in `dtype`; fp32 is left as it is."""
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)
