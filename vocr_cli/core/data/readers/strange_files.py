"""Files that hold no labelled lines, called by their names, each with what helps."""

from __future__ import annotations

import re
from pathlib import Path

from vocr_cli.core.data.readers.source_options import NothingLabelled
from vocr_cli.core.data.readers.tables.cells import CUT_LINES
from vocr_cli.core.errors import DataError

_STARTS: dict[bytes, tuple[str, str]] = {
    b"%PDF-": (
        "a PDF", "Draw its pages (pdftoppm -r 300 -png FILE.pdf page), and cut those into line images."
    ),
    b"PK\x03\x04": ("a ZIP or an Excel workbook", "Unpack it, or save the workbook as CSV in UTF-8."),
    b"\x1f\x8b": ("packed by gzip", "Unpack it: gunzip. Archives of tar are read if they end in .tar.gz."),
    b"7z\xbc\xaf\x27\x1c": ("a 7-Zip archive", "Unpack it, and name the folder."),
    b"Rar!": ("a RAR archive", "Unpack it, and name the folder."),
    b"\xd0\xcf\x11\xe0": ("an old Office document", "Save it as CSV in UTF-8."),
    b"SQLite format 3": ("an SQLite database", "Export its table as CSV in UTF-8."),
    b"\x80": ("a pickle, which could run any code", "Write its rows as CSV or JSON Lines."),
    b"\x93NUMPY": ("a numpy array", "Write the lines as images, and list them with their texts."),
    b"\x89HDF": ("an HDF5 file", "Write its rows as Parquet or JSON Lines."),
}  # fmt: skip
"""First bytes, what a file that begins so is, and what helps."""

_TEXT_BYTES_A_NUL = 64
"""A text may hold a stray NUL; with more of them than one in so many bytes, it is none."""

_INK = "InkML, strokes of a pen"
_XML_KINDS = {
    "PcGts": "PAGE XML", "alto": "ALTO XML", "html": "HTML or hOCR", "ink": _INK,
    "svg": "SVG, a drawing", "annotation": "XML of Pascal VOC, boxes on pictures",
    "annotations": "XML of CVAT, boxes on pictures", "tagset": "XML of the ICDAR sets", "TEI": "TEI XML",
}  # fmt: skip
_ROOT = re.compile(rb"<(?:\w+:)?([A-Za-z]\w*)[\s>/]")


def refuse_strange(path: Path, head: bytes) -> None:
    """Refuses a file that holds no labelled lines.

    Args:
        path: The file.
        head: Its first bytes.

    Raises:
        DataError: It is of a kind that is known to hold none.
    """
    for start, (what, remedy) in _STARTS.items():
        if head.startswith(start):
            raise DataError(f"{path} is {what}, not labelled lines.", remedy.replace("FILE", path.stem))
    if (kind := xml_kind(head)) is not None:
        raise DataError(
            f"{path} is {kind}, not a list of line images and their texts.",
            "Draw its strokes as images first, line by line." if kind == _INK else CUT_LINES,
        )
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(
            f"{path} is UTF-16.", "Save it as UTF-8, for instance with `iconv -f UTF-16 -t UTF-8`."
        )
    if head.count(0) > 1 + len(head) / _TEXT_BYTES_A_NUL:
        raise NothingLabelled(
            f"{path} holds bytes, not text, and is of no kind that holds labelled lines.",
            "Name an annotation file, a table, a folder of images and labels, or a database.",
        )


def xml_kind(head: bytes) -> str | None:
    """What kind of XML begins so; None: it is no XML."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text.startswith((b"<?xml", b"<!DOCTYPE", b"<!doctype")) and not re.match(rb"<[\w:]+[\s>]", text):
        return None
    root = _ROOT.search(re.sub(rb"<\?.*?\?>|<!--.*?-->|<![^>]*>", b"", text, flags=re.DOTALL))
    name = root[1].decode("ascii") if root else ""
    return _XML_KINDS.get(name, f"XML ({name})" if name else "XML")
