"""Where the images of a list are: where it says, or under another spelling, folder or name.

A list and its images may have come from different systems: one writes names decomposed (NFD), another with
backslashes, a third with absolute paths of a machine that is not this one. Where images are is found out with
a sample of the list first: what most of the sample needs, all of it gets.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from vocr_cli.core.data.images.file_kinds import is_image_name
from vocr_cli.core.data.readers.folders.files_below import files_below
from vocr_cli.core.errors import DataError
from vocr_cli.core.machine.files.input_file import parse_json

IMAGE_FOLDERS = ("images", "imgs", "image", "img", "crop_img")
_SAMPLE = 64
_PROBED = 8  # names looked for in each of many places
_MOST_FILES = 2_000_000  # of a tree that is searched for images by their names
_LISTED_FOLDERS = 64
_UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-")  # Label Studio's, before the names of files given to it
_STEM = "/"  # after a key that is a name without its suffix: no name ends so


class Place(NamedTuple):
    """Where a list's images lie.

    Attributes:
        base: The folder that their paths start from.
        dropped: Leading parts of each path that are no folders there.
        has_prefix: Whether Label Studio's prefix of uploaded files stands before their names.
        by_name: Whether each is to be found by its name alone, anywhere below the folder.
    """

    base: str
    dropped: int = 0
    has_prefix: bool = False
    by_name: bool = False


class ImageFolder:
    """The folder that the paths of a list start from, and how files are found in it.

    Args:
        root: The folder.
        is_given: Whether the user named it; else, what is not there is looked for from the folder above and
            from the working directory, too.
    """

    def __init__(self, root: Path, is_given: bool = False) -> None:
        self.root = str(root)
        self.here = Place(self.root)
        self._bases = list(self._other_bases(is_given))
        self._listed: dict[str, dict[str, list[str]]] = {}
        self._tree: dict[str, list[str]] | None = None

    def locate(self, names: Iterable[str], *, deep: bool) -> Located:
        """Finds out where most images of a sample lie.

        Args:
            names: As the list writes them.
            deep: Whether to go through the whole tree for files of their names where nothing else helps.
        """
        sample = list(dict.fromkeys(name for name in names if name.strip()))[:_SAMPLE]
        probed = sample[:: max(len(sample) // _PROBED, 1)]
        without_suffix = not all(map(is_image_name, sample))
        for by_stem in (False, True) if without_suffix else (False,):
            if found := self._count(self.here, sample, by_stem):
                return Located(self, self.here, found / len(sample), by_stem)
            counted = [(self._count(place, probed, by_stem), place) for place in self._places(probed)]
            most = max((count for count, _ in counted), default=0)
            if most:
                place = next(place for count, place in counted if count == most)
                return Located(self, place, most / len(probed), by_stem)
        if deep and probed:
            found = sum(len(self._named(name)) == 1 for name in probed)
            return Located(self, Place(self.root, by_name=True), found / len(probed), by_stem=True)
        return Located(self, self.here, 0.0, by_stem=False)

    def find(self, place: Place, name: str) -> str | None:
        """The file of an image, or nothing.

        Raises:
            DataError: Its name alone stands for several files.
        """
        file = self._file(self.here, name, by_stem=True)
        if file is None and place.by_name:
            files = self._named(name)
            if len(files) > 1:
                raise DataError(
                    f"several files have its name: {', '.join(map(os.path.normpath, sorted(files)[:3]))}",
                    "Name the folder that the list's paths start from with --images.",
                )
            return files[0] if files else None
        if file is None and place != self.here:
            file = self._file(place, name, by_stem=True)
        return file

    def _count(self, place: Place, names: Sequence[str], by_stem: bool) -> int:
        """How many of the names are files there; none, where two of them would be the same file."""
        files = [file for name in names if (file := self._file(place, name, by_stem)) is not None]
        return len(files) if len(set(files)) == len(files) else 0

    def _places(self, names: Sequence[str]) -> Iterator[Place]:
        """Gives other places where images may lie, the likeliest first."""
        parts = [_parts(name) for name in names]
        deepest = min(max(map(len, parts), default=0), 12)
        has_prefix = any(part and _UPLOAD_PREFIX.match(part[-1]) for part in parts)
        for prefixed in (False, True) if has_prefix else (False,):
            for dropped in range(deepest):
                for base in self._bases:
                    place = Place(base, dropped, prefixed)
                    if place != self.here:
                        yield place

    def _other_bases(self, is_given: bool) -> Iterator[str]:
        above = [] if is_given else [os.path.join(self.root, os.pardir), ""]
        for base in (self.root, *above):
            yield base
            for folder in IMAGE_FOLDERS:
                if os.path.isdir(inner := os.path.join(base, folder)):
                    yield inner

    def _file(self, place: Place, name: str, by_stem: bool) -> str | None:
        """The file at a place: by its name as written, otherwise spelt, or (`by_stem`) without suffix."""
        if place == self.here and os.path.isfile(file := os.path.join(self.root, name)):
            return file
        parts = _parts(name)[place.dropped :]
        if not parts:
            return None
        if place.has_prefix:
            parts[-1] = _UPLOAD_PREFIX.sub("", parts[-1])
        file = os.path.join(place.base, *parts)
        if place == self.here and os.path.isabs(name):  # of another machine: it is no path of this folder
            return None
        return file if os.path.isfile(file) else self._respelt(place.base, parts, by_stem)

    def _respelt(self, base: str, parts: Sequence[str], by_stem: bool) -> str | None:
        """A file whose path differs in Unicode form, case or a lacking suffix alone; nothing if unclear."""
        folder = base
        for part in parts[:-1]:
            inner = os.path.join(folder, part)
            if not os.path.isdir(inner):
                found = self._names(folder).get(_spelling(part), [])
                if len(found) != 1:
                    return None
                inner = os.path.join(folder, found[0])
            folder = inner
        listed, wanted = self._names(folder), _spelling(parts[-1])
        found = listed.get(wanted, [])
        if not found and by_stem and not is_image_name(wanted):
            found = listed.get(wanted + _STEM, [])
        file = os.path.join(folder, found[0]) if len(found) == 1 else ""
        return file if file and os.path.isfile(file) else None

    def _names(self, folder: str) -> dict[str, list[str]]:
        """The entries of a folder by their spelling; images also by their stems."""
        if folder in self._listed:
            return self._listed[folder]
        names: dict[str, list[str]] = {}
        try:
            with os.scandir(folder or os.curdir) as entries:
                for entry in entries:
                    for key in _keys(entry.name):
                        names.setdefault(key, []).append(entry.name)
        except (OSError, ValueError):
            pass
        if len(self._listed) >= _LISTED_FOLDERS:
            self._listed.pop(next(iter(self._listed)))
        self._listed[folder] = names
        return names

    def _named(self, name: str) -> list[str]:
        """The images anywhere below the folder that have a name, or its stem where it has no suffix."""
        if self._tree is None:
            self._tree = {}
            for file in _images_below(self.root):
                for key in _keys(os.path.basename(file)):
                    self._tree.setdefault(key, []).append(file)
        parts = _parts(name)
        wanted = _spelling(parts[-1]) if parts else ""
        stem = () if is_image_name(wanted) else (wanted + _STEM,)
        for key in (wanted, _UPLOAD_PREFIX.sub("", wanted), *stem):
            if files := self._tree.get(key):
                return files
        return []


class Located:
    """Where the images of a list are.

    Args:
        folder: What their paths start from.
        place: Where most of the sample lie.
        share: What share of the sample was found there.
        by_stem: Whether it was found by names without suffixes, or by names alone.
    """

    def __init__(self, folder: ImageFolder, place: Place, share: float, by_stem: bool) -> None:
        self.folder, self.place, self.share, self.by_stem = folder, place, share, by_stem
        self._claimed: dict[str, str] = {}

    @property
    def is_elsewhere(self) -> bool:
        """Whether images are not where the list says."""
        return bool(self.share) and self.place != self.folder.here

    def file(self, name: str) -> str:
        """The file of an image; where none is found, where it should be.

        Raises:
            DataError: It may be one of several files, or the one of another line.
        """
        name = name.strip()
        file = self.folder.find(self.place, name)
        if file is None:
            return os.path.join(self.folder.root, name)
        if self.is_elsewhere and self._claimed.setdefault(file, name) != name:
            raise DataError(
                f"{file} would be its image, and that of {self._claimed[file]}",
                "Name the folder that the list's paths start from with --images.",
            )
        return file

    def note(self, example: str) -> str:
        """What a user should know; empty: the images are where the list says."""
        if not self.is_elsewhere:
            return ""
        base = os.path.normpath(self.place.base)
        if self.place.by_name:
            return f"no image is where it says ({example}); they are found by their names in {base!r}"
        without = f" without their first {self.place.dropped} parts" if self.place.dropped else ""
        return f"no image is where it says ({example}); the paths start{without} from {base!r}"


def cell_names(cell: object) -> list[str]:
    """The images that a cell names: one, or as many as a JSON list in it has (PaddleOCR's rows)."""
    if isinstance(cell, list):
        return [name for name in cell if isinstance(name, str)]
    if not isinstance(cell, str):
        return []
    if cell.startswith('["') and cell.rstrip().endswith('"]'):
        try:
            names = parse_json(cell)
        except ValueError:
            return [cell]
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            return names
    return [cell]


def _parts(name: str) -> list[str]:
    """The folders and the file in a path of any system, or in the address of a web page."""
    name = name.strip()
    scheme, is_address, rest = name.partition("://")
    if is_address and scheme.isalnum():
        name = unquote(rest.partition("?")[0] or rest) if "?d=" not in rest else rest
    if "?d=" in name:  # Label Studio's local files
        name = unquote(name.partition("?d=")[2])
    drive = re.match(r"[A-Za-z]:[\\/]", name)
    if drive or ("\\" in name and os.sep == "/"):
        name = name[drive.end() if drive else 0 :].replace("\\", "/")
    return [part for part in name.split("/") if part not in ("", ".")]


def _keys(name: str) -> list[str]:
    """What a file is found by: its spelling and, of an image, that of its stem."""
    spelling = _spelling(name)
    return [spelling, os.path.splitext(spelling)[0] + _STEM] if is_image_name(spelling) else [spelling]


def _spelling(name: str) -> str:
    """What names have in common that differ in Unicode form or case alone."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _images_below(root: str) -> Iterator[str]:
    """Gives the images below a folder."""
    for count, file in enumerate(files_below(root)):
        if count > _MOST_FILES:
            return
        if is_image_name(file):
            yield file
