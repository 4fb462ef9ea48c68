"""Labelled line images packed together: WebDataset tars, and databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from vocr_cli.core.data.images.file_kinds import (
    IMAGE_SUFFIXES,
    MAX_FILE_BYTES,
    is_tar,
    too_many_bytes,
)
from vocr_cli.core.data.lmdb.environments import data_file
from vocr_cli.core.data.lmdb.store import LineStore
from vocr_cli.core.data.readers.entries import Entry, stamp
from vocr_cli.core.data.readers.tables import TEXT_COLUMNS, Columns
from vocr_cli.core.data.readers.tar_members import tar_members
from vocr_cli.core.errors import DataError, ImageError
from vocr_cli.core.machine.files.input_file import parse_json

_TEXT_SUFFIXES = (".txt", ".gt.txt", ".text", ".label")
_JSON_SUFFIX = ".json"


class _Sample(NamedTuple):
    """Neighbours of one name: their bytes by suffix, and why they cannot be used, if so."""

    name: str
    members: dict[str, bytes]
    fault: str


class TarArchives:
    """WebDataset shards: neighbours of one name, `x.png` + `x.txt` or `x.json`, are one line.

    The archives are read once from front to end, packed ones too.

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
        samples = ((file, sample) for file in self._files for sample in _samples(file))
        for number, (file, sample) in enumerate(samples, start=1):
            yield self._entry(number, f"{file.name}/{sample.name}", sample)

    def fingerprint(self) -> str:
        """A fingerprint of the archives' names, sizes and times."""
        return f"{[stamp(file) for file in self._files]} {self._text_key}"

    def _entry(self, number: int, name: str, sample: _Sample) -> Entry:
        members = sample.members
        if sample.fault:
            return Entry(number, name, "", b"", sample.fault)
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
        values = parse_json(members.get(_JSON_SUFFIX, b"{}"))
        keys = (self._text_key,) if self._text_key else TEXT_COLUMNS
        found = [values[key] for key in keys if isinstance(values, dict) and isinstance(values.get(key), str)]
        return found[0] if found else None


def tar_files(folder: Path) -> list[Path]:
    """The tars in a folder, in the order of their names."""
    return sorted(file for file in folder.iterdir() if is_tar(file) and not file.name.startswith("."))


def _samples(file: Path) -> Iterator[_Sample]:
    """Yields the samples of an archive; where it breaks off, one more says so."""
    name = ""
    members: dict[str, bytes] = {}
    faults: list[str] = []
    try:
        for member, content in tar_members(file, _is_part):
            stem, suffix = _stem_and_suffix(member)
            if stem != name and members:
                yield _Sample(name, members, "; ".join(faults))
                members, faults = {}, []
            name = stem
            if isinstance(content, ImageError):
                faults.append(content.problem.removeprefix(f"{file}/"))
            elif sum(map(len, members.values())) + len(content) > MAX_FILE_BYTES:
                faults.append(too_many_bytes(member, MAX_FILE_BYTES).problem)
            members[suffix] = content if isinstance(content, bytes) and not faults else b""
    except ImageError as damaged:
        if members:
            yield _Sample(name, members, "; ".join(faults))
        yield _Sample(f"after {name}" if name else "start", {}, damaged.problem.removeprefix(f"{file}: "))
        return
    if members:
        yield _Sample(name, members, "; ".join(faults))


def _stem_and_suffix(member: str) -> tuple[str, str]:
    """A member's folder and name up to the first dot, and the rest in lower case: `a/x` and `.gt.txt`."""
    folder, _, base = member.rpartition("/")
    stem, dot, suffix = base.partition(".")
    return f"{folder}/{stem}" if folder else stem, f"{dot}{suffix}".lower()


def _is_part(member: str) -> bool:
    """Whether a member is an image or a label; shards hold other things too."""
    suffix = _stem_and_suffix(member)[1]
    return suffix in IMAGE_SUFFIXES or suffix in _TEXT_SUFFIXES or suffix == _JSON_SUFFIX


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
        """A fingerprint of the file's name, size and time."""
        return stamp(data_file(self.path))
