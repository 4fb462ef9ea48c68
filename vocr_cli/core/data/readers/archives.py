"""WebDataset tars: line images and their labels packed together."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from vocr_cli.core.data.images.file_kinds import IMAGE_SUFFIXES, MAX_FILE_BYTES, too_many_bytes
from vocr_cli.core.data.readers.entries import Entry, stamp
from vocr_cli.core.data.readers.source_options import Columns
from vocr_cli.core.data.readers.tables.cells import text_in, text_of
from vocr_cli.core.data.readers.tar_members import tar_members
from vocr_cli.core.errors import ImageError
from vocr_cli.core.machine.files.input_file import parse_json

_TEXT_SUFFIXES = (".txt", ".text", ".label", ".transcript")
_JSON_SUFFIX = ".json"
_KNOWN_SUFFIXES = (*IMAGE_SUFFIXES, *_TEXT_SUFFIXES, _JSON_SUFFIX)
_PART_WORDS = frozenset(
    ("image", "img", "input", "line", "gt", "text", "label", "target", "transcription", "caption")
)
"""Words that may stand before the suffix of a sample's part, as in `x.image.png` and `x.gt.txt`."""

_PACK_SORTED = (
    "Pack it so that parts of one name are neighbours (tar --sort=name -cf FILE.tar FOLDER), or unpack it "
    "and name the folder."
)


class _Sample(NamedTuple):
    """Neighbours of one name: their bytes by suffix, and why they cannot be used, if so."""

    name: str
    members: dict[str, bytes]
    fault: str


class TarArchives:
    """WebDataset shards: neighbours of one name, `x.png` + `x.txt` or `x.json`, are one line.

    The archives are read once from front to end, packed ones too.

    Args:
        path: A tar, or a folder of them.
        files: The tars, in their order.
        columns: The kind of member that is the image (`left.png`), and that of the text, or its key in a
            `.json` member; empty: the first that there is.
    """

    lines = None
    layout = "WebDataset tar"

    def __init__(self, path: Path, files: Sequence[Path], columns: Columns) -> None:
        self.path, self._files, self._columns = path, files, columns
        self.notes: list[str] = []
        self.uses = frozenset({"columns"})

    def __iter__(self) -> Iterator[Entry]:
        by_first_dot = bool(self._columns.image or self._columns.text)  # as webdataset itself parts names
        samples = ((file, sample) for file in self._files for sample in _samples(file, by_first_dot))
        for number, (file, sample) in enumerate(samples, start=1):
            yield self._entry(number, f"{file.name}/{sample.name}", sample)

    def fingerprint(self) -> str:
        """A fingerprint of the archives' names, sizes and times."""
        return f"{[stamp(file) for file in self._files]} {self._columns}"

    def _entry(self, number: int, name: str, sample: _Sample) -> Entry:
        members = sample.members
        if sample.fault:
            return Entry(number, name, "", b"", sample.fault, remedy="Copy the archive again.")
        images = [suffix for suffix in members if _is_kind(suffix, self._columns.image)]
        if len(images) > 1:
            fault, remedy = (
                f"several images: {', '.join(images)}",
                f"Name one: --columns image={images[0][1:]}",
            )
            return Entry(number, name, "", b"", fault, remedy=remedy)
        if not images:
            fault = f"no image, but {', '.join(members)}"
            return Entry(number, name, "", b"", fault, remedy=_PACK_SORTED)
        image = images[0]
        try:
            label = self._label(members)
        except ValueError as error:
            return Entry(number, name + image, "", b"", f"its label cannot be read: {error}")
        if label is None:
            fault = "no .txt, and no text in a .json, of its name beside it"
            return Entry(number, name + image, "", b"", fault, remedy=_PACK_SORTED)
        return Entry(number, name + image, label, members[image])

    def _label(self, members: dict[str, bytes]) -> str | None:
        wanted = self._columns.text
        texts = [suffix for suffix in members if suffix.endswith(_TEXT_SUFFIXES)]
        if wanted:
            texts = [suffix for suffix in members if suffix == f".{wanted.lower()}"]
        if texts:
            return members[texts[0]].decode("utf-8-sig")
        values = parse_json(members.get(_JSON_SUFFIX, b"{}"))
        if not wanted:
            return text_in(values)
        return text_of(values.get(wanted)) if isinstance(values, dict) else None


def _is_kind(suffix: str, wanted: str) -> bool:
    """Whether a member is the image that is wanted."""
    is_image = os.path.splitext(f"x{suffix}")[1] in IMAGE_SUFFIXES
    return is_image and (not wanted or suffix.endswith(f".{wanted.lower()}"))


def _samples(file: Path, by_first_dot: bool) -> Iterator[_Sample]:
    """Yields the samples of an archive; where it breaks off, one more says so."""
    name = ""
    members: dict[str, bytes] = {}
    faults: list[str] = []
    try:
        for member, content in tar_members(file, _is_part):
            stem, suffix = _stem_and_suffix(member, by_first_dot)
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


def _stem_and_suffix(member: str, by_first_dot: bool) -> tuple[str, str]:
    """A sample's name and what stands after it, in lower case: `a/x` and `.gt.txt`, `1.5` and `.png`."""
    folder, _, base = member.rpartition("/")
    ends = [suffix for suffix in _KNOWN_SUFFIXES if base.lower().endswith(suffix)]
    if by_first_dot or not ends:
        stem, dot, suffix = base.partition(".")
    else:
        stem, dot, suffix = base[: -len(ends[0])], "", ends[0]
        name, inner, word = stem.rpartition(".")
        if inner and word.lower() in _PART_WORDS:
            stem, suffix = name, f".{word}{suffix}"
    return f"{folder}/{stem}" if folder else stem, f"{dot}{suffix}".lower()


def _is_part(member: str) -> bool:
    """Whether a member is an image or a label; shards hold other things too."""
    return member.lower().endswith(_KNOWN_SUFFIXES)
