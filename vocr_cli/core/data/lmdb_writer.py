"""Writes databases of labelled lines: built beside their place, and put there when complete. N lines."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import lmdb
import numpy as np

from vocr_cli.core.data.lmdb_layout import (
    COUNT_KEY,
    INDEX_KEY,
    Layout,
    LineIndex,
    StoredLine,
    line_key,
    read_sizes,
)
from vocr_cli.core.errors import DataError
from vocr_cli.core.text import clean

_STATE_KEY = b"vocr-build"
_FIRST_MAP_BYTES = 64 << 20
_BATCH_BYTES = 32 << 20
_BATCH_LINES = 10_000


class LineWriter:
    """Builds a database of lines; it appears at `path` only when the `with` block ends without an error.

    Until then it lies in a hidden folder beside `path`. An error removes that folder. Given a `fingerprint`
    of its inputs, an interrupted build (Ctrl-C, a kill, a power cut) leaves the folder, and the next writer
    with the same fingerprint and `resume` goes on from the last complete batch: `state` is then what it was.

    Args:
        path: Where the database shall appear: a folder with `data.mdb`.
        layout: Keys as VietOCR's (numbered from 0) or as clovaai's (from 1).
        overwrite: Whether a database may be replaced.
        fingerprint: Names the inputs of a build that may be resumed; empty: an interrupted build is removed.
        resume: Whether to go on with an interrupted build of the same fingerprint.

    Attributes:
        lines: N so far.
        state: Kept with each batch, JSON values: the caller's notes to find its place again. What belongs to
            a line is noted before the line is added, for `add` may commit.

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
    ) -> None:
        self.path = Path(path)
        self.layout: Layout = layout
        self.lines = 0
        self.state: dict[str, Any] = {}
        self._overwrite = overwrite
        self._resumable = bool(fingerprint)
        digest = hashlib.sha256(f"{layout} {fingerprint}".encode()).hexdigest()
        tag = digest[:8] if fingerprint else os.getpid()
        self._folder = self.path.parent / f".{self.path.name}.tmp-{tag}"
        self._refuse_occupied()
        self._environment: lmdb.Environment | None = None
        self._lock: int | None = None
        self._batch: dict[bytes, bytes] = {}
        self._batch_bytes = 0
        self._sizes: list[tuple[int, int, int]] = []
        with self._disk_errors():
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = _exclusive(self._folder, self.path)
            if not resume:
                (self._folder / "data.mdb").unlink(missing_ok=True)
            self._open()

    def add(self, line: StoredLine, width_px: int, height_px: int) -> None:
        """Appends a line; its text is cleaned (NFC).

        Args:
            line: The encoded image, its text and where it came from.
            width_px: Width of the stored image.
            height_px: Height of the stored image.

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
        self.lines += 1
        if self._batch_bytes >= _BATCH_BYTES or len(self._batch) >= 4 * _BATCH_LINES:
            self.flush()

    def flush(self) -> None:
        """Commits the lines added so far, with `state`, and waits until the disk has them."""
        with self._disk_errors():
            self._put({**self._batch, _STATE_KEY: json.dumps([self.lines, self.state]).encode()})
        self._batch.clear()
        self._batch_bytes = 0

    def discard(self) -> None:
        """Gives the build up and removes what it has written."""
        self._close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            try:
                self._finish()
            except BaseException:
                self.discard()
                raise
        elif self._resumable and not issubclass(kind, Exception):  # Ctrl-C
            self.flush()
            self._close()
        else:
            self.discard()

    def _open(self) -> None:
        self._environment = lmdb.open(str(self._folder), map_size=_FIRST_MAP_BYTES, lock=False)
        with self._environment.begin(buffers=True) as transaction:
            kept = transaction.get(_STATE_KEY)
            if kept is not None:
                self._take_up(transaction, *json.loads(bytes(kept)))
                return
        with self._environment.begin(write=True) as transaction:
            transaction.drop(self._environment.open_db(txn=transaction), delete=False)

    def _take_up(self, transaction: lmdb.Transaction, lines: int, state: dict[str, Any]) -> None:
        self.lines, self.state = lines, state
        index = read_sizes(transaction, lines, self.layout)
        columns = (index.widths.tolist(), index.heights.tolist(), index.label_lengths.tolist())
        self._sizes = list(zip(*columns, strict=True))

    def _put(self, records: dict[bytes, bytes], delete: bytes | None = None) -> None:
        """One transaction, keys in order, the map grown until they fit."""
        assert self._environment is not None
        ordered = sorted(records.items())
        while True:
            try:
                with self._environment.begin(write=True) as transaction:
                    for key, value in ordered:
                        transaction.put(key, value)
                    if delete is not None:
                        transaction.delete(delete)
                return
            except lmdb.MapFullError:
                size = self._environment.info()["map_size"]
                self._environment.set_mapsize(size + max(size // 2, _FIRST_MAP_BYTES))

    def _finish(self) -> None:
        if not self.lines:
            raise DataError(f"No line to write into {self.path}.", "Give at least one readable line.")
        table = np.array(self._sizes, np.int32).T  # (3, N)
        with self._disk_errors():
            last = {COUNT_KEY: str(self.lines).encode(), INDEX_KEY: LineIndex(*table).pack()}
            self._put({**self._batch, **last}, delete=_STATE_KEY)
            self._close()
            self._refuse_occupied()
            replaced = self._folder.with_name(f"{self._folder.name}-replaced")
            if self.path.exists():
                os.rename(self.path, replaced)
            os.rename(self._folder, self.path)
            _sync_folder(self.path.parent)
            shutil.rmtree(replaced, ignore_errors=True)

    def _refuse_occupied(self) -> None:
        if not self.path.exists() or (self.path.is_dir() and not any(self.path.iterdir())):
            return
        if not self._overwrite:
            raise DataError(f"{self.path} exists.", "Add --overwrite to replace it, or name another folder.")
        names = {item.name for item in self.path.iterdir()} if self.path.is_dir() else {self.path.name}
        if not names <= {"data.mdb", "lock.mdb"}:
            raise DataError(
                f"{self.path} is not a database folder and will not be replaced.",
                "Name another place for the database.",
            )

    def _close(self) -> None:
        if self._environment is not None:
            self._environment.close()
            self._environment = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except (lmdb.Error, OSError) as error:
            self.discard()
            raise DataError(
                f"{self.path} cannot be written: {error}.",
                "Free disk space, check the permissions, or name a folder on another disk, then build again.",
            ) from error


def _exclusive(folder: Path, target: Path) -> int | None:
    """A lock that ends with the process, so that two builds of one database cannot mix; None on Windows."""
    try:
        import fcntl
    except ImportError:
        return None
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise DataError(
            f"Another process is building {target}.", "Wait for its end, or name another."
        ) from None
    except OSError:  # a file system without locks
        os.close(descriptor)
        return None
    return descriptor


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
