"""What a cell of a table holds: an image, a text, a number, a JSON document, or nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Literal

from vocr_cli.core.machine.files.input_file import parse_json

TEXT_NAMES = (
    "text", "label", "transcription", "ground_truth", "gt", "caption", "sentence", "words", "word",
    "text_sequence", "transcript", "labels", "texts", "ocr", "ocr_text", "content", "string", "value",
)  # fmt: skip
"""What columns of texts are usually called, the likeliest first; case is ignored."""

CUT_LINES = "Cut the lines out of the pages first, and list each with its text."
"""What helps where labels are positions on pages."""

CellKind = Literal["nothing", "image", "number", "document", "boxes", "text", "other"]

_NUMBER = re.compile(r"[-+]?(\d+([.,]\d+)*|\.\d+)([eE][-+]?\d+)?%?")
_IMAGE_STARTS = (
    b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"RIFF", b"P1", b"P2", b"P3", b"P4",
    b"P5", b"P6", b"\0\0\0\x0cjP", b"\0\0\0\x1cftypavif", b"\0\0\0\x20ftypavif",
)  # fmt: skip
_BOX_KEYS = {
    "points",
    "bbox",
    "box",
    "polygon",
    "polygons",
    "segmentation",
    "quad",
    "shape_type",
    "keypoints",
}
_REGION_KEYS = {"x", "y", "width", "height"}
_PART_OF_A_PAGE = 2500  # per cent of the width times per cent of the height: a quarter of it
_OF_A_DOCUMENT = ("gt_parse",)


class NumberText(str):
    """A number as a JSON file writes it, `1.50` with its last zero: as a label, that is its text."""

    __slots__ = ()


def kind_of(cell: Any) -> CellKind:
    """What a cell holds; a name is text until someone has looked whether it is that of an image."""
    if cell is None or cell == "" or cell == [] or (isinstance(cell, float) and cell != cell):
        return "nothing"
    if isinstance(cell, bytes):
        return "image" if cell.startswith(_IMAGE_STARTS) else "other"
    if isinstance(cell, dict):
        if isinstance(cell.get("bytes"), bytes) or ("bytes" in cell and isinstance(cell.get("path"), str)):
            return "image"
        return "boxes" if holds_boxes(cell) else "document"
    if isinstance(cell, bool):
        return "other"
    if isinstance(cell, int | float | NumberText):
        return "number"
    if isinstance(cell, list):
        if holds_boxes(cell):
            return "boxes"
        if all(isinstance(value, dict) for value in cell):
            return "document"
        return "text" if all(isinstance(value, str) for value in cell) else "other"
    if isinstance(cell, str):
        if _NUMBER.fullmatch(cell.strip()):
            return "number"
        document = parsed_document(cell)
        if document is not None:
            return "boxes" if holds_boxes(document) else "document"
        return "text"
    return "number" if type(cell).__name__ == "Decimal" else "other"


def text_of(cell: Any, *, of_documents: bool = True) -> str | None:
    """The text that a cell stands for: its own, a number's, that within a document; None: there is none.

    Args:
        cell: As its table has it.
        of_documents: Whether its column holds JSON documents; elsewhere `{"a": 1}` is a text like others.
    """
    if isinstance(cell, str):
        is_plain = not of_documents and not cell.lstrip().startswith(("[{", '["'))
        document = None if is_plain else parsed_document(cell)
        return str(cell) if document is None else text_in(document)
    if isinstance(cell, bool) or cell is None:
        return None
    if isinstance(cell, float):
        return None if cell != cell else repr(int(cell)) if cell.is_integer() else repr(cell)
    if isinstance(cell, int) or type(cell).__name__ == "Decimal":
        return str(cell)
    if isinstance(cell, bytes):
        try:
            return cell.decode("utf-8")
        except UnicodeDecodeError:
            return None
    return text_in(cell)


def parsed_document(text: str) -> Any:
    """The JSON object or list of objects or texts that a text is; None: it is a text."""
    text = text.strip()
    if not (text.startswith("{") and text.endswith("}")) and not (
        text.startswith(("[{", '["')) and text.endswith("]")
    ):
        return None
    try:
        return parse_json(text)
    except ValueError:
        return None


def text_in(value: Any) -> str | None:
    """The one text in a parsed document, as SynthDoG and Label Studio write it; None: there is no one text.

    `{"gt_parse": {"text_sequence": "…"}}` holds one, as does a list of one text.
    """
    try:
        return _text_in(value)
    except RecursionError:  # no text lies so deep
        return None


def _text_in(value: Any) -> str | None:
    if isinstance(value, list):
        counting = [one for one in value if not was_skipped(one)]
        return text_of(counting[0]) if len(counting) == 1 else None
    if not isinstance(value, dict) or holds_boxes(value) or was_skipped(value):
        return None
    for key in _OF_A_DOCUMENT:
        if key in value:
            return text_in(value[key])
    named = [name for name in TEXT_NAMES if name in value]
    return text_of(value[named[0]]) if named else None


def was_skipped(value: Any) -> bool:
    """Whether somebody passed by a task of Label Studio, whose draft of an answer is kept."""
    return isinstance(value, dict) and value.get("was_cancelled") is True


def fields_of(value: Any) -> str:
    """The names of what a document holds, for a sentence: `gt_parse.menu, gt_parse.total`."""
    if isinstance(value, str):
        value = parsed_document(value)
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return "no fields"
    names = []
    for key, inner in value.items():
        below = inner if isinstance(inner, dict) else {}
        names += [f"{key}.{name}" for name in below] or [str(key)]
    return ", ".join(names)[:120]


def holds_boxes(value: Any) -> bool:
    """Whether a document gives positions on a page: labels of text detection."""
    values: Iterable[Any] = value if isinstance(value, list) else [value]
    return any(isinstance(one, dict) and _has_boxes(one) for one in values)


def _has_boxes(value: dict[str, Any]) -> bool:
    shapes = value.get("shapes")  # LabelMe's
    return bool(_BOX_KEYS & value.keys()) or value.keys() >= _REGION_KEYS or isinstance(shapes, list)


def marks_region(cell: Any) -> bool:
    """Whether a cell gives a small part of an image, in per cent, as Label Studio does for a page's lines."""
    value = parsed_document(cell) if isinstance(cell, str) else cell
    if isinstance(value, list):
        return any(isinstance(one, dict) and marks_region(one) for one in value)
    if not isinstance(value, dict) or not value.keys() >= {*_REGION_KEYS, "original_width"}:
        return False
    try:
        return float(value["width"]) * float(value["height"]) < _PART_OF_A_PAGE
    except (TypeError, ValueError):
        return False
