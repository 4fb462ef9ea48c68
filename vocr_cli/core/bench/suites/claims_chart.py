"""The chart of `vocr bench claims`: bars of speeds and memory, and the promises. Drawn with Pillow alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap

from PIL import Image, ImageDraw, ImageFont

from vocr_cli.core.bench.suites.claims import ClaimsReport
from vocr_cli.core.bench.suites.claims_ways import ALL_ON, BASELINE, LEAN
from vocr_cli.core.bench.suites.promises import MET, MISSED
from vocr_cli.core.data.images.save_picture import save_picture

_SCALE = 2
_WIDTH, _MARGIN, _ROW, _BAR = 1000, 36, 30, 18
_NAMES, _VALUES = 210, 190
_REASON_CHARACTERS = 95  # of the small type, from the third column to the margin
_INK, _DIM, _GRID, _GROUND = "#1f2430", "#6b7280", "#e5e7eb", "#ffffff"
_OURS, _THEIRS, _ALONE = "#0f766e", "#9ca3af", "#5eb5ab"
_VERDICTS = {MET: "#0f766e", MISSED: "#b91c1c"}


@dataclass(frozen=True)
class Bars:
    """A panel of bars: the name, the value and the text beside each."""

    title: str
    rows: tuple[tuple[str, float, str], ...]

    @property
    def height(self) -> int:
        """Height of the panel in px."""
        return 46 + _ROW * len(self.rows) + 20


def save_chart(report: ClaimsReport, path: Path) -> None:
    """Write the picture.

    Raises:
        DataError: It cannot be written.
    """
    save_picture(draw_claims(report), path)


def draw_claims(report: ClaimsReport) -> Image.Image:
    """Return the picture of a report."""
    panels = _panels(report)
    promises = list(_promise_rows(report))
    height = 84 + 46 + _ROW * len(promises) + 20 + sum(panel.height for panel in panels) + 44
    picture = Image.new("RGB", (_WIDTH * _SCALE, height * _SCALE), _GROUND)
    pen = _Pen(ImageDraw.Draw(picture))
    setup = report.setup
    pen.text(_MARGIN, 24, f"{Path(setup.model).name}: VietOCR's way and vocr's", 24)
    where = f"{setup.machine.gpu or setup.machine.cpu_model}, {setup.threads} thread(s)"
    pen.text(_MARGIN, 56, f"{where}; {Path(report.data).name}, {report.mean_width_px:.0f} px wide", 14, _DIM)
    top = _draw_promises(pen, promises, 84)
    for panel in panels:
        top = _draw_bars(pen, panel, top)
    rounds = report.budget.rounds
    pen.text(_MARGIN, top + 8, f"medians of {rounds} alternating round(s); vocr {setup.vocr}", 13, _DIM)
    return picture.resize((_WIDTH, height), Image.Resampling.LANCZOS)


def _panels(report: ClaimsReport) -> list[Bars]:
    equal = f"{report.memory_lines} lines of {report.memory_width_px} px"
    known = [(row.name, row.shown_mb) for row in report.memory]
    least = known[0][1]
    return [
        Bars(
            "Training, lines/s",
            tuple((row.name, row.lines_per_s.median, _times(row.lines_per_s.median, row.ratio))
                  for row in report.training),
        ),
        Bars(
            f"Peak memory of training, MB, {equal} a step",
            tuple((name, value, _change(value, least)) for name, value in known if value is not None),
        ),
        Bars(
            "Reading, lines/s",
            tuple((row.name, row.lines_per_s.median, _times(row.lines_per_s.median, row.ratio))
                  for row in report.reading),
        ),
    ]  # fmt: skip


def _times(value: float, ratio: float) -> str:
    return f"{value:,.{0 if value >= 100 else 1}f}   x {ratio:.2f}"


def _change(value: float, first: float | None) -> str:
    change = "" if not first or value == first else f"   {100 * (value / first - 1):+.0f} %"
    return f"{value:,.0f}{change}"


def _promise_rows(report: ClaimsReport) -> Iterator[tuple[str, ...]]:
    """Yield the rows of the promises: six cells, or the pieces of why one was not measured, alone."""
    for row in report.promises:
        word, _, why = row.verdict.partition(": ")
        yield row.name, row.promised, row.baseline, row.all_on, _percent(row.change), word
        if row.lean:
            word = row.lean_verdict.partition(":")[0]
            yield "", "recomputed", "", row.lean, _percent(row.lean_change), word
        for line in wrap(why, _REASON_CHARACTERS):
            yield (line,)


def _percent(change: float | None) -> str:
    return "" if change is None else f"{100 * change:+,.0f} %"


def _draw_promises(pen: _Pen, rows: list[tuple[str, ...]], top: int) -> int:
    columns = (_MARGIN, 220, 390, 590, 790, 872)
    for x, head in zip(columns, ("Promise", "", "VietOCR's way", "all on", "change", ""), strict=True):
        pen.text(x, top + 12, head, 14, _DIM)
    top += 46
    for row in rows:
        if len(row) == 1:
            pen.text(columns[2], top, row[0], 11, _DIM)
        else:
            if row[0]:
                pen.line(_MARGIN, top - 6, _WIDTH - _MARGIN)
            for x, cell in zip(columns, row, strict=True):
                colour = _VERDICTS.get(cell, _DIM) if x == columns[-1] else _INK
                pen.text(x, top, cell, 14 if len(cell) < 22 else 11, colour)
        top += _ROW
    return top + 20


def _draw_bars(pen: _Pen, panel: Bars, top: int) -> int:
    pen.text(_MARGIN, top + 8, panel.title, 17)
    top += 46
    left, right = _MARGIN + _NAMES, _WIDTH - _MARGIN - _VALUES
    most = max((value for _, value, _ in panel.rows), default=1.0) or 1.0
    for name, value, shown in panel.rows:
        ours = name in (ALL_ON, LEAN)
        colour = _OURS if ours else _THEIRS if name == BASELINE else _ALONE
        end = left + max(2.0, (right - left) * value / most)
        pen.text(left - 12, top + _BAR / 2, name, 14, _INK if ours or name == BASELINE else _DIM, "rm")
        pen.box(left, top, end, top + _BAR, colour)
        pen.text(end + 10, top + _BAR / 2, shown, 14, _INK, "lm")
        top += _ROW
    return top + 20


class _Pen:
    """Draws in px of the finished picture; Pillow's own font has no dashes."""

    def __init__(self, draw: ImageDraw.ImageDraw) -> None:
        self._draw = draw

    def text(self, x: float, y: float, text: str, size: int, colour: str = _INK, anchor: str = "la") -> None:
        font = ImageFont.load_default(size * _SCALE)
        self._draw.text((x * _SCALE, y * _SCALE), text.replace("–", "-"), colour, font, anchor=anchor)

    def box(self, left: float, top: float, right: float, bottom: float, colour: str) -> None:
        sides = tuple(side * _SCALE for side in (left, top, right, bottom))
        self._draw.rounded_rectangle(sides, 3 * _SCALE, colour)

    def line(self, left: float, y: float, right: float) -> None:
        self._draw.line((left * _SCALE, y * _SCALE, right * _SCALE, y * _SCALE), _GRID, _SCALE)
