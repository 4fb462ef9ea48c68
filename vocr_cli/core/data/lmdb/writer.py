"""Writes databases of labelled lines, which appear under their name when they are complete. N lines."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import lmdb
import numpy as np

from vocr_cli.core.data.lmdb import environments
from vocr_cli.core.data.lmdb.build_folder import BuildFolder
from vocr_cli.core.data.lmdb.layout import (
    CHARACTERS_KEY,
    COUNT_KEY,
    INDEX_KEY,
    Layout,
    LineIndex,
    StoredLine,
    line_key,
    pack_characters,
    scan_index,
)
from vocr_cli.core.errors import DataError, VocrError, reason_of
from vocr_cli.core.machine.files.output_place import final_path
from vocr_cli.core.text import clean

_STATE_KEY = b"vocr-build"  # of a build under way: [lines, state]
_ORIGIN_KEY = b"vocr-origin"  # of a finished one: [fingerprint, state]
_PIXELS_KEY = b"vocr-pixels-"  # of a build under way: digests of its lines' pixels, batch by batch
_FIRST_MAP_BYTES = 64 << 20
_BATCH_BYTES = 32 << 20
_BATCH_LINES = 10_000


class DiskFault(DataError):
    """The disk is full, or does not let itself be written to: what was built so far is kept."""


class LineWriter:
    """Builds a database of lines; it appears at `path` only when the `with` block ends without an error.

    Until then it lies in a hidden folder beside `path`. An error removes that folder. Given a `fingerprint`
    of its inputs, an interrupted build (Ctrl-C, a kill, a power cut, a full disk) leaves the folder, and the
    next writer with the same fingerprint and `resume` goes on from the last complete batch: `state` is then
    what it was. A finished database of the same fingerprint is recognised and left as it is.

    Puts go in batches, in the order of the keys. LMDB's `append` is not used: the layout's kinds of keys lie
    apart, so that no batch is past the last key; on keys that are, it saved 0.1 of 3.2 µs a line.

    Args:
        path: Where the database shall appear: a folder with `data.mdb`.
        layout: Keys as VietOCR's (numbered from 0) or as clovaai's (from 1).
        overwrite: Whether a database may be replaced.
        fingerprint: Names the inputs of a build that may be resumed; empty: an interrupted build is removed.
        resume: Whether to go on with an interrupted build of the same fingerprint.
        state: What the attribute `state` begins with; what an earlier build left takes its place.

    Attributes:
        lines: N so far.
        complete: Whether the finished database of this fingerprint was found: nothing may be added.
        pixels: The digests given to `add`, one after the other.
        state: The caller's notes from which it can go on, JSON values, stored with each batch. What belongs
            to a line is noted before the line is added, for `add` may commit.

    Raises:
        DataError: `path` exists, cannot be written, or the disk is full.
    """

    def __init__(
        self,
        path: str | Path,
        layout: Layout = "vietocr",
        *,
        overwrite: bool = False,
        fingerprint: str = "",
        resume: bool = False,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = final_path(Path(path))
        self.layout: Layout = layout
        self.lines = 0
        self.state: dict[str, Any] = dict(state or {})
        self.pixels = bytearray()
        self._fingerprint = (
            hashlib.sha256(f"{layout} {fingerprint}".encode()).hexdigest() if fingerprint else ""
        )
        self._environment: lmdb.Environment | None = None
        self._batch: dict[bytes, bytes] = {}
        self._batch_bytes = 0
        self._sizes: list[tuple[int, int, int]] = []
        self._characters: set[str] = set()
        self._committed = self._committed_pixels = 0
        self.complete = (resume or not overwrite) and self._finished_before()
        if self.complete:
            return
        self._folder = BuildFolder(self.path, self._fingerprint[:8] or str(os.getpid()), overwrite)
        with self._disk_errors():
            self._folder.acquire(keep=resume)
            self._open()

    def add(self, line: StoredLine, width_px: int, height_px: int, pixels: bytes = b"") -> None:
        """Appends a line; its text is cleaned (NFC).

        Args:
            line: The encoded image, its text and where it came from.
            width_px: Width of the stored image.
            height_px: Height of the stored image.
            pixels: A digest of its pixels, for every line or for none.

        Raises:
            DataError: The text is empty, or the disk is full.
        """
        text = clean(line.text)
        if not text:
            raise DataError(
                f"{line.path}: the label is empty.", "Leave the line out, or write down what it shows."
            )
        records = {"image": line.image, "label": text.encode()}
        if self.layout == "vietocr":
            records |= {
                "path": line.path.encode("utf-8", "surrogateescape"),
                "dim": struct.pack("<ii", height_px, width_px),
            }
        for kind, value in records.items():
            self._batch[line_key(kind, self.lines, self.layout)] = value
            self._batch_bytes += len(value)
        self._sizes.append((width_px, height_px, len(text)))
        self._characters.update(text)
        self.pixels += pixels
        self.lines += 1
        if self._batch_bytes >= _BATCH_BYTES or len(self._batch) >= 4 * _BATCH_LINES:
            self.flush()

    def flush(self) -> None:
        """Commits the lines added so far, with `state`; a power cut may still undo the last batch."""
        with self._disk_errors():
            records = {**self._batch, _STATE_KEY: json.dumps([self.lines, self.state]).encode()}
            if len(self.pixels) > self._committed_pixels:
                start = self._committed_pixels
                records[_PIXELS_KEY + b"%012d" % start] = bytes(self.pixels[start:])
            self._put(records)
        self._committed, self._committed_pixels = self.lines, len(self.pixels)
        self._batch.clear()
        self._batch_bytes = 0

    def discard(self) -> None:
        """Gives the build up and removes what it has written."""
        self._close()
        self._folder.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.complete:
            return
        if kind is None:
            self._finish()
        elif isinstance(error, DiskFault) and self._committed and self._fingerprint:
            self._close()
        elif self._fingerprint and not issubclass(kind, Exception):  # Ctrl-C
            self.flush()
            self._close()
        else:
            self.discard()

    def _finished_before(self) -> bool:
        """Whether the database at `path` is finished and of this fingerprint; if so, restores its state."""
        if not self._fingerprint or not (self.path / "data.mdb").exists():
            return False
        try:
            with environments.ReadTransaction(self, self.path) as transaction:
                record = transaction.get(_ORIGIN_KEY)
                fingerprint, state = json.loads(bytes(record)) if record is not None else ("", {})
                if fingerprint != self._fingerprint:
                    return False
                self.state |= state
                self.lines = int(bytes(transaction.get(COUNT_KEY) or b"0"))
                return True
        except (VocrError, ValueError, TypeError, RecursionError):  # damaged: not what was asked for
            return False
        finally:
            environments.release(self)

    def _open(self) -> None:
        # A power cut may undo the last batch, never harm it: one wait for the disk a batch instead of two.
        self._environment = lmdb.open(
            str(self._folder.folder), map_size=_FIRST_MAP_BYTES, lock=False, metasync=False
        )
        with self._environment.begin(buffers=True) as transaction:
            record = transaction.get(_STATE_KEY)
            if record is not None:
                try:
                    self._restore(transaction, *json.loads(bytes(record)))
                except (ValueError, TypeError, RecursionError):
                    self._close()
                    raise self._folder.damaged("its notes cannot be read") from None
                return
        with self._environment.begin(write=True) as transaction:
            transaction.drop(self._environment.open_db(txn=transaction), delete=False)

    def _restore(self, transaction: lmdb.Transaction, lines: int, state: dict[str, Any]) -> None:
        self.lines = lines
        self.state |= state
        index = scan_index(transaction, lines, self.layout)
        columns = (index.widths.tolist(), index.heights.tolist(), index.label_lengths.tolist())
        self._sizes = list(zip(*columns, strict=True))
        self._characters = set(index.characters or "")
        for key in _pixel_keys(transaction):
            self.pixels += transaction.get(key) or b""
        self._committed, self._committed_pixels = lines, len(self.pixels)

    def _put(self, records: dict[bytes, bytes], last: bool = False) -> None:
        """Writes records in one transaction, keys in order, and grows the map until they fit.

        The last one also deletes what only a build under way needs.
        """
        assert self._environment is not None
        ordered = sorted(records.items())
        while True:
            try:
                with self._environment.begin(write=True) as transaction:
                    with transaction.cursor() as cursor:
                        cursor.putmulti(ordered)
                    if last:
                        for key in [_STATE_KEY, *_pixel_keys(transaction)]:
                            transaction.delete(key)
                return
            except lmdb.MapFullError:
                size = self._environment.info()["map_size"]
                self._environment.set_mapsize(size + max(size // 2, _FIRST_MAP_BYTES))

    def _finish(self) -> None:
        try:
            if not self.lines:
                raise DataError(f"No line to write into {self.path}.", "Give at least one readable line.")
            table = np.array(self._sizes, np.int32).T  # (3, N)
            last = {
                COUNT_KEY: str(self.lines).encode(),
                INDEX_KEY: LineIndex(*table).pack(),
                CHARACTERS_KEY: pack_characters(self._characters, self.lines),
            }
            if self._fingerprint:
                last[_ORIGIN_KEY] = json.dumps([self._fingerprint, self.state]).encode()
            with self._disk_errors():
                self._put({**self._batch, **last}, last=True)
                assert self._environment is not None
                self._environment.sync(True)
                self._close()
                self._folder.move_into_place()
        except DiskFault:
            raise
        except BaseException:
            self.discard()
            raise

    def _close(self) -> None:
        if self._environment is not None:
            self._environment.close()
            self._environment = None
        self._folder.release()

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except (lmdb.Error, OSError) as error:
            keep = bool(self._fingerprint and self._committed)
            self._close() if keep else self.discard()
            again = "then go on with --resume" if keep else "then build again"
            raise DiskFault(
                f"{self.path} cannot be written: {reason_of(error)}.",
                f"Free disk space, check the permissions, or name a folder on another disk, {again}.",
            ) from error


def _pixel_keys(transaction: lmdb.Transaction) -> list[bytes]:
    with transaction.cursor() as cursor:
        cursor.set_range(_PIXELS_KEY)
        keys = (bytes(key) for key in cursor.iternext(values=False))
        return list(takewhile(lambda key: key.startswith(_PIXELS_KEY), keys))
