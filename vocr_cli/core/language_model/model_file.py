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
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vocr_cli.core.errors import ModelError
from vocr_cli.core.language_model.counts import MAX_ORDER
from vocr_cli.core.machine.atomic_write import atomic_write

_MAGIC = b"vocr-lm "
_VERSION = 1
_LONGEST_HEADER = 1 << 20
_REMEDY = "Write it anew with `vocr lm`."


class TextFacts(BaseModel):
    """One text that a model was made of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    characters: int
    sha256: str


class Header(BaseModel):
    """What a language model says of itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    order: Annotated[int, Field(ge=1, le=MAX_ORDER, description="Length of the longest n-grams.")]
    alphabet: Annotated[
        str, Field(min_length=4, max_length=255, description="Symbol n is character n - 1 of it.")
    ]
    ngrams: Annotated[tuple[int, ...], Field(description="How many there are of each length.")]
    crc32: Annotated[int, Field(description="Checksum of all that follows the header.")]
    texts: Annotated[tuple[TextFacts, ...], Field(description="What the model was counted on.")] = ()
    provenance: Annotated[str, Field(description="Where the texts come from, and their licences.")] = ""
    held_out_bits: Annotated[
        float | None, Field(description="Bits per character of text that was not counted.")
    ] = None


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
    complete = header.model_copy(
        update={"ngrams": tuple(len(level.symbols) for level in levels), "crc32": zlib.crc32(body)}
    )
    text = json.dumps(complete.model_dump(), ensure_ascii=False).encode()
    with atomic_write(path) as temporary:
        return temporary.write_bytes(b"%b%d\n%d\n%b%b" % (_MAGIC, _VERSION, len(text), text, body))


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


def _read_header(path: Path, content: mmap.mmap) -> tuple[Header, int]:
    """Returns the header and where the n-grams begin."""
    if content[: len(_MAGIC)] != _MAGIC:
        raise ModelError(f"{path} is no language model of vocr's.", "Give a file that `vocr lm` wrote.")
    version, _, rest = content[len(_MAGIC) : len(_MAGIC) + 32].partition(b"\n")
    if version != b"%d" % _VERSION:
        raise ModelError(
            f"{path} has version {version.decode('ascii', 'replace')[:12]!r} of the format, not {_VERSION}.",
            "Update vocr, or write it anew with `vocr lm`.",
        )
    length, newline, _ = rest.partition(b"\n")
    start = len(_MAGIC) + len(version) + 1 + len(length) + 1
    if not newline or not length.isdigit() or int(length) > _LONGEST_HEADER:
        raise ModelError(f"{path} is damaged: its header has no length.", _REMEDY)
    end = start + int(length)
    try:
        header = Header.model_validate_json(content[start:end])
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"])) or "header"
        raise ModelError(f"{path} is damaged: {where}: {problem['msg']}.", _REMEDY) from None
    if len(header.ngrams) != header.order or min(header.ngrams) < 0:
        raise ModelError(f"{path} is damaged: order {header.order}, but n-grams {header.ngrams}.", _REMEDY)
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
