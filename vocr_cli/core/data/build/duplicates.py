"""Lines that show the same pixels, found by the digests of their pixels. N lines over all databases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vocr_cli.core.data.build.prepare import DIGEST_BYTES
from vocr_cli.core.data.lmdb.store import LineStore
from vocr_cli.core.errors import DataError

_EXAMPLES = 10


@dataclass(frozen=True)
class Twin:
    """One of several lines with the same pixels: its database, its number there, from 0, name and label."""

    database: Path
    number: int
    name: str
    text: str


@dataclass(frozen=True)
class Duplicates:
    """Lines whose pixels another line shows too.

    Attributes:
        repeated: Lines that repeat the pixels and the label of an earlier one.
        contradicting: Lines of pixels that stand there with different labels.
        across: Groups of equal pixels that lie in more than one database: in training and in validation.
        examples: Some groups, those with different labels first.
    """

    repeated: int
    contradicting: int
    across: int
    examples: list[list[Twin]]


def find_duplicates(databases: Sequence[Path], digests: Sequence[bytes | bytearray]) -> Duplicates:
    """Finds equal pixels within and across databases.

    Needs about 40 bytes of memory a line while it runs; labels are read of lines that have a twin only.

    Args:
        databases: Finished ones.
        digests: Of each database's lines in order, `DIGEST_BYTES` bytes each.
    """
    repeated = contradicting = across = 0
    agreeing: list[list[Twin]] = []
    disagreeing: list[list[Twin]] = []
    stores = [LineStore(database) for database in databases]
    ends = np.cumsum([len(part) // DIGEST_BYTES for part in digests])
    for group in _equal_groups(b"".join(digests)):
        owners = [int(np.searchsorted(ends, line, side="right")) for line in group]
        twins = [
            (stores[owner], line - int(ends[owner - 1] if owner else 0))
            for owner, line in zip(owners, group, strict=True)
        ]
        labels = {_text(store, number) for store, number in twins}
        across += len(set(owners)) > 1
        if len(labels) > 1:
            contradicting += len(twins)
        else:
            repeated += len(twins) - 1
        examples = disagreeing if len(labels) > 1 else agreeing
        if len(examples) < _EXAMPLES:
            examples.append([_twin(store, number) for store, number in twins[:_EXAMPLES]])
    for store in stores:
        store.close()
    return Duplicates(repeated, contradicting, across, [*disagreeing, *agreeing][:_EXAMPLES])


def _equal_groups(digests: bytes) -> Iterator[list[int]]:
    """The numbers, from 0, of lines with equal digests, each group in order."""
    names = np.frombuffer(digests, f"u{DIGEST_BYTES}")  # (N,)
    order = np.argsort(names, kind="stable")
    ranked = names[order]
    starts = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1]))
    lengths = np.diff(np.append(starts, len(ranked)))
    for start, length in zip(starts[lengths > 1].tolist(), lengths[lengths > 1].tolist(), strict=True):
        yield order[start : start + length].tolist()


def _text(store: LineStore, number: int) -> str:
    try:
        return store.text(number)
    except DataError:  # damaged since: whoever checks the database names it
        return ""


def _twin(store: LineStore, number: int) -> Twin:
    try:
        line = store[number]
    except DataError:
        return Twin(store.path, number, "", "")
    return Twin(store.path, number, line.path, line.text)
