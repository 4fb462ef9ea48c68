"""The lines of pages as pictures, with `labels.tsv` of what they say: to be corrected, and trained on.

They are cut as `vocr build-lmdb` cuts the lines of PAGE XML. A document's rows lie in `labels/` until the run
is complete.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from PIL import Image

from vocr_cli.core.data.images.cut_line import cut_line
from vocr_cli.core.data.readers.layout.line_shapes import line_shapes
from vocr_cli.core.data.readers.layout.page_image import Placement
from vocr_cli.core.data.readers.layout.page_model import LayoutLine
from vocr_cli.core.errors import DataError, ImageError, reason_of
from vocr_cli.core.machine.atomic_write import atomic_write
from vocr_cli.core.pages.inputs.documents import Document, open_document
from vocr_cli.core.pages.outputs.boxes import baseline, outline, whole_points
from vocr_cli.core.pages.page import Page

LABELS, NEW_LABELS = "labels.tsv", "labels.new.tsv"
_PARTS, _MARK = ".labels", "written"


def write_lines(folder: Path, document: Document, pages: Iterable[Page], dpi: float) -> None:
    """Writes the lines of a document: `images/STEM/0001-0001.png`, and their rows.

    Args:
        folder: Where they go.
        document: What the lines are of.
        pages: As they were read.
        dpi: What pages of PDFs were drawn at.

    Raises:
        DataError: A file cannot be written.
    """
    opened = open_document(document.path, dpi)
    rows = []
    try:
        for page in pages:
            if page.error or not page.lines:
                continue
            image = opened.page(page.number - 1)
            scaled = Image.fromarray(image.pixels)
            for number, (text, line) in enumerate(_cut(page, scaled, image.scale), 1):
                name = f"images/{document.stem}/{page.number:04}-{number:04}.png"
                with atomic_write(folder / name, only_writer=True) as temporary:
                    line.save(temporary, "PNG", compress_level=1)
                rows.append(f"{name}\t{text}\n")
        with atomic_write(folder / _PARTS / f"{document.stem}.tsv", only_writer=True) as temporary:
            temporary.write_text("".join(rows), encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"{folder} cannot be written: {reason_of(error)}.", "Free disk space, or name another folder."
        ) from None
    finally:
        opened.close()


def gather_labels(folder: Path) -> Path:
    """Writes `labels.tsv` of all documents whose rows lie in the folder; a corrected one is left alone.

    Returns:
        What was written: where `labels.tsv` was changed since, `labels.new.tsv` beside it.

    Raises:
        DataError: It cannot be written.
    """
    parts = sorted((folder / _PARTS).rglob("*.tsv")) if (folder / _PARTS).is_dir() else []
    labels, mark = folder / LABELS, folder / _PARTS / _MARK
    try:
        content = b"".join(part.read_bytes() for part in parts)
        there = labels.read_bytes() if labels.is_file() else content
        known = mark.read_text(encoding="ascii") if mark.is_file() else ""
        if there not in (content, b"") and _digest(there) != known:
            labels = folder / NEW_LABELS
        else:
            with atomic_write(mark, only_writer=True) as temporary:
                temporary.write_text(_digest(content), encoding="ascii")
        with atomic_write(labels, only_writer=True) as temporary:
            temporary.write_bytes(content)
        return labels
    except OSError as error:
        raise DataError(
            f"{folder / LABELS} cannot be written: {reason_of(error)}.", "Free disk space."
        ) from None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _cut(page: Page, image: Image.Image, scale: float) -> Iterator[tuple[str, Image.Image]]:
    """What each line says, and its picture; as PAGE XML describes the lines."""
    described = [
        LayoutLine(
            key=str(number),
            polygon=[(float(x), float(y)) for x, y in whole_points(outline(line), page)],
            baseline=[(float(x), float(y)) for x, y in whole_points(baseline(line), page)],
        )
        for number, line in enumerate(page.lines)
    ]
    shapes = line_shapes(described, Placement((0.0, 0.0), (1 / scale, 1 / scale)))
    for line, shape in zip(page.lines, shapes, strict=True):
        try:
            yield line.reading.text, cut_line(image, shape)
        except ImageError:  # of a line without area there is no picture
            continue
