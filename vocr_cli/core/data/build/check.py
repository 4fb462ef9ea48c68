"""Checks databases record by record: decodes every image, looks at every label."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from vocr_cli.core.data.build.duplicates import Duplicates, find_duplicates
from vocr_cli.core.data.build.prepare import DIGEST_BYTES, pixel_digest
from vocr_cli.core.data.build.worker_pool import ordered_map
from vocr_cli.core.data.images.open_image import open_line
from vocr_cli.core.data.lmdb.store import LineStore
from vocr_cli.core.data.progress import OnProgress
from vocr_cli.core.data.readers.annotations import label_fault
from vocr_cli.core.errors import VocrError


@dataclass(frozen=True)
class BadRecord:
    """A record of a database that cannot be used.

    Attributes:
        number: Its index, from 0.
        path: Of the image that it was made from.
        reason: Why it cannot be used.
    """

    number: int
    path: str
    reason: str


@dataclass(frozen=True)
class CheckReport:
    """What is wrong with a database, and which of its lines show the same pixels."""

    bad: list[BadRecord]
    duplicates: Duplicates


class _Record(NamedTuple):
    """A record to check: its number, and its width and height by the index, if there is one."""

    number: int
    stated_px: tuple[int, int] | None


def check_database(store: LineStore, workers: int, on_progress: OnProgress) -> CheckReport:
    """Reads every record of a database and decodes its image.

    At fault are records whose image or label is missing or unreadable, and an index that gives a wrong size.

    Args:
        store: The database.
        workers: How many processes decode; 0: one for each processor.
        on_progress: Called with the number of lines done since the last call.
    """
    indexed = store.has_index
    widths, heights = (store.widths, store.heights) if indexed else (None, None)
    records = (
        _Record(
            number, None if widths is None or heights is None else (int(widths[number]), int(heights[number]))
        )
        for number in range(len(store))
    )
    bad = []
    digests = bytearray()
    for record, verdict in ordered_map(partial(_look, store), records, workers):
        on_progress(1)
        if isinstance(verdict, BadRecord):
            bad.append(verdict)
            verdict = record.number.to_bytes(DIGEST_BYTES)  # like no other
        digests += verdict
    return CheckReport(bad, find_duplicates([store.path], [digests]))


def _look(store: LineStore, record: _Record) -> BadRecord | bytes:
    """What is wrong with a record, or the digest of its pixels."""
    path = ""
    try:
        line = store[record.number]
        path = line.path
        image = open_line(line.image, line.path)
    except VocrError as error:
        return BadRecord(record.number, path, error.problem)
    fault = label_fault(line.text)
    if fault:
        return BadRecord(record.number, path, fault)
    if record.stated_px not in {None, image.size}:
        return BadRecord(
            record.number, path, f"the index says {record.stated_px} px, the image has {image.size} px"
        )
    return pixel_digest(np.asarray(image))
