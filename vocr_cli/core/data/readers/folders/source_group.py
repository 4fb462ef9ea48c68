"""What a folder holds as one source: its list, a folder for each writer, a tree of databases."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from vocr_cli.core.data.readers.entries import Entry, Source
from vocr_cli.core.errors import reason_of

_SHOWN_NOTES = 3


class SourceGroup:
    """The entries of the sources below a folder, one source after the other.

    With several, names of images begin with the folder of their source, so that they differ.

    Args:
        path: The folder.
        sources: What lies below it.
        split: The split that they are; empty: the folder has none.
        note: Why it is these; empty: there was no choice.
        unlisted: Folders below it that cannot be listed.
    """

    def __init__(
        self,
        path: Path,
        sources: Sequence[Source],
        *,
        split: str = "",
        note: str = "",
        unlisted: Sequence[OSError] = (),
    ) -> None:
        self.path, self.sources, self._split, self._note = path, sources, split, note
        self._unlisted = unlisted
        kinds = list(dict.fromkeys(source.layout for source in sources))
        self.layout = kinds[0] if len(sources) == 1 else f"{len(sources):,} × {', '.join(kinds)}"
        self.uses = frozenset({"split"} if split else ()).union(*(source.uses for source in sources))

    @property
    def notes(self) -> list[str]:
        """What was chosen: the split, the sources, and what the first of them say."""
        said = [f"{self.path}: {self._note}."] if self._note else []
        if self._split:
            said.append(f"{self.path}: of its splits, {self._split!r} is read.")
        if len(self.sources) > 1:
            said.append(f"{self.path}: {self.layout}, {self.sources[0].path} first.")
        each = [note for source in self.sources for note in source.notes]
        if len(self.sources) > 1 and len(each) > _SHOWN_NOTES:
            each = [*each[:_SHOWN_NOTES], f"{self.path}: and {len(each) - _SHOWN_NOTES:,} notes like these."]
        return said + each

    @property
    def lines(self) -> int | None:
        """How many entries there are at most; None: a source does not know."""
        counts = [source.lines for source in self.sources]
        if None in counts:
            return None
        return sum(count for count in counts if count is not None) + len(self._unlisted)

    def __iter__(self) -> Iterator[Entry]:
        if len(self.sources) == 1:
            yield from self.sources[0]
            yield from self.unlisted()
            return
        for source in self.sources:
            prefix = self.prefix(source)
            for entry in source:
                name = f"{prefix}{entry.name}" if entry.name else ""
                yield entry._replace(name=name, source=entry.source or str(source.path))

        yield from self.unlisted()

    def unlisted(self) -> Iterator[Entry]:
        """Gives an entry for each folder below it that cannot be listed, with the reason."""
        for number, error in enumerate(self._unlisted, start=1):
            name = os.path.relpath(error.filename, self.path)
            fault = f"the folder cannot be listed: {reason_of(error)}"
            yield Entry(number, name, "", b"", fault, str(self.path), "Check its permissions.")

    def prefix(self, source: Source) -> str:
        """What the names of a source's images begin with: its folder, as seen from that of the group."""
        if len(self.sources) == 1:
            return ""
        is_whole = source.path.is_dir() or source.layout == "LMDB"
        relative = os.path.relpath(source.path if is_whole else source.path.parent, self.path)
        return "" if relative == os.curdir else f"{Path(relative).as_posix()}/"

    def fingerprint(self) -> str:
        """A fingerprint of those of the sources."""
        digest = hashlib.sha256(self._split.encode())
        for source in self.sources:
            digest.update(f"{source.path} {source.fingerprint()}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()
