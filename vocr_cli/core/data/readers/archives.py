"""Labelled line images packed together: WebDataset tars, and databases."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

from vocr_cli.core.data.lmdb.environments import data_file
from vocr_cli.core.data.lmdb.store import LineStore
from vocr_cli.core.data.readers.entries import Entry, stamp
from vocr_cli.core.data.readers.files import IMAGE_SUFFIXES
from vocr_cli.core.data.readers.tables import TEXT_COLUMNS, Columns
from vocr_cli.core.errors import DataError

_TEXT_SUFFIXES = (".txt", ".gt.txt", ".text", ".label")


class TarArchives:
    """WebDataset shards: neighbours of one name, `x.png` + `x.txt` or `x.json`, are one line.

    The archives are read once from front to end, gzip-packed ones too.

    Args:
        path: A tar, or a folder of them, read in the order of their names.
        columns: The key of the text in a `.json` member.
    """

    lines = None

    def __init__(self, path: Path, columns: Columns) -> None:
        self.path = path
        self._files = tar_files(path) if path.is_dir() else [path]
        self._text_key = columns.text

    def __iter__(self) -> Iterator[Entry]:
        number = 0
        for file in self._files:
            for name, members in _samples(file):
                number += 1
                yield self._entry(number, f"{file.name}/{name}", members)

    def fingerprint(self) -> str:
        """Of the archives' names, sizes and times."""
        return f"{[stamp(file) for file in self._files]} {self._text_key}"

    def _entry(self, number: int, name: str, members: dict[str, bytes]) -> Entry:
        if "fault" in members:
            return Entry(number, name, "", b"", members["fault"].decode())
        image = next((suffix for suffix in members if suffix in IMAGE_SUFFIXES), None)
        if image is None:
            return Entry(number, name, "", b"", f"no image, but {', '.join(members)}")
        try:
            label = self._label(members)
        except ValueError as error:
            return Entry(number, name + image, "", b"", f"its label cannot be read: {error}")
        if label is None:
            return Entry(number, name + image, "", b"", "no .txt, and no text in a .json, of its name")
        return Entry(number, name + image, label, members[image])

    def _label(self, members: dict[str, bytes]) -> str | None:
        for suffix in _TEXT_SUFFIXES:
            if suffix in members:
                return members[suffix].decode("utf-8-sig")
        values = json.loads(members.get(".json", b"{}"))
        keys = (self._text_key,) if self._text_key else TEXT_COLUMNS
        found = [values[key] for key in keys if isinstance(values, dict) and isinstance(values.get(key), str)]
        return found[0] if found else None


def tar_files(folder: Path) -> list[Path]:
    """The tars in a folder, in the order of their names."""
    return sorted(file for file in folder.iterdir() if is_tar(file))


def is_tar(path: Path) -> bool:
    """Whether a name is that of a tar."""
    return path.name.lower().endswith((".tar", ".tar.gz", ".tgz"))


def _samples(file: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """(name, members by suffix) of neighbours with one name; a damaged rest gives a member `fault`."""
    name = ""
    members: dict[str, bytes] = {}
    try:
        with tarfile.open(file, "r|*") as archive:
            for member in archive:
                if not member.isfile() or Path(member.name).name.startswith("."):
                    continue
                folder, _, base = member.name.rpartition("/")
                stem, dot, suffix = base.partition(".")
                key = f"{folder}/{stem}" if folder else stem
                if key != name and members:
                    yield name, members
                    members = {}
                stream = archive.extractfile(member)
                content = stream.read() if stream is not None else b""
                name = key
                members[f"{dot}{suffix}".lower()] = content
    except (tarfile.TarError, EOFError, OSError) as error:
        if members:
            yield name, members
        yield (
            f"after {name}" if name else "start",
            {"fault": f"the archive is damaged or cut short here: {error}".encode()},
        )
        return
    if members:
        yield name, members


class Database:
    """The lines of a database, in either layout, to be merged into another.

    Args:
        path: A folder with `data.mdb`, or an `.mdb` file.

    Raises:
        DataError: There is none, or it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with LineStore(path) as store:
            self.lines = len(store)

    def __iter__(self) -> Iterator[Entry]:
        with LineStore(self.path) as store:
            for number in range(len(store)):
                try:
                    line = store[number]
                except DataError as error:
                    yield Entry(number + 1, f"record {number}", "", b"", error.problem)
                else:
                    yield Entry(number + 1, line.path, line.text, line.image)

    def fingerprint(self) -> str:
        """Of the file's size and time."""
        return stamp(data_file(self.path))
