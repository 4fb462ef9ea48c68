"""What a folder holds, by the names of the files in it: which of them may list or hold labelled lines."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vocr_cli.core.data.images.file_kinds import is_image_name, is_tar
from vocr_cli.core.data.lmdb.environments import is_database
from vocr_cli.core.data.readers.folders.files_below import files_below
from vocr_cli.core.data.readers.folders.pairs import GROUND_TRUTH
from vocr_cli.core.data.readers.folders.splits import METADATA_NAMES
from vocr_cli.core.data.readers.layout.parse_xml import SUFFIXES as LAYOUT_SUFFIXES
from vocr_cli.core.errors import DataError, reason_of
from vocr_cli.core.machine.files.input_file import MAX_DOCUMENT_BYTES, parse_json, read_within

LIST_NAMES = (
    "labels.tsv", "labels.txt", "annotations.tsv", "annotations.txt", "gt.txt", "rec_gt.txt", "label.txt",
    "labels.csv", "label.csv", "annotations.csv", "labels.jsonl", "annotations.jsonl", "labels.json",
    "label.json", "annotations.json", "annotation.json", "annotation.txt",
)  # fmt: skip
"""What the list of a folder's lines may be called; the first that is there is taken."""

_LIST_SUFFIXES = (".txt", ".tsv", ".csv", ".json", ".jsonl", ".ndjson")
_DATABASE_SUFFIXES = (".mdb", ".lmdb", "")
_STATE = "state.json"
_NO_LISTS = {
    _STATE,
    "dataset_info.json",
    "dataset_infos.json",
    "dataset_dict.json",
    "fileState.txt",
    "Cache.cach",
}


@dataclass(frozen=True)
class FolderContents:
    """The files below a folder that may have to do with labelled lines.

    Attributes:
        path: The folder.
        images: Images, relative to the folder.
        metadata: Files of `METADATA_NAMES`.
        lists: Files of `LIST_NAMES`.
        others: Other files that may be lists by their endings, those of labels beside images included.
        ground_truth: Files that end in `.gt.txt`, relative to the folder.
        databases: Folders and files of LMDB.
        tars: Archives.
        parquet: Parquet files.
        arrow: Arrow files, of a folder of `save_to_disk` those that count.
        xml: XML and HTML, which may describe pages.
        unlisted: Folders that cannot be listed.
    """

    path: Path
    images: list[str] = field(default_factory=list)
    metadata: list[Path] = field(default_factory=list)
    lists: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    ground_truth: list[str] = field(default_factory=list)
    databases: list[Path] = field(default_factory=list)
    tars: list[Path] = field(default_factory=list)
    parquet: list[Path] = field(default_factory=list)
    arrow: list[Path] = field(default_factory=list)
    xml: list[Path] = field(default_factory=list)
    unlisted: list[OSError] = field(default_factory=list)

    def at_the_top(self, files: Sequence[Path]) -> list[Path]:
        """Those of the files that lie in the folder itself, not below it."""
        return [file for file in files if file.parent == self.path]

    def passed_by(self, read: Sequence[Path]) -> str:
        """Names what else holds labelled lines, by its name, beside what is read; or nothing."""
        kinds = (self.metadata, self.lists, self.databases, self.tars, self.parquet, self.arrow)
        taken = set(read)
        others = [file for kind in kinds for file in kind if file not in taken]
        if not others:
            return ""
        shown = ", ".join(str(file.relative_to(self.path)) for file in others[:3])
        more = f" and {len(others) - 3:,} more" if len(others) > 3 else ""
        return f"not read unless you name it: {shown}{more}"


def look_into(path: Path) -> FolderContents:
    """Goes through a folder.

    Raises:
        DataError: It cannot be listed.
    """
    found = FolderContents(path)
    for name in files_below(str(path), found.unlisted.append):
        _sort_in(found, Path(name), os.path.relpath(name, path))
    if found.unlisted and Path(found.unlisted[0].filename) == path:
        reason = reason_of(found.unlisted[0])
        raise DataError(f"{path}: the folder cannot be listed: {reason}.", "Check its permissions.")
    stated = {file.parent for file in found.arrow if (file.parent / _STATE).is_file()}
    found.arrow[:] = [file for file in found.arrow if file.parent not in stated]
    for folder in sorted(stated):
        found.arrow.extend(_stated_files(folder))
    for files in (found.databases, found.tars, found.parquet):
        files.sort()
    return found


def _sort_in(found: FolderContents, file: Path, relative: str) -> None:
    name, suffix = file.name, file.suffix.lower()
    if is_image_name(name):
        found.images.append(relative)
    elif name == "data.mdb":
        found.databases.append(file.parent)
    elif name.lower().endswith(GROUND_TRUTH):
        found.ground_truth.append(relative)
    elif name in METADATA_NAMES:
        found.metadata.append(file)
    elif name in LIST_NAMES:
        found.lists.append(file)
    elif suffix in _LIST_SUFFIXES:
        if name not in _NO_LISTS:
            found.others.append(file)
    elif is_tar(file):
        found.tars.append(file)
    elif suffix == ".parquet":
        found.parquet.append(file)
    elif suffix == ".arrow":
        if not name.startswith("cache-"):  # intermediate results of `datasets`
            found.arrow.append(file)
    elif suffix in LAYOUT_SUFFIXES:
        found.xml.append(file)
    elif (
        suffix in _DATABASE_SUFFIXES
        and name != "lock.mdb"
        and not name.endswith("-lock")
        and is_database(file)
    ):
        found.databases.append(file)


def _stated_files(folder: Path) -> list[Path]:
    """The files of a data set of `save_to_disk`, as it lists them; others beside them are left over."""
    try:
        state: Any = parse_json(read_within(folder / _STATE, MAX_DOCUMENT_BYTES, pipes=False))
        names = [entry["filename"] for entry in state["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError):
        return sorted(folder.glob("*.arrow"))
    return [folder / name for name in names if isinstance(name, str) and (folder / name).is_file()]
