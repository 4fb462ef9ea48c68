"""Lines given as boxes by tools that mark them: PPOCRLabel, COCO, YOLO, kraken's segmenter.

`Label.txt` of PPOCRLabel: a page a line, its path, a tab, and a JSON list of quads. COCO: images and
annotations in one JSON object. YOLO: a text file for each image, of its name; a class and, as fractions of
the page, middle and size of a box, or the corners of a polygon. kraken: a JSON object with baselines and
boundaries, or boxes.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from PIL import Image

from vocr_cli.core.data.readers.layout.page_model import Box, LayoutLine, LayoutPage, Point, box_around
from vocr_cli.core.errors import DataError, reason_of
from vocr_cli.core.machine.files.input_file import open_input, read_within

_LINE_NAMES = {"line", "textline", "text_line", "text-line", "text line"}
_MUCH_LONGER = 1.5
_LEVEL, _UPSIDE_DOWN = 45.0, 135.0  # degrees from which a line stands, and lies on its head
_MOST_BYTES = 256 << 20
_HEAD_BYTES = 1 << 20
_REMEDY = "Write the file anew with the tool that it comes from."


def is_box_file(path: Path) -> bool:
    """Whether a file is one of boxes, by its name and its first line."""
    suffix = path.suffix.lower()
    if suffix == ".json":
        return True
    if suffix != ".txt":
        return False
    try:
        with open_input(path, pipes=False) as file:
            first = file.read(_HEAD_BYTES).decode("utf-8-sig", "replace").split("\n", 1)[0]
    except OSError:
        return False
    return _is_marked(first) or _is_yolo(first)


def read_boxes(path: Path) -> list[LayoutPage] | None:
    """Reads a file of boxes; None: it is none.

    Raises:
        DataError: It cannot be read, or is damaged.
    """
    if not is_box_file(path):
        return None
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DataError(f"{path}: {path.stat().st_size:,} bytes are too many for boxes.", "Split it.")
        text = read_within(path, _MOST_BYTES, pipes=False).decode("utf-8-sig")
        if path.suffix.lower() != ".json":
            return _marked_pages(text) if _is_marked(text.split("\n", 1)[0]) else [_yolo_page(path, text)]
        return _json_pages(path, json.loads(text))
    except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise DataError(f"{path} is damaged: {_what(error)}.", _REMEDY) from None


def _what(error: Exception) -> str:
    return f"`{error.args[0]}` is missing" if isinstance(error, KeyError) else reason_of(error)


def _is_marked(line: str) -> bool:
    return line.partition("\t")[2].lstrip().startswith("[")


def _is_yolo(line: str) -> bool:
    parts = line.split()
    if len(parts) < 5 or not parts[0].isdecimal():
        return False
    try:
        return all(-0.5 <= float(part) <= 1.5 for part in parts[1:])
    except ValueError:
        return False


def _marked_pages(text: str) -> list[LayoutPage]:
    """The pages of PPOCRLabel's `Label.txt`."""
    pages = []
    for number, row in enumerate(text.splitlines(), 1):
        if not row.strip():
            continue
        path, _, marks = row.partition("\t")
        lines = [
            LayoutLine(
                key=str(index),
                polygon=_points(mark["points"]),
                text=str(mark.get("transcription") or ""),
                angle=_heading(_points(mark["points"])),
            )
            for index, mark in enumerate(json.loads(marks), 1)
        ]
        # Paths begin with the name of the folder that Label.txt lies in.
        short = path.replace("\\", "/").partition("/")[2]
        pages.append(
            LayoutPage(key=str(number), images=[name for name in (path, short) if name], lines=lines)
        )
    return pages


def _json_pages(path: Path, content: Any) -> list[LayoutPage]:
    if isinstance(content, dict) and "annotations" in content and "images" in content:
        return _coco_pages(content)
    if isinstance(content, dict) and ("lines" in content or "boxes" in content):
        return [_kraken_page(content)]
    raise DataError(
        f"{path} is JSON, but neither COCO nor of kraken's segmenter.",
        "Name a file with `images` and `annotations`, or with `lines`.",
    )


def _coco_pages(content: dict[str, Any]) -> list[LayoutPage]:
    """Pages of COCO; where there is a category of lines, only its annotations count."""
    names = {item["id"]: str(item.get("name", "")).lower() for item in content.get("categories", [])}
    lines = {key for key, name in names.items() if name in _LINE_NAMES}
    pages: dict[Any, LayoutPage] = {}
    for image in content["images"]:
        size = (float(image["width"]), float(image["height"])) if image.get("width") else None
        pages[image["id"]] = LayoutPage(key=str(image["id"]), images=[str(image["file_name"])], size=size)
    for index, annotation in enumerate(content["annotations"], 1):
        if lines and annotation.get("category_id") not in lines:
            continue
        page = pages.get(annotation["image_id"])
        if page is None:
            raise DataError(
                f"annotation {annotation.get('id', index)} is of image {annotation['image_id']}, which is "
                "not among `images`",
                _REMEDY,
            )
        page.lines.append(_coco_line(annotation, index))
    return list(pages.values())


def _coco_line(annotation: dict[str, Any], index: int) -> LayoutLine:
    line = LayoutLine(key=str(annotation.get("id", index)))
    outline = annotation.get("segmentation")
    if isinstance(outline, list) and outline and isinstance(outline[0], list) and len(outline[0]) >= 6:
        numbers = [float(value) for value in outline[0]]
        line.polygon = list(zip(numbers[::2], numbers[1::2], strict=True))
        return line
    left, top, width, height = (float(value) for value in annotation["bbox"])
    line.box = (left, top, left + width, top + height)
    if width <= 0 or height <= 0:
        line.fault = f"its bbox is {width:g} × {height:g}"
    return line


def _kraken_page(content: dict[str, Any]) -> LayoutPage:
    """The page of kraken's segmenter, from `segment -bl` or of boxes."""
    page = LayoutPage(images=[str(content[key]) for key in ("imagename", "image") if content.get(key)])
    found = content.get("lines") or content.get("boxes") or []
    for index, entry in enumerate(found, 1):
        if isinstance(entry, list):
            page.lines.append(LayoutLine(key=str(index), box=_box(entry)))
            continue
        line = LayoutLine(key=str(entry.get("id", index)))
        line.baseline = _points(entry.get("baseline") or [])
        line.polygon = _points(entry.get("boundary") or [])
        if entry.get("bbox"):
            line.box = _box(entry["bbox"])
        if not (line.baseline or line.polygon or line.box):
            line.fault = "it has neither a baseline, a boundary nor a bbox"
        page.lines.append(line)
    return page


def _yolo_page(path: Path, text: str) -> LayoutPage:
    """The page of a file of YOLO's, whose fractions are of its image."""
    image = _yolo_image(path)
    with Image.open(image) as opened:
        width, height = opened.size
    page = LayoutPage(images=[str(image.resolve())], size=(float(width), float(height)))
    for number, row in enumerate(text.splitlines(), 1):
        if not row.strip():
            continue
        if not _is_yolo(row):
            page.lines.append(LayoutLine(key=str(number), fault=f"no class and fractions: {row[:40]!r}"))
            continue
        values = [float(value) for value in row.split()[1:]]
        line = LayoutLine(key=str(number))
        if len(values) in (4, 5):  # a fifth is how sure a detector was
            x, y, w, h = (value * side for value, side in zip(values, (width, height) * 2, strict=False))
            line.box = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
            if w <= 0 or h <= 0:
                line.fault = "its box has no area"
        else:
            line.polygon = [(x * width, y * height) for x, y in zip(values[::2], values[1::2], strict=False)]
            heading = _heading(line.polygon)
            # Corners begin anywhere: a level line is rather upright than upside down.
            line.angle = heading if heading is not None and abs(heading) <= _UPSIDE_DOWN else None
        page.lines.append(line)
    return page


def _yolo_image(path: Path) -> Path:
    """The image of a file of YOLO's: beside it, or in `images` beside its folder `labels`."""
    folders = [path.parent]
    parts = list(path.parent.parts)
    for at in range(len(parts) - 1, -1, -1):
        if parts[at] == "labels":
            folders.append(Path(*parts[:at], "images", *parts[at + 1 :]))
            break
    for folder in folders:
        for suffix in (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"):
            for name in (path.stem + suffix, path.stem + suffix.upper()):
                if (folder / name).is_file():
                    return folder / name
    raise DataError(
        f"{path}: no image {path.stem}.* beside it, nor in `images` beside `labels`.",
        "Put the image beside the file.",
    )


def _heading(corners: list[Point]) -> float | None:
    """Degrees clockwise that the text of a quad runs; None: it is nearly level, or no quad.

    It runs from the first corner to the second, as PaddleOCR cuts quads out, but along a quad that is much
    longer the other way.
    """
    if len(corners) != 4:
        return None
    first, second, _, last = corners
    end = last if math.dist(first, last) >= _MUCH_LONGER * math.dist(first, second) else second
    heading = math.degrees(math.atan2(end[1] - first[1], end[0] - first[0]))
    return None if abs(heading) <= _LEVEL else heading


def _points(values: Any) -> list[Point]:
    points = [(float(x), float(y)) for x, y in values]
    if not all(math.isfinite(value) for point in points for value in point):
        raise ValueError("coordinates are no numbers")
    return points


def _box(values: Any) -> Box:
    left, top, right, bottom = (float(value) for value in values)
    return box_around([(left, top), (right, bottom)])
