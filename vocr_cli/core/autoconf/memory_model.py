"""Memory of training steps: a model of the peak, and the largest step that fits.

Nothing is measured here. Legend: N lines.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vocr_cli.core.config.tree import Config
from vocr_cli.core.machine.sizes import show_size

_MARGIN = 1.15  # of the fit: steps to come are of widths in an order that was not tried
_FINEST_PIXELS = 1_000
_LEAST_TRIED_PIXELS = 20_000


@dataclass(frozen=True)
class StepPeak:
    """What a step took.

    Attributes:
        pixels: Lines × padded width × height.
        tokens: Lines × tokens of the longest label; 0 where no decoder writes any.
        peak_bytes: The most memory that the process held while it was taken.
    """

    pixels: int
    tokens: int
    peak_bytes: int


@dataclass(frozen=True)
class MemoryModel:
    """Peak memory of a step: a constant, and so much for each pixel and each token."""

    fixed_bytes: float
    pixel_bytes: float
    token_bytes: float = 0.0

    def peak(self, pixels: int, tokens: int) -> float:
        """Bytes that a step of so many pixels and tokens is expected to take, a margin included."""
        return _MARGIN * (self.fixed_bytes + self.pixel_bytes * pixels + self.token_bytes * tokens)

    def __str__(self) -> str:
        tokens = f" + {self.token_bytes / 1e3:,.0f} kB a token" if self.token_bytes else ""
        return f"{show_size(self.fixed_bytes)} + {self.pixel_bytes:,.0f} bytes a px{tokens}"


_RULES = {
    "ctc": MemoryModel(220e6, 1_000),
    "transformer": MemoryModel(1_100e6, 7_000, 70_000),
    "seq2seq": MemoryModel(700e6, 6_000, 210_000),
    "convseq2seq": MemoryModel(1_450e6, 7_700, 210_000),
}
"""Memory of fp32 steps without recomputation, by family or sequence model behind a VGG-19; else as `ctc`.

Measured on a CPU, but for the tokens of convseq2seq, which are taken as dear as those of seq2seq.
"""


def rule_of_thumb(config: Config, half: bool) -> MemoryModel:
    """Return the memory that steps of a config take, by what others of its kind took.

    Args:
        config: Gives the model.
        half: Whether steps are computed in 16 bits.
    """
    model = config.model
    rule = _RULES.get(model.variant, _RULES["ctc"])
    parts = 2 if half else 1
    pixel_bytes = rule.pixel_bytes * model.activation_scale
    return MemoryModel(rule.fixed_bytes, pixel_bytes / parts, rule.token_bytes / parts)


def fit_memory(steps: Sequence[StepPeak]) -> MemoryModel:
    """Fit by non-negative least squares, the constant raised until no measured step lies above.

    Steps of one size alone do not tell what a pixel costs: all of their memory is then taken for the
    constant, and for that of the pixels too.

    Raises:
        ValueError: There is nothing to fit.
    """
    if not steps:
        raise ValueError("no measured steps")
    if len({step.pixels for step in steps}) == 1:
        most = max(step.peak_bytes for step in steps)
        return MemoryModel(most, most / steps[0].pixels)
    table = np.array([[1.0, step.pixels / 1e5, step.tokens / 1e3] for step in steps])  # (N, 3)
    peaks = np.array([step.peak_bytes for step in steps], float)
    best, least, negligible = np.zeros(3), np.inf, 1e-9 * float(peaks @ peaks)
    for count in (1, 2, 3):  # with three unknowns every set of positive ones can be tried
        for chosen in itertools.combinations(range(3), count):
            columns = list(chosen)
            if count > len(steps) or not table[:, columns].any(axis=0).all():
                continue
            solution = np.linalg.lstsq(table[:, columns], peaks, rcond=None)[0]  # (count,)
            error = float(np.sum((table[:, columns] @ solution - peaks) ** 2))
            if (solution >= 0).all() and error < least - negligible:
                best, least = np.zeros(3), error
                best[columns] = solution
    fitted = MemoryModel(float(best[0]), float(best[1]) / 1e5, float(best[2]) / 1e3)
    return with_margin_for(fitted, steps)


def with_margin_for(model: MemoryModel, steps: Sequence[StepPeak]) -> MemoryModel:
    """Return the model with its constant raised until none of the steps lies above it."""
    above = [
        step.peak_bytes
        - (model.fixed_bytes + model.pixel_bytes * step.pixels + model.token_bytes * step.tokens)
        for step in steps
    ]
    return replace(model, fixed_bytes=model.fixed_bytes + max([0.0, *above]))


@dataclass(frozen=True, eq=False)
class LineShapes:
    """The lines as batches hold them.

    Attributes:
        widths_px: (N,) int64, padded.
        tokens: (N,) int64, what the decoder writes; 0 where there is none.
        height_px: Of the model.
        min_lines: `batch.max_lines` of the config that the plan starts from.
    """

    widths_px: np.ndarray
    tokens: np.ndarray
    height_px: int
    min_lines: int

    def most_lines(self, pixels: int) -> int:
        """`batch.max_lines` to a pixel budget: room for twice the lines of median width."""
        return max(self.min_lines, 2 * max(1, int(pixels // (np.median(self.widths_px) * self.height_px))))

    def largest_step(self, pixels: int) -> tuple[int, int]:
        """The most pixels and the most tokens of any step under a budget; a step has a line at least."""
        sizes = self.widths_px * self.height_px
        fitting = np.clip(pixels // sizes, 1, self.most_lines(pixels))
        return int((fitting * sizes).max()), int((fitting * self.tokens).max())

    def mean_lines(self, pixels: int) -> int:
        """Lines that a step under a budget holds on average, batches being cut from lines of like width."""
        fitting = np.clip(pixels // (self.widths_px * self.height_px), 1, self.most_lines(pixels))
        return max(1, round(1 / float(np.mean(1 / fitting))))


def peak_under(model: MemoryModel, lines: LineShapes, pixels: int) -> float:
    """Return the bytes that the largest step under a pixel budget is expected to take."""
    return model.peak(*lines.largest_step(pixels))


def largest_budget(model: MemoryModel, lines: LineShapes, limit_bytes: int, most: int) -> int:
    """Return the largest pixel budget whose steps stay in memory, in thousands, at most `most`; 0: none."""
    low, high = 0, max(most // _FINEST_PIXELS, 1)
    if peak_under(model, lines, high * _FINEST_PIXELS) <= limit_bytes:
        return high * _FINEST_PIXELS
    while high - low > 1:
        middle = (low + high) // 2
        if peak_under(model, lines, middle * _FINEST_PIXELS) <= limit_bytes:
            low = middle
        else:
            high = middle
    return low * _FINEST_PIXELS


def smallest_budget(rule: MemoryModel, lines: LineShapes, limit_bytes: int, usual: int) -> int:
    """Return the pixel budget that trials begin with where memory is limited, for four times as large ones.

    Args:
        rule: Memory of steps by rule of thumb.
        lines: What steps are made of.
        limit_bytes: What they may take.
        usual: Where memory suffices.
    """
    if peak_under(rule, lines, 4 * usual) <= limit_bytes:
        return usual
    return max(largest_budget(rule, lines, limit_bytes, usual) // 4, _LEAST_TRIED_PIXELS)
