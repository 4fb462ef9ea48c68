"""The image of a page: found beside its layout file, opened, and how the file's coordinates lie on it."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from vocr_cli.core.data.images.file_kinds import IMAGE_SUFFIXES, MAX_PIXELS, is_image_name, too_many_pixels
from vocr_cli.core.data.images.open_image import plain_line
from vocr_cli.core.data.images.pages import load_page, page_count
from vocr_cli.core.data.readers.layout.page_model import LayoutPage, Point
from vocr_cli.core.errors import ImageError

_FOLDERS = ("", "..", "images", "image", "img", "imgs", "../images", "../image", "../img", "../imgs")
"""Where images lie, seen from the layout file: Transkribus has `page/*.xml` below them."""

_INNER_SUFFIXES = (".alto", ".page", ".hocr", ".xml", ".gt")
_PREFERRED = (".png", ".tif", ".tiff", ".jpg", ".jpeg")
_ALIKE = 0.01  # of the ratio of width and height: more is another picture
_CORRECT = "Correct its name in the layout file, put the image beside it, or name its folder with --images."


class PageImages:
    """Finds the images of layout files; folders are listed once.

    Args:
        root: The folder that holds them; None: they are looked for beside the layout files.
    """

    def __init__(self, root: Path | None = None) -> None:
        self._root = root
        self._listed: dict[str, dict[str, str]] = {}

    def find(self, file: Path, page: LayoutPage) -> Path:
        """The image of a page: by the name that the file gives, else by the file's own.

        Raises:
            ImageError: There is none.
        """
        folders = [self._root] if self._root is not None else [file.parent / part for part in _FOLDERS]
        names = [name.replace("\\", "/") for name in page.images]
        names = [name.removeprefix("file://") for name in names]
        for name in names:
            for folder in folders:
                path = folder / name
                if path.is_file() and not os.path.isdir(path):
                    return path
        for name in [os.path.basename(name.partition("?")[0]) for name in names]:
            for folder in folders:
                if found := self._in_folder(folder, name):
                    return found
        for stem in dict.fromkeys(
            [*(os.path.splitext(os.path.basename(name))[0] for name in names), *_stems(file)]
        ):
            for folder in folders:
                if found := self._by_stem(folder, stem):
                    return found
        named = f"{page.images[0]!r} is not there" if page.images else "it names none"
        where = self._root or f"{file.parent} and beside it"
        raise ImageError(
            f"no image of the page: {named}, and none is called {_stems(file)[-1]}.* in {where}", _CORRECT
        )

    def _in_folder(self, folder: Path, name: str) -> Path | None:
        actual = self._names(folder).get(_folded(name)) if name else None
        return folder / actual if actual is not None else None

    def _by_stem(self, folder: Path, stem: str) -> Path | None:
        names = self._names(folder)
        for suffix in (*_PREFERRED, *sorted(IMAGE_SUFFIXES)):
            actual = names.get(_folded(stem + suffix))
            if actual is not None:
                return folder / actual
        return None

    def _names(self, folder: Path) -> dict[str, str]:
        """The images of a folder by their names without regard to case and Unicode form."""
        key = os.path.abspath(folder)
        if key not in self._listed:
            try:
                names = sorted(entry.name for entry in os.scandir(folder) if is_image_name(entry.name))
            except OSError:
                names = []
            self._listed[key] = {_folded(name): name for name in reversed(names)}
        return self._listed[key]


class Placement(NamedTuple):
    """How coordinates of a file become px of an image: they are shifted, then scaled."""

    offset: tuple[float, float]
    scale: tuple[float, float]

    def of(self, points: list[Point]) -> np.ndarray:
        """(N, 2) float, px."""
        return (np.array(points, float).reshape(-1, 2) - self.offset) * self.scale


def open_page(path: Path, page: LayoutPage) -> tuple[Image.Image, Placement]:
    """Opens a page's image, turned upright or left as it is stored: as the file describes it.

    Returns:
        The image, mode RGB or L, and how the file's coordinates lie on it.

    Raises:
        ImageError: It cannot be read, has several pages of which none is named, or is another picture.
    """
    count = page_count(path)
    if count > 1 and page.frame is None:
        raise ImageError(f"{path} has {count:,} pages, and nothing says which is this one", "Split it.")
    image = load_page(path, (page.frame or 0) + 1 if count > 1 else 1, str(path))
    if image.width * image.height > MAX_PIXELS:
        raise too_many_pixels(str(path), image.size)
    per_inch = image.info.get("dpi", (0, 0))
    upright = plain_line(image)
    try:
        return upright, _placement(page, upright.size, per_inch)
    except ImageError:
        if upright.size == image.size:
            raise
    for key in ("exif", "xmp", "Raw profile type exif"):  # the file describes the image as it is stored
        image.info.pop(key, None)
    return plain_line(image), _placement(page, image.size, per_inch)


def _placement(page: LayoutPage, image_size: tuple[int, int], per_inch: tuple[float, float]) -> Placement:
    width, height = image_size
    if page.size is None:
        if page.units_per_inch is None:
            return Placement((0, 0), (1, 1))
        if not all(per_inch):
            unit = "1/10 mm" if page.units_per_inch < 1000 else "1/1200 inch"
            raise ImageError(
                f"its coordinates are in {unit}, and neither its Page has a size nor its image a resolution",
                "Give the Page a WIDTH and a HEIGHT.",
            )
        across, down = (float(value) / page.units_per_inch for value in per_inch)
        return Placement((0, 0), (across, down))
    frames = [(0.0, 0.0, *page.size), *page.areas]
    for left, top, right, bottom in frames:
        if page.units_per_inch is None and abs(right - left - width) <= 1 and abs(bottom - top - height) <= 1:
            return Placement((left, top), (1, 1))
    for left, top, right, bottom in frames:
        if right > left and bottom > top:
            scale = width / (right - left), height / (bottom - top)
            if abs(scale[0] / scale[1] - 1) <= _ALIKE:
                return Placement((left, top), scale)
    stated = f"{page.size[0]:g} × {page.size[1]:g}"
    raise ImageError(
        f"its image has {width} × {height} px, and the file describes one of {stated}: another picture",
        _CORRECT,
    )


def _stems(file: Path) -> list[str]:
    """What an image of a layout file's own name may be called: its name with fewer and fewer suffixes."""
    stems = [file.stem]
    while stems[-1].lower().endswith(_INNER_SUFFIXES):
        stems.append(os.path.splitext(stems[-1])[0])
    return stems


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
