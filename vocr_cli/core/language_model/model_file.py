"""The file of a language model: a line that names the format, a JSON header, and the n-grams as bytes.

    "vocr-lm 1" and a line feed
    the length of the header in bytes, decimal, and a line feed
    the header
    for each length of n-grams from 1 to `order`, as many bytes as `ngrams` says:
        the last symbol of each n-gram; its quantised probability; but for the longest, how many go on from it

The n-grams of a length are sorted, so those that go on from one stand together in the next length, in the
same order. Nothing in the file is executed.
"""

from __future__ import annotations

import json
import mmap
import zlib
from dataclasses import asdict, dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from vocr_cli.core.errors import ModelError, reason_of
from vocr_cli.core.language_model.counts import MAX_ORDER
from vocr_cli.core.language_model.find import MAGIC
from vocr_cli.core.machine.atomic_write import atomic_write
from vocr_cli.core.machine.files.input_file import parse_json

_VERSION = 1
_LONGEST_HEADER = 1 << 20
_REMEDY = "Write it anew with `vocr lm`."


@dataclass(frozen=True)
class TextFacts:
    """One text that a model was made of."""

    name: str
    characters: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a language model says of itself.

    Attributes:
        order: Length of the longest n-grams.
        alphabet: Symbol n is character n - 1 of it.
        ngrams: How many there are of each length.
        crc32: Checksum of all that follows the header.
        texts: What the model was counted on.
        provenance: Where the texts come from, and their licences.
        held_out_bits: Bits per character of text that was not counted; None: not measured.
    """

    order: int
    alphabet: str
    ngrams: tuple[int, ...]
    crc32: int
    texts: tuple[TextFacts, ...] = ()
    provenance: str = ""
    held_out_bits: float | None = None

    @classmethod
    def parse(cls, text: bytes) -> Header:
        """Reads the JSON of a file; pydantic is not asked, which takes longer to load than the whole model.

        Raises:
            ValueError: It is no JSON, lacks something, or says what cannot be.
        """
        values = parse_json(text)
        if not isinstance(values, dict):
            raise ValueError("its header is no JSON object")
        if unknown := [name for name in values if name not in _NAMES]:
            raise ValueError(f"{unknown[0]} is unknown")
        if lacking := [name for name in ("order", "alphabet", "ngrams", "crc32") if name not in values]:
            raise ValueError(f"{lacking[0]} is missing")
        order, alphabet, ngrams = values["order"], values["alphabet"], values["ngrams"]
        if not _is_count(order) or not 1 <= order <= MAX_ORDER:
            raise ValueError(f"order is {order!r}, not 1 to {MAX_ORDER}")
        if not isinstance(alphabet, str) or not 4 <= len(alphabet) <= 255:
            raise ValueError("alphabet is no text of 4 to 255 symbols")
        if not isinstance(ngrams, list) or not all(map(_is_count, ngrams)) or len(ngrams) != order:
            raise ValueError(f"order {order}, but n-grams {ngrams!r}")
        if not _is_count(values["crc32"]):
            raise ValueError(f"crc32 is {values['crc32']!r}")
        texts = tuple(TextFacts(**facts) for facts in values.get("texts", ()))
        return cls(**{**values, "ngrams": tuple(ngrams), "texts": texts})


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


_NAMES = frozenset(field.name for field in fields(Header))


@dataclass(frozen=True)
class StoredLevel:
    """The N n-grams of one length.

    Attributes:
        symbols: (N,) uint8, the last symbol of each, from 1 on.
        codes: (N,) uint8, its quantised probability.
        children: (N,) uint8, how many n-grams of the next length go on from it; empty at the greatest length.
    """

    symbols: np.ndarray
    codes: np.ndarray
    children: np.ndarray


def write_model(path: Path, header: Header, levels: list[StoredLevel]) -> int:
    """Writes a model in one step; the counts and the checksum in the header are set here.

    Returns:
        The size of the file in bytes.

    Raises:
        OSError: The file cannot be written.
    """
    body = b"".join(
        part.tobytes() for level in levels for part in (level.symbols, level.codes, level.children)
    )
    ngrams = tuple(len(level.symbols) for level in levels)
    complete = replace(header, ngrams=ngrams, crc32=zlib.crc32(body))
    text = json.dumps(asdict(complete), ensure_ascii=False).encode()
    with atomic_write(path) as temporary:
        return temporary.write_bytes(b"%b%d\n%d\n%b%b" % (MAGIC, _VERSION, len(text), text, body))


def read_model(path: Path) -> tuple[Header, list[StoredLevel]]:
    """Opens a model, its n-grams mapped into memory.

    Raises:
        ModelError: The file cannot be read, is no language model, of another version, or damaged.
    """
    try:
        with open(path, "rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except ValueError:
        raise ModelError(f"{path} is empty, no language model.", _REMEDY) from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.", "Check the path.") from None
    header, start = _read_header(path, content)
    sizes = header.ngrams
    expected = 3 * sum(sizes) - sizes[-1]
    if len(content) - start != expected:
        raise ModelError(
            f"{path} is damaged: {len(content) - start:,} bytes of n-grams, not {expected:,}.", _REMEDY
        )
    body = np.frombuffer(content, np.uint8, offset=start)
    if zlib.crc32(memoryview(content)[start:]) != header.crc32:
        raise ModelError(f"{path} is damaged: its checksum differs.", _REMEDY)
    levels, at = [], 0
    for length, size in enumerate(sizes, start=1):
        rows = 2 if length == header.order else 3
        parts = [body[at + row * size : at + (row + 1) * size] for row in range(rows)]
        levels.append(StoredLevel(parts[0], parts[1], parts[2] if rows == 3 else body[:0]))
        at += rows * size
    _check(path, header, levels)
    return header, levels


def describe(path: Path) -> dict[str, Any]:
    """Says what a model is of, by name.

    Raises:
        ModelError: It is none, or is damaged.
    """
    header, _ = read_model(path)
    return {
        "bytes": path.stat().st_size,
        "characters of an n-gram": header.order,
        "n-grams": sum(header.ngrams),
        "of each length": list(header.ngrams),
        "symbols": len(header.alphabet),
        "texts": [f"{text.name}, {text.characters:,} characters" for text in header.texts],
        "provenance": header.provenance or "not told",
        "held out, bits a character": (
            "not measured" if header.held_out_bits is None else round(header.held_out_bits, 3)
        ),
    }


def _read_header(path: Path, content: mmap.mmap) -> tuple[Header, int]:
    """Returns the header and where the n-grams begin."""
    if content[: len(MAGIC)] != MAGIC:
        raise ModelError(f"{path} is no language model of vocr's.", "Give a file that `vocr lm` wrote.")
    version, _, rest = content[len(MAGIC) : len(MAGIC) + 32].partition(b"\n")
    if version != b"%d" % _VERSION:
        raise ModelError(
            f"{path} has version {version.decode('ascii', 'replace')[:12]!r} of the format, not {_VERSION}.",
            "Update vocr, or write it anew with `vocr lm`.",
        )
    length, newline, _ = rest.partition(b"\n")
    start = len(MAGIC) + len(version) + 1 + len(length) + 1
    if not newline or not length.isdigit() or int(length) > _LONGEST_HEADER:
        raise ModelError(f"{path} is damaged: its header has no length.", _REMEDY)
    end = start + int(length)
    try:
        header = Header.parse(content[start:end])
    except (ValueError, TypeError) as error:
        raise ModelError(f"{path} is damaged: {reason_of(error)}.", _REMEDY) from None
    return header, end


def _check(path: Path, header: Header, levels: list[StoredLevel]) -> None:
    """Refuses n-grams that do not hang together, whatever their checksum says."""
    symbols = len(header.alphabet)
    sound = len(set(header.alphabet)) == symbols and np.array_equal(
        levels[0].symbols, np.arange(1, symbols + 1)
    )
    for level, above in pairwise(levels):
        sound = sound and int(level.children.sum(dtype=np.int64)) == len(above.symbols)
    sound = sound and all(level.symbols.min(initial=1) >= 1 for level in levels)
    if not (sound and all(level.symbols.max(initial=1) <= symbols for level in levels)):
        raise ModelError(f"{path} is damaged: its n-grams do not hang together.", _REMEDY)
