"""What a database of labelled lines holds, in VietOCR's and clovaai's LMDB layouts. N lines.

VietOCR numbers from 0 and keeps `path-` and `dim-` beside `image-` and `label-`, but writes a `num-samples`
that is one short; clovaai (PARSeq, TRBA) numbers from 1. Ours is VietOCR's with a true count and one packed
record of all widths, heights and label lengths, so that opening a large set costs one read; another one holds
the characters that occur, so that no label need be read to see whether a charset has them all.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal

import lmdb
import numpy as np
from PIL import Image

from vocr_cli.core.data.progress import OnProgress, ignore_progress
from vocr_cli.core.errors import DataError
from vocr_cli.core.text import clean

Layout = Literal["vietocr", "clovaai"]

COUNT_KEY = b"num-samples"
INDEX_KEY = b"vocr-index"
CHARACTERS_KEY = b"vocr-characters"  # [N, the characters of all labels in order], JSON
FIRST_NUMBER: dict[Layout, int] = {"vietocr": 0, "clovaai": 1}

_INDEX_HEAD = struct.Struct("<4sIQ")  # magic, version, N; then N int32 widths, heights, label lengths
_INDEX_MAGIC = b"VOIX"
_INDEX_VERSION = 1
_REPORTED = 1000
_UNREADABLE = "\ufffd"


@dataclass(frozen=True)
class StoredLine:
    """One labelled line.

    Attributes:
        image: The encoded image (PNG, JPEG, …).
        text: What it shows.
        path: Of the file that it came from.
    """

    image: bytes
    text: str
    path: str


@dataclass(frozen=True)
class LineIndex:
    """What is known of every line without reading it: three (N,) int32 arrays, 12 bytes a line.

    Widths and heights are px of the stored images, 0 where an image's header cannot be read; label lengths
    are characters of the cleaned labels. `characters` are those of all labels, each once, in order, U+FFFD
    among them where a label is missing or no UTF-8; None where no one has looked.
    """

    widths: np.ndarray
    heights: np.ndarray
    label_lengths: np.ndarray
    characters: str | None = None

    def pack(self) -> bytes:
        """The value of the `vocr-index` record."""
        arrays = (self.widths, self.heights, self.label_lengths)
        head = _INDEX_HEAD.pack(_INDEX_MAGIC, _INDEX_VERSION, len(self.widths))
        return head + b"".join(array.astype("<i4").tobytes() for array in arrays)

    @staticmethod
    def read(transaction: lmdb.Transaction, lines: int) -> LineIndex | None:
        """The index that a database carries; None if there is none that describes `lines` lines.

        The arrays are one copy of the record: memory of the map must not outlive the transaction.
        """
        record = transaction.get(INDEX_KEY)
        if record is None or len(record) != _INDEX_HEAD.size + 12 * lines:
            return None
        if _INDEX_HEAD.unpack_from(record) != (_INDEX_MAGIC, _INDEX_VERSION, lines):
            return None
        table = np.frombuffer(record, "<i4", offset=_INDEX_HEAD.size).reshape(3, lines).astype(np.int32)
        return LineIndex(table[0], table[1], table[2], _characters(transaction, lines))


def line_key(kind: str, number: int, layout: Layout) -> bytes:
    """The key of line `number`, counted from 0, in a layout; kind is image, label, path or dim."""
    return b"%s-%09d" % (kind.encode(), number + FIRST_NUMBER[layout])


def pack_characters(characters: set[str], lines: int) -> bytes:
    """The value of the `vocr-characters` record."""
    return json.dumps([lines, "".join(sorted(characters))]).encode()


def read_characters(labels: Iterator[str]) -> str:
    """The characters of labels, each once, in order."""
    found: set[str] = set()
    for label in labels:
        found.update(label)
    return "".join(sorted(found))


def stored_label(transaction: lmdb.Transaction, number: int, layout: Layout) -> str:
    """The cleaned label of a line; U+FFFD where there is none, and for what is no UTF-8."""
    label = transaction.get(line_key("label", number, layout))
    return _UNREADABLE if label is None else clean(bytes(label).decode("utf-8", "replace"))


def scan_index(
    transaction: lmdb.Transaction,
    lines: int,
    layout: Layout,
    on_progress: OnProgress = ignore_progress,
) -> LineIndex:
    """Makes the index of a database that carries none: from its `dim-` records, else the images' headers.

    Args:
        transaction: Of the database.
        lines: N.
        layout: Its keys.
        on_progress: Called with the number of lines looked at since the last call.
    """
    table = np.zeros((3, lines), np.int32)
    characters: set[str] = set()
    for number in range(lines):
        if number % _REPORTED == 0 and number:
            on_progress(_REPORTED)
        dim = transaction.get(line_key("dim", number, layout))
        if dim is not None and len(dim) == 8:
            table[1, number], table[0, number] = struct.unpack("<ii", dim)
        else:
            table[:2, number] = _header_size(bytes(transaction.get(line_key("image", number, layout)) or b""))
        label = stored_label(transaction, number, layout)
        table[2, number] = len(label)
        characters.update(label)
    on_progress((lines - 1) % _REPORTED + 1 if lines else 0)
    return LineIndex(table[0], table[1], table[2], "".join(sorted(characters)))


def _characters(transaction: lmdb.Transaction, lines: int) -> str | None:
    record = transaction.get(CHARACTERS_KEY)
    try:
        count, characters = json.loads(bytes(record or b""))
    except (ValueError, TypeError, RecursionError):  # there is none, or it is damaged: labels tell as well
        return None
    return characters if count == lines and isinstance(characters, str) else None


def _header_size(image: bytes) -> tuple[int, int]:
    try:
        with Image.open(BytesIO(image)) as opened:
            return opened.size
    except (
        Exception
    ):  # decoders raise anything on damaged images; whoever reads the line learns what is wrong
        return 0, 0


def stated_count(transaction: lmdb.Transaction) -> int | None:
    """What `num-samples` says, right or wrong; None if it is missing or no number."""
    try:
        return int(bytes(transaction.get(COUNT_KEY) or b""))
    except ValueError:
        return None


def layout_and_count(transaction: lmdb.Transaction, path: Path) -> tuple[Layout, int]:
    """Tells the layout by the first key, the count by the last: `num-samples` of VietOCR is one short.

    Raises:
        DataError: The environment holds no text lines, or the last one's number is beyond all records.
    """
    first: dict[bytes, Layout] = {b"image-%09d" % number: layout for layout, number in FIRST_NUMBER.items()}
    with transaction.cursor() as cursor:
        if not cursor.set_range(b"image-") or (key := bytes(cursor.key())) not in first:
            raise DataError(
                f"{path} is an LMDB, but not of text lines: neither key image-000000000 nor image-000000001.",
                "Build one with `vocr build-lmdb ANNOTATIONS OUT`.",
            )
        moved = cursor.set_range(b"image.")  # "." follows "-": the first key past the images
        last = bytes(cursor.key()) if (cursor.prev() if moved else cursor.last()) else key
    layout, number = first[key], last.removeprefix(b"image-")
    lines = int(number) - FIRST_NUMBER[layout] + 1 if number.isdigit() else 0
    index = transaction.get(INDEX_KEY)
    records = max(transaction.stat()["entries"], 0 if index is None else len(index) // 12)
    if not 0 < lines <= records:  # each line has records of its own, or stands in the index
        raise DataError(
            f"{path}: its last line has the key {last[:40]!r}, which cannot be.",
            "The database is damaged: copy or build it again.",
        )
    return layout, lines
