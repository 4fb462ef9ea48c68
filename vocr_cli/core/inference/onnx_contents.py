"""What stands in an ONNX file, read without a runtime or the onnx package.

An ONNX file is a protobuf message: fields of a number, a wire type and a value (encoding: protobuf.dev, field
numbers: onnx.proto). Only what `inspect` shows is looked at.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vocr_cli.core.errors import ModelError

_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
_PRODUCER, _PRODUCER_VERSION, _GRAPH, _OPSET, _METADATA = 2, 3, 7, 8, 14  # of the model
_INITIALIZER = 5  # of the graph
_DIMS, _DATA_TYPE = 1, 2  # of a tensor
_KEY, _VALUE = 1, 2  # of an entry of the metadata
_DOMAIN, _VERSION = 1, 2  # of an operator set
_TYPES = {1: "fp32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 10: "fp16", 11: "fp64", 16: "bf16"}


@dataclass(frozen=True)
class OnnxContents:
    """A file's own words, and its stored numbers.

    Attributes:
        producer: Program and version that wrote it.
        opset: Version of the standard operators; 0: not said.
        metadata: By key.
        numbers: How many are stored, by their format.
    """

    producer: str
    opset: int
    metadata: dict[str, str]
    numbers: dict[str, int]


def read_onnx(path: Path) -> OnnxContents:
    """Reads a file's description; nothing in it is executed.

    Raises:
        ModelError: It is no ONNX model, or damaged.
    """
    texts: dict[int, str] = {}
    opset, metadata, graphs = 0, {}, 0
    numbers: Counter[str] = Counter()
    try:
        for field, value in _fields(memoryview(path.read_bytes())):
            if field in (_PRODUCER, _PRODUCER_VERSION):
                texts[field] = _text(value)
            elif field == _OPSET:
                version = dict(_fields(_message(value)))
                if _DOMAIN not in version or _text(version[_DOMAIN]) in ("", "ai.onnx"):
                    opset = _number(version.get(_VERSION, 0))
            elif field == _METADATA:
                entry = dict(_fields(_message(value)))
                metadata[_text(entry[_KEY])] = _text(entry.get(_VALUE, memoryview(b"")))
            elif field == _GRAPH:
                graphs += 1
                numbers.update(_stored(_message(value)))
        if graphs != 1:
            raise ValueError("no graph in it")
    except (ValueError, KeyError, IndexError) as error:
        raise ModelError(
            f"{path} is not an ONNX model, or is damaged: {error}", "Write it anew with `vocr export`."
        ) from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.", "Check the path.") from None
    producer = f"{texts.get(_PRODUCER, '')} {texts.get(_PRODUCER_VERSION, '')}".strip()
    return OnnxContents(producer or "not said", opset, metadata, dict(numbers.most_common()))


def _stored(graph: memoryview) -> Counter[str]:
    """How many numbers of each format a graph stores."""
    found: Counter[str] = Counter()
    for field, value in _fields(graph):
        if field != _INITIALIZER:
            continue
        dims: list[int] = []
        kind = 0
        for part, content in _fields(_message(value)):
            if part == _DIMS:
                dims += _varints(content) if isinstance(content, memoryview) else [content]
            elif part == _DATA_TYPE:
                kind = _number(content)
        found[_TYPES.get(kind, f"type {kind}")] += math.prod(dims)
    return found


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of a message: a number, or bytes.

    Raises:
        ValueError: The bytes end too early, or are of no wire type.
    """
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        kind = tag & 7
        if kind == _VARINT:
            value, place = _varint(data, place)
            yield tag >> 3, value
            continue
        if kind == _LENGTH:
            length, place = _varint(data, place)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            length = 8 if kind == _EIGHT_BYTES else 4
        else:
            raise ValueError(f"a field of kind {kind} at byte {place}")
        if place + length > len(data):
            raise ValueError("its end is missing")
        yield tag >> 3, data[place : place + length]
        place += length


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    """A number of 7 bits a byte, the lowest first, and the place behind it."""
    value = 0
    for count in range(10):
        if place + count >= len(data):
            raise ValueError("its end is missing")
        byte = data[place + count]
        value |= (byte & 127) << (7 * count)
        if byte < 128:
            return value, place + count + 1
    raise ValueError(f"no number at byte {place}")


def _varints(data: memoryview) -> list[int]:
    numbers, place = [], 0
    while place < len(data):
        value, place = _varint(data, place)
        numbers.append(value)
    return numbers


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where a part should be")
    return value


def _number(value: int | memoryview) -> int:
    if not isinstance(value, int):
        raise ValueError("a part where a number should be")
    return value


def _text(value: int | memoryview) -> str:
    return bytes(_message(value)).decode("utf-8")
