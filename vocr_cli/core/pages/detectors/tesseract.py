"""Lines by Tesseract's layout analysis, as its hOCR gives them; what it reads in them is not used."""

from __future__ import annotations

import io
import math
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from vocr_cli.core.data.images.line_crop import quad_size
from vocr_cli.core.errors import DataError, DependencyError
from vocr_cli.core.pages.detectors.detector import FoundLines, PageImage, TextBox
from vocr_cli.core.pages.lines.join import found_lines

REMEDY = "Install it (Debian: apt-get install tesseract-ocr tesseract-ocr-vie), or name another --detector."

_XHTML = "{http://www.w3.org/1999/xhtml}"
_LINES = {"ocr_line", "ocr_header", "ocr_caption", "ocr_textfloat"}
_NUMBERS = {
    "bbox": re.compile(r"\bbbox (-?\d+) (-?\d+) (-?\d+) (-?\d+)"),
    "baseline": re.compile(r"\bbaseline (-?[\d.]+) (-?[\d.]+)"),
    "textangle": re.compile(r"\btextangle (-?[\d.]+)"),
}
_APART = 1.6  # times the height of a line: words farther apart are of different lines
_MARGIN = 0.07
_BESIDE = 0.2  # margin of lines that stand: nothing tells how far letters reach below their baseline
_LEAST_PX = 6
_STEEPEST = 1.0  # of a baseline: under standing lines Tesseract writes slopes of hundreds, or none
_SECONDS = 600


class TesseractDetector:
    """Finds lines by Tesseract.

    Raises:
        DependencyError: It is not installed, or has no data of a language.
    """

    name = "tesseract"

    def __init__(self) -> None:
        if shutil.which("tesseract") is None:
            raise DependencyError("--detector tesseract needs Tesseract, which is not installed.", REMEDY)
        self._language = _language()

    def find(self, page: PageImage) -> FoundLines:
        """Finds the lines of a page.

        Raises:
            DataError: Tesseract fails on it.
        """
        if max(page.width, page.height) > 32_767:
            raise DataError(
                f"{page.name}: Tesseract takes no page of {page.width:,} × {page.height:,} px.",
                "Cut it into pages, or use --detector rapidocr.",
            )
        quads = self._found(page)
        if sum(map(_level_px, quads)) < 0:  # of lines that stand Tesseract misses much
            laid = self._found(replace(page, pixels=np.rot90(page.pixels)))
            quads = [np.stack([page.width - quad[:, 1], quad[:, 0]], axis=1) for quad in laid]
        return found_lines(page, [TextBox(quad) for quad in quads])

    def _found(self, page: PageImage) -> list[np.ndarray]:
        """The quads of lines on a page, (4, 2) each, within it."""
        lines = [line for line in self._hocr(page).iter(f"{_XHTML}span") if line.get("class") in _LINES]
        quads = (quad.clip((0, 0), (page.width, page.height)) for line in lines for quad in _quads(line))
        return [quad for quad in quads if min(quad_size(quad)) >= 1]

    def _hocr(self, page: PageImage) -> ElementTree.Element:
        file = io.BytesIO()
        Image.fromarray(page.pixels).save(file, "PNG", compress_level=1)
        command = ["tesseract", "stdin", "stdout", "-l", self._language, "--psm", "3"]
        if page.dpi:
            command += ["--dpi", str(round(page.dpi))]
        try:
            done = subprocess.run(
                [*command, "hocr"],
                input=file.getvalue(),
                capture_output=True,
                timeout=_SECONDS,
                env={**os.environ, "OMP_THREAD_LIMIT": "1"},
            )
            if done.returncode == 0:
                return ElementTree.fromstring(done.stdout.decode("utf-8", "replace"))
            reason = done.stderr.decode("utf-8", "replace").strip().split("\n")[-1]
        except (OSError, subprocess.TimeoutExpired, ElementTree.ParseError) as error:
            reason = str(error)
        raise DataError(f"{page.name}: Tesseract fails on it: {reason}.", "Use --detector rapidocr.")


@cache
def _language() -> str:
    """The data that Tesseract is to use: Vietnamese, or else what there is."""
    listed = subprocess.run(["tesseract", "--list-langs"], capture_output=True, text=True).stdout.split("\n")
    names = [name.strip() for name in listed[1:] if name.strip() not in ("", "osd", "equ", "snum")]
    for wanted in ("vie", "eng"):
        if wanted in names:
            return wanted
    if not names:
        raise DependencyError("Tesseract has no data of a language.", REMEDY)
    return names[0]


def _quads(line: ElementTree.Element) -> Iterator[np.ndarray]:
    """The quads of a line, (4, 2) each: one, or where words stand far apart, several."""
    box, angle, base = _facts(line)
    if box is None:
        return
    slope, offset = base or (0.0, 0.0)
    words = [found for word in line.iter(f"{_XHTML}span") if (found := _facts(word)[0]) is not None]
    words = [word for word in words if word != box] or [box]
    quarters = round(angle / 90) % 4
    stands = abs(slope) > _STEEPEST or (base is None and box[3] - box[1] > box[2] - box[0])
    if not quarters and stands:
        quarters = 1  # upwards, as most standing lines are; they are turned if they read better so
    across, along = (0, 1) if quarters % 2 else (1, 0)
    height = float(np.median([word[across + 2] - word[across] for word in words]))
    if height < _LEAST_PX and box[along + 2] - box[along] < 4 * _LEAST_PX:
        return
    for group in _groups(words, along, _APART * height):
        yield _turned(group, quarters) if quarters else _along(group, box, slope, offset)


def _groups(words: list[tuple[float, ...]], along: int, apart: float) -> Iterator[list[tuple[float, ...]]]:
    """Parts words, along x (0) or y (1), where the gap between two is wider than `apart`."""
    group: list[tuple[float, ...]] = []
    for word in sorted(words, key=lambda each: each[along]):
        if group and word[along] - max(each[along + 2] for each in group) > apart:
            yield group
            group = []
        group.append(word)
    yield group


def _along(words: list[tuple[float, ...]], box: tuple[float, ...], slope: float, offset: float) -> np.ndarray:
    """The quad of words on a baseline: y = slope · (x - left) + bottom + offset, seen from the line's box."""

    def base(x: float) -> float:
        return slope * (x - box[0]) + box[3] + offset

    left, right = min(word[0] for word in words), max(word[2] for word in words)
    above = max(base((word[0] + word[2]) / 2) - word[1] for word in words)
    below = max(word[3] - base((word[0] + word[2]) / 2) for word in words)
    lean = abs(slope) * max(word[2] - word[0] for word in words) / 2  # a tilted word's box is too high
    above, below = max(above - lean, 1.0), max(below - lean, 0.25 * above)
    margin = _MARGIN * (above + below)
    up, down = above + margin, below + margin
    ends = [(left - margin, base(left)), (right + margin, base(right))]
    along = np.array([1.0, slope]) / math.hypot(1.0, slope)
    lower = np.array([-along[1], along[0]])
    (a, b) = (np.array(end) for end in ends)
    return np.array([a - up * lower, b - up * lower, b + down * lower, a + down * lower])


def _turned(words: list[tuple[float, ...]], quarters: int) -> np.ndarray:
    """The quad of words that are turned by quarters, counter-clockwise."""
    left, top = (min(word[side] for word in words) for side in (0, 1))
    right, bottom = (max(word[side] for word in words) for side in (2, 3))
    margin = _BESIDE * (right - left if quarters % 2 else bottom - top)
    left, top, right, bottom = left - margin, top - margin, right + margin, bottom + margin
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], float)
    return np.roll(corners, quarters, axis=0)


def _level_px(quad: np.ndarray) -> float:
    """How far a line runs from left to right, or where it stands, less than nothing, how far up or down."""
    across, down = np.abs(quad[1] - quad[0])
    return float(across - down)


def _facts(
    element: ElementTree.Element,
) -> tuple[tuple[float, ...] | None, float, tuple[float, float] | None]:
    """Box, angle and baseline that an element's title gives."""
    title = element.get("title", "")
    found = {name: pattern.search(title) for name, pattern in _NUMBERS.items()}
    box = found["bbox"]
    angle, base = found["textangle"], found["baseline"]
    return (
        tuple(map(float, box.groups())) if box else None,
        float(angle[1]) if angle else 0.0,
        (float(base[1]), float(base[2])) if base else None,
    )
