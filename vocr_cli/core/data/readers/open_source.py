"""Which kind of labelled lines a path holds, recognised from its name and its first bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from vocr_cli.core.data.images.file_kinds import is_tar
from vocr_cli.core.data.lmdb.environments import is_database
from vocr_cli.core.data.readers.archives import Database, TarArchives, tar_files
from vocr_cli.core.data.readers.entries import Entry, Source
from vocr_cli.core.data.readers.files import GROUND_TRUTH, AnnotationFile, PairFolder
from vocr_cli.core.data.readers.layout.layout_files import is_layout
from vocr_cli.core.data.readers.parquet_files import ParquetFiles
from vocr_cli.core.data.readers.tables import (
    IMAGE_COLUMNS,
    TEXT_COLUMNS,
    Columns,
    JsonLines,
    Table,
    first_row,
)
from vocr_cli.core.errors import DataError
from vocr_cli.core.machine.files.folder_walk import files_ending

_METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")


def open_source(path: Path, images_root: Path | None = None, columns: Columns | None = None) -> Source:
    """Opens labelled lines of any kind.

    Args:
        path: An annotation file, a folder of image + .gt.txt pairs, CSV, TSV, JSON Lines, Parquet, a
            WebDataset tar, a folder of Parquet or tars, an image folder with its metadata, PAGE XML, ALTO or
            hOCR or a folder of them, or a database.
        images_root: The folder that relative paths start from; the list's own by default.
        columns: Which columns of a table hold image and text.

    Raises:
        DataError: It is missing, of no known kind, or cannot be read.
        DependencyError: Its kind needs a package that is not installed.
    """
    wanted = columns or Columns()
    if is_database(path):
        return Database(path)
    if path.is_dir():
        return _open_folder(path, images_root, wanted)
    suffix = path.suffix.lower()
    if path.exists() and suffix in {".jsonl", ".ndjson", ".json"}:
        return JsonLines(path, images_root, wanted)
    if path.exists() and suffix == ".parquet":
        return ParquetFiles(path, images_root, wanted)
    if path.exists() and is_tar(path):
        return TarArchives(path, wanted)
    if is_layout(path):
        from vocr_cli.core.data.readers.layout.source import LayoutFiles  # loads the cutting of lines

        return LayoutFiles(path, images_root)
    if path.exists() and _is_table(path, suffix, wanted):
        return Table(path, images_root, wanted)
    return AnnotationFile(path, images_root)


def all_entries(sources: Sequence[Source]) -> Iterator[Entry]:
    """The entries of all sources, one source after the other; with several, each names its own."""
    if len(sources) == 1:
        return iter(sources[0])
    return chain.from_iterable(
        (entry._replace(source=str(source.path)) for entry in source) for source in sources
    )


def _open_folder(path: Path, images_root: Path | None, columns: Columns) -> Source:
    for name in _METADATA:
        if (path / name).exists():
            return open_source(path / name, images_root, columns)
    if tar_files(path):
        return TarArchives(path, columns)
    if next(files_ending(path, ".parquet"), None):
        return ParquetFiles(path, images_root, columns)
    if next(files_ending(path, GROUND_TRUTH), None):
        return PairFolder(path)
    if is_layout(path):
        from vocr_cli.core.data.readers.layout.source import LayoutFiles

        return LayoutFiles(path, images_root)
    raise DataError(
        f"{path} is a folder without labels: no data.mdb, *{GROUND_TRUTH}, *.tar, *.parquet, metadata.jsonl, "
        "PAGE XML, ALTO or hOCR.",
        "Name the annotation file in it, or add the labels.",
    )


def _is_table(path: Path, suffix: str, columns: Columns) -> bool:
    """Whether the first row names columns, rather than being `path<TAB>label`."""
    if columns != Columns():
        return True
    head = first_row(path) if path.stat().st_size else ""
    if suffix == ".csv" and "\t" not in head:
        return bool(head)
    names = [name.strip().lower() for name in head.split("\t")]
    named = any(name in IMAGE_COLUMNS for name in names) and any(name in TEXT_COLUMNS for name in names)
    as_annotated = names[0] in IMAGE_COLUMNS and names[1:] in (["text"], ["label"], ["text", "confidence"])
    return named and not as_annotated
