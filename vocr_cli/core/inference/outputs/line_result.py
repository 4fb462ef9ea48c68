"""What reading one line gives, and its form in the records of an unfinished run."""

from __future__ import annotations

import json
import struct
from array import array
from dataclasses import dataclass

from vocr_cli.core.errors import ImageError, VocrError
from vocr_cli.core.inference.reading import Reading

_SIZES = struct.Struct("<II")  # of the facts, bytes, and of the character confidences, numbers


@dataclass(frozen=True, slots=True)
class LineResult:
    """One line: its reading, or why it could not be read; `width_px` and `height_px` of its image."""

    path: str
    reading: Reading | None
    error: VocrError | None
    width_px: int = 0
    height_px: int = 0


def pack_result(result: LineResult) -> bytes:
    """A result to the last digit: sizes, facts as JSON, and the character confidences as float64."""
    if result.error is not None:
        facts: list[object]
        facts, characters = [result.path, result.error.problem, result.error.fix], array("d")
    else:
        assert result.reading is not None
        read = result.reading
        facts = [
            result.path, read.text, read.confidence, read.flags, read.alternatives,
            result.width_px, result.height_px,
        ]  # fmt: skip
        characters = array("d", read.char_confidences)
    document = json.dumps(facts, separators=(",", ":")).encode()
    return _SIZES.pack(len(document), len(characters)) + document + characters.tobytes()


def unpack_result(data: bytes, start: int) -> tuple[LineResult, int]:
    """The result that `pack_result` wrote from a position on, and where it ends.

    Raises:
        ValueError: There is none.
    """
    size, count = _SIZES.unpack_from(data, start)
    middle = start + _SIZES.size + size
    end = middle + 8 * count
    facts = json.loads(data[start + _SIZES.size : middle])
    if len(facts) == 3:
        return LineResult(facts[0], None, ImageError(facts[1], facts[2])), end
    path, text, confidence, flags, alternatives, width, height = facts
    characters = array("d")
    characters.frombytes(data[middle:end])
    others = tuple((other, score) for other, score in alternatives)
    reading = Reading(text, confidence, tuple(characters), tuple(flags), others)
    return LineResult(path, reading, None, width, height), end
