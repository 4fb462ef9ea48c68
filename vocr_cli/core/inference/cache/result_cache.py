"""Readings of earlier runs, kept in an LMDB: a line seen before is not read again.

A picture is known by its stored bytes, which spares decoding, and by its pixels, which finds it in another
file format. Both keys take in the model and all that decides a reading. Records, numbers little-endian:

    key of pixels  -> "R", stamp (8), CRC-32 (4), reading
    key of bytes   -> "L", stamp (8), key of pixels (16)
    in `ages`: stamp (8, big-endian: µs since 1970) + key (16) -> nothing; the least recently used first
"""

from __future__ import annotations

import json
import struct
import threading
import time
import zlib
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import lmdb
from PIL import Image

from vocr_cli.core.data.lmdb.page_format import PageDamage
from vocr_cli.core.data.lmdb.soundness import remember_sound, require_sound
from vocr_cli.core.errors import DataError, reason_of
from vocr_cli.core.inference.reading import Reading

LIMIT_BYTES = 1 << 30
_MIN_BYTES = 4 << 20
_KEY_BYTES = 16
_FLUSH_ENTRIES = 4096
_FULL, _ROOM = 0.7, 0.6  # of the limit: above the one, the oldest are dropped until below the other
_REFRESH_SECONDS = 3600.0
_WARNING = "The result cache {} was damaged and is begun anew: {}."


@dataclass(frozen=True, slots=True)
class CachedLine:
    """A reading, and the size of the image, px."""

    reading: Reading
    width_px: int
    height_px: int

    def pack(self) -> bytes:
        """Length of a JSON document, the document, and the character confidences as float64."""
        reading = self.reading
        facts = [
            reading.text, reading.confidence, reading.flags, reading.alternatives,
            self.width_px, self.height_px,
        ]  # fmt: skip
        document = json.dumps(facts, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
        return struct.pack("<I", len(document)) + document + array("d", reading.char_confidences).tobytes()

    @classmethod
    def unpack(cls, record: bytes) -> CachedLine:
        """The line that `pack` wrote."""
        end = 4 + struct.unpack_from("<I", record)[0]
        text, confidence, flags, alternatives, width, height = json.loads(record[4:end])
        chars = array("d")
        chars.frombytes(record[end:])
        others = tuple((other, score) for other, score in alternatives)
        return cls(Reading(text, confidence, tuple(chars), tuple(flags), others), width, height)


class ResultCache:
    """Readings by picture, for one model and one way of decoding; several processes may share the folder.

    What is added is written in batches, and by `close`. A damaged cache is begun anew; a reading whose
    checksum is wrong is not used.

    Args:
        folder: Made if it is not there.
        identity: All that decides how a picture reads, as `reading_identity` gives it.
        limit_bytes: The file grows no larger; the readings least recently used are dropped.
        refresh_seconds: A use counts as recent for so long before it is noted anew.

    Attributes:
        hits: Lines found.
        notes: What the user should know.

    Raises:
        DataError: The folder cannot be written, or the limit is too low.
    """

    def __init__(
        self,
        folder: Path,
        identity: Mapping[str, object],
        limit_bytes: int = LIMIT_BYTES,
        refresh_seconds: float = _REFRESH_SECONDS,
    ) -> None:
        if limit_bytes < _MIN_BYTES:
            raise DataError(
                f"A result cache of {limit_bytes:,} bytes holds next to nothing.",
                f"Allow it {_MIN_BYTES >> 20} MB at least.",
            )
        self.folder, self.hits, self.notes = folder, 0, list[str]()
        self._limit, self._refresh_us = limit_bytes, int(refresh_seconds * 1e6)
        self._salt = blake2b(json.dumps(identity, sort_keys=True).encode(), digest_size=16).digest()
        self._lock = threading.Lock()
        self._new: dict[bytes, bytes] = {}  # key -> record without its stamp
        self._used: set[bytes] = set()
        self._fault = ""
        self._last_stamp = 0
        self._open()

    def content_key(self, data: bytes) -> bytes:
        """The key of an image's stored bytes."""
        return blake2b(data, digest_size=_KEY_BYTES, key=self._salt, person=b"bytes").digest()

    def pixels_key(self, image: Image.Image) -> bytes:
        """The key of a decoded image."""
        digest = blake2b(digest_size=_KEY_BYTES, key=self._salt, person=b"pixels")
        digest.update(f"{image.mode} {image.size}".encode())
        digest.update(image.tobytes())
        return digest.digest()

    def find(self, keys: Sequence[bytes]) -> list[CachedLine | None]:
        """The lines of these keys, of either kind; None where there is none, or the key is empty."""
        lines: list[CachedLine | None] = [None] * len(keys)
        if self._fault:
            return lines
        stale: list[bytes] = []
        before = time.time_ns() // 1000 - self._refresh_us
        try:
            with self._environment.begin() as transaction:
                for index, key in enumerate(keys):
                    if key:
                        lines[index] = _line(transaction, key, before, stale)
        except (lmdb.Error, struct.error, ValueError, TypeError) as error:
            self._fault = str(error)
        with self._lock:
            self.hits += sum(line is not None for line in lines)
            self._used.update(stale)
        if len(self._used) >= _FLUSH_ENTRIES:
            self.flush()
        return lines

    def add(self, content_key: bytes, pixels_key: bytes, reading: Reading, size: tuple[int, int]) -> None:
        """Takes the reading of a line, and width and height of its image, px."""
        packed = CachedLine(reading, *size).pack()
        record = zlib.crc32(pixels_key + packed).to_bytes(4, "little") + packed
        with self._lock:
            self._new[pixels_key] = b"R" + record
        self.link(content_key, pixels_key)

    def link(self, content_key: bytes, pixels_key: bytes) -> None:
        """Notes that these bytes show pixels that are known."""
        with self._lock:
            self._new[content_key] = b"L" + pixels_key
        if len(self._new) >= _FLUSH_ENTRIES:
            self.flush()

    def flush(self) -> None:
        """Writes what was added and used, in one short transaction."""
        with self._lock:
            new, used = self._new, self._used - self._new.keys()
            self._new, self._used = {}, set()
        if self._fault or not (new or used):
            return
        for _ in range(2):
            try:
                with self._environment.begin(write=True) as transaction:
                    self._write(transaction, new, used)
                    self._make_room(transaction)
                return
            except lmdb.MapResizedError:  # another process allows the cache more
                self._environment.set_mapsize(0)
            except lmdb.MapFullError:  # what is dropped makes room for later ones; these readings are lost
                new, used = {}, set()
            except lmdb.Error as error:
                self._fault = str(error)
                return

    def close(self) -> None:
        """Writes the rest; a damaged cache is emptied."""
        self.flush()
        self._environment.close()
        if self._fault:
            self._begin_anew(self._fault)
            self._environment.close()
        remember_sound(self.folder / "data.mdb")

    def __len__(self) -> int:
        """Records of either kind."""
        with self._environment.begin() as transaction:
            return int(transaction.stat(self._ages)["entries"])

    def _open(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                self._open_files()
            except lmdb.Error as error:
                if "denied" in str(error) or "Read-only" in str(error) or "space" in str(error):
                    raise
                self._begin_anew(str(error))
        except (FileExistsError, NotADirectoryError):
            raise DataError(
                f"The result cache {self.folder} is a file, or lies in one.", "Name a folder with --cache."
            ) from None
        except (OSError, lmdb.Error) as error:
            raise DataError(
                f"The result cache {self.folder} cannot be opened: {reason_of(error)}.",
                "Name another --cache folder.",
            ) from None

    def _open_files(self) -> None:
        file = self.folder / "data.mdb"
        if file.exists() and file.stat().st_size:
            try:
                require_sound(file, writing=True)
            except PageDamage as damage:
                raise lmdb.CorruptedError(str(damage)) from None
        self._environment = lmdb.open(
            str(self.folder), map_size=self._limit, max_dbs=1, metasync=False, max_spare_txns=4
        )
        self._records, self._ages = self._environment.open_db(None), self._environment.open_db(b"ages")

    def _begin_anew(self, reason: str) -> None:
        self.notes.append(_WARNING.format(self.folder, reason.rstrip(".")))
        for name in ("data.mdb", "lock.mdb"):
            (self.folder / name).unlink(missing_ok=True)
        self._fault = ""
        self._open_files()

    def _write(self, transaction: lmdb.Transaction, new: dict[bytes, bytes], used: set[bytes]) -> None:
        # The clock may stand still between two records: their order is that of their use all the same.
        first = max(time.time_ns() // 1000, self._last_stamp + 1)
        stamps = {key: first + offset for offset, key in enumerate((*used, *new))}
        self._last_stamp = first + len(stamps)
        for key in sorted(stamps):
            old = _record(transaction, key)
            if old is None and key in used:
                continue  # dropped meanwhile
            if old is not None:
                transaction.delete(_age(old, key), db=self._ages)
            tagged = new[key] if key in new or old is None else old[:1] + old[9:]
            transaction.put(key, tagged[:1] + struct.pack("<Q", stamps[key]) + tagged[1:])
            transaction.put(struct.pack(">Q", stamps[key]) + key, b"", db=self._ages)

    def _make_room(self, transaction: lmdb.Transaction) -> None:
        """Drops the least recently used records while the pages take more than `_FULL` of the limit."""
        full = _FULL
        while self._pages_bytes(transaction) > full * self._limit:
            full = _ROOM
            count = max(1, transaction.stat(self._ages)["entries"] // 16)
            with transaction.cursor(self._ages) as cursor:
                oldest = [age for _, age in zip(range(count), cursor.iternext(values=False), strict=False)]
            for age in oldest:
                transaction.delete(age, db=self._ages)
                transaction.delete(age[8:])
            if not oldest:
                return

    def _pages_bytes(self, transaction: lmdb.Transaction) -> int:
        return sum(
            (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]) * stat["psize"]
            for stat in map(transaction.stat, (self._ages, self._records))
        )


def _age(record: bytes, key: bytes) -> bytes:
    return record[8:0:-1] + key  # the stamp, now big-endian


def _record(transaction: lmdb.Transaction, key: bytes) -> bytes | None:
    record = transaction.get(key)
    return None if record is None else bytes(record)


def _line(transaction: lmdb.Transaction, key: bytes, before: int, stale: list[bytes]) -> CachedLine | None:
    """The line under a key; keys last used before that moment (µs since 1970) are added to `stale`."""
    record = _record(transaction, key)
    visited = [(key, record)]
    if record is not None and record[:1] == b"L":
        key = record[9:]
        record = _record(transaction, key)
        visited.append((key, record))
    if record is None:
        return None
    packed = record[13:]
    if zlib.crc32(key + packed) != int.from_bytes(record[9:13], "little"):
        return None
    stale += [
        visited_key
        for visited_key, record in visited
        if record and int.from_bytes(record[1:9], "little") < before
    ]
    return CachedLine.unpack(packed)
