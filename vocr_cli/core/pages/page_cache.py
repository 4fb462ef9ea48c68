"""Pages that earlier runs read, kept in a folder: a page seen before is not read again, whatever its name.

A page is known by the bytes of its file, its number, and all that decides how it reads. Each lies in a file
of its own, `pages/AB/KEY.json`; the least recently used go first.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

from vocr_cli.core.errors import DataError, reason_of
from vocr_cli.core.machine.atomic_write import atomic_write
from vocr_cli.core.pages.page import Page, page_of

_CHUNK_BYTES = 1 << 20
_ROOM = 0.8  # of the limit: what is left after the oldest went


class PageCache:
    """Pages by content, for one way of reading; several processes may share the folder.

    Args:
        folder: Made if it is not there.
        identity: All that decides how a page reads.
        limit_bytes: The pages take no more, after `close`.

    Attributes:
        hits: Pages that were found.

    Raises:
        DataError: The folder cannot be made.
    """

    def __init__(self, folder: Path, identity: Mapping[str, object], limit_bytes: int) -> None:
        self._folder, self._limit, self.hits = folder / "pages", limit_bytes, 0
        self._salt = blake2b(json.dumps(identity, sort_keys=True).encode(), digest_size=16).digest()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(
                f"The cache {folder} cannot be used: {reason_of(error)}.", "Name another --cache folder."
            ) from None

    def key(self, path: Path, number: int) -> str:
        """The key of a page; empty where its file cannot be read."""
        try:
            facts = path.stat()
            content = _digest(path, facts.st_mtime_ns, facts.st_size)
        except OSError:
            return ""
        return blake2b(b"%s %d" % (content, number), digest_size=20, key=self._salt).hexdigest()

    def holds(self, key: str) -> bool:
        """Whether a page is there."""
        return bool(key) and self._file(key).is_file()

    def page(self, key: str, path: Path) -> Page | None:
        """The page of a key, as one of a file; None: it is not there, or damaged."""
        if not key:
            return None
        file = self._file(key)
        try:
            page = page_of(json.loads(file.read_text(encoding="utf-8")))
            os.utime(file)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        self.hits += 1
        return replace(page, path=str(path))

    def add(self, key: str, page: Page) -> None:
        """Takes a page that was read without a fault; a full disk only costs that it is read again."""
        if not key or page.error or page.warnings:
            return
        with suppress(OSError), atomic_write(self._file(key)) as temporary:
            temporary.write_text(json.dumps(page.record(), ensure_ascii=False), encoding="utf-8")

    def close(self) -> None:
        """Drops the pages that were used least recently, where there are too many."""
        files = sorted(self._files())
        total = sum(size for _, size, _ in files)
        if total <= self._limit:
            return
        for _, size, file in files:
            with suppress(OSError):
                os.unlink(file)
            total -= size
            if total <= _ROOM * self._limit:
                return

    def _file(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.json"

    def _files(self) -> Iterator[tuple[float, int, str]]:
        """When each page was used, its bytes, and its file."""
        for folder in os.scandir(self._folder):
            if folder.is_dir():
                for entry in os.scandir(folder.path):
                    with suppress(OSError):
                        facts = entry.stat()
                        yield facts.st_mtime, facts.st_size, entry.path


@lru_cache(maxsize=1)
def _digest(path: Path, changed_ns: int, size: int) -> bytes:
    """The digest of a file; the last one is remembered, for the many pages of a PDF."""
    digest = blake2b(digest_size=20)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.digest()
