"""Which detector finds the lines: the one that was named, or the best that is installed."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from typing import Literal

from vocr_cli.core.errors import DependencyError
from vocr_cli.core.pages.detectors.detector import Detector

DetectorName = Literal["rapidocr", "tesseract", "layout"]
"""What finds lines: a network, Tesseract's layout analysis, or a file that gives them."""


def choose_detector() -> DetectorName:
    """Chooses the best detector that is installed.

    Raises:
        DependencyError: There is none.
    """
    from vocr_cli.core.pages.detectors.text_map import network_file

    if network_file() is not None and find_spec("cv2") is not None:
        return "rapidocr"
    if shutil.which("tesseract"):
        return "tesseract"
    raise DependencyError(
        "Nothing that finds lines on pages is installed.",
        "pip install 'vocr-cli[pages]', or install Tesseract (Debian: apt-get install tesseract-ocr), or "
        "name files that give the lines.",
    )


def make_detector(name: DetectorName, threads: int) -> Detector:
    """Makes a detector.

    Args:
        name: Which one; not `layout`, whose lines come with the pages.
        threads: Processors for one page.

    Raises:
        DependencyError: It is not installed.
    """
    if name == "tesseract":
        from vocr_cli.core.pages.detectors.tesseract import TesseractDetector

        return TesseractDetector()
    from vocr_cli.core.pages.detectors.text_map import TextMapDetector

    return TextMapDetector(threads)
