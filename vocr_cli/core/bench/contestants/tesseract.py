"""Tesseract as a peer: one process over a list of the same images, each in the margin it reads best in."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from vocr_cli.core.errors import DependencyError

MARGIN_PX = 10
_INSTALL = "Install it: apt install tesseract-ocr tesseract-ocr-vie, or see tesseract-ocr.github.io."


@dataclass(frozen=True)
class TesseractPass:
    """One pass over N lines: seconds of start-up alone, seconds of the whole process, and N texts."""

    start_s: float
    seconds: float
    texts: list[str]


class Tesseract:
    """Tesseract over N line images, written with their margins to `folder` beforehand.

    Args:
        images: N lines.
        folder: An empty folder.
        threads: OMP_THREAD_LIMIT.

    Raises:
        DependencyError: Tesseract or its Vietnamese data is missing.
    """

    def __init__(self, images: Sequence[Image.Image], folder: Path, threads: int) -> None:
        self.version = find_tesseract()
        self._folder = folder
        self._environment = {**os.environ, "OMP_THREAD_LIMIT": str(threads)}
        files = []
        for number, image in enumerate(images):
            files.append(folder / f"{number:06d}.png")
            with_margin(image).save(files[-1], compress_level=1)
        self._count = len(files)
        self._all = self._list("all.txt", files)
        blank = folder / "blank.png"
        Image.new("L", (64, 48), 255).save(blank)
        self._blank = self._list("blank.txt", [blank])

    def read(self) -> TesseractPass:
        """Start Tesseract on one blank image, to time how it loads its model, then on all lines.

        Raises:
            DependencyError: Tesseract failed; its own words are given.
        """
        start_s, _ = self._run(self._blank)
        seconds, output = self._run(self._all)
        pages = [" ".join(page.split()) for page in output.split("\f")]
        pages += [""] * (self._count - len(pages))
        return TesseractPass(start_s, seconds, pages[: self._count])

    def _list(self, name: str, files: Sequence[Path]) -> Path:
        path = self._folder / name
        path.write_text("".join(f"{file}\n" for file in files), encoding="utf-8")
        return path

    def _run(self, images: Path) -> tuple[float, str]:
        command = ["tesseract", str(images), str(self._folder / "out"), "-l", "vie", "--psm", "7"]
        began = time.perf_counter()
        process = subprocess.run(
            command, env=self._environment, capture_output=True, text=True, errors="replace"
        )
        seconds = time.perf_counter() - began
        if process.returncode:
            raise DependencyError(f"Tesseract failed: {process.stderr.strip()[-300:]}", _INSTALL)
        return seconds, (self._folder / "out.txt").read_text(encoding="utf-8", errors="replace")


def find_tesseract() -> str:
    """Return the version of the installed Tesseract.

    Raises:
        DependencyError: Tesseract or its Vietnamese data is missing.
    """
    if shutil.which("tesseract") is None:
        raise DependencyError("Tesseract is not installed.", _INSTALL)
    languages = subprocess.run(["tesseract", "--list-langs"], capture_output=True, text=True).stdout.split()
    if "vie" not in languages:
        raise DependencyError(
            "Tesseract has no Vietnamese data.", "Install it: apt install tesseract-ocr-vie."
        )
    version = subprocess.run(["tesseract", "--version"], capture_output=True, text=True)
    return (version.stdout or version.stderr).split("\n")[0].strip()


def with_margin(image: Image.Image) -> Image.Image:
    """Return the line with `MARGIN_PX` of its ground, the median colour of its border, on every side."""
    pixels = np.asarray(image.convert("RGB"))  # (H, W, 3)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    red, green, blue = (int(value) for value in np.median(border, axis=0))
    larger = Image.new("RGB", (image.width + 2 * MARGIN_PX, image.height + 2 * MARGIN_PX), (red, green, blue))
    larger.paste(image, (MARGIN_PX, MARGIN_PX))
    return larger if np.ptp(pixels, axis=2).any() else larger.convert("L")
