"""Which kind of labelled lines a path holds, recognised by its content: the one door of all commands."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from vocr_cli.core.data.images.file_kinds import is_image_name, is_tar
from vocr_cli.core.data.lmdb.environments import is_database
from vocr_cli.core.data.readers.annotations import no_columns
from vocr_cli.core.data.readers.archives import TarArchives
from vocr_cli.core.data.readers.databases import Database
from vocr_cli.core.data.readers.entries import Entry, Source
from vocr_cli.core.data.readers.folders.folder_contents import (
    LIST_NAMES,
    FolderContents,
    look_into,
)
from vocr_cli.core.data.readers.folders.pairs import GROUND_TRUTH, LABEL_SUFFIXES, PairFolder, labels_beside
from vocr_cli.core.data.readers.folders.source_group import SourceGroup
from vocr_cli.core.data.readers.folders.splits import METADATA_NAMES, by_split, choose_split
from vocr_cli.core.data.readers.layout.open_layout import layouts_in, open_layout
from vocr_cli.core.data.readers.layout.parse_xml import layout_kind
from vocr_cli.core.data.readers.lists.annotation_file import AnnotationFile
from vocr_cli.core.data.readers.lists.find_images import ImageFolder
from vocr_cli.core.data.readers.lists.text_form import text_form
from vocr_cli.core.data.readers.source_options import AS_FOUND, NothingLabelled, SourceOptions, refuse_unused
from vocr_cli.core.data.readers.strange_files import refuse_strange
from vocr_cli.core.data.readers.tables.arrow_rows import PARQUET, ArrowRows, is_arrow
from vocr_cli.core.data.readers.tables.delimited import Delimited
from vocr_cli.core.data.readers.tables.json_rows import JsonDocument, JsonLines, parse_json, read_document
from vocr_cli.core.data.readers.tables.rows import Rows
from vocr_cli.core.data.readers.tables.table_source import TableSource
from vocr_cli.core.errors import DataError, VocrError, reason_of
from vocr_cli.core.machine.files.input_file import open_buffered, open_input

_HEAD_BYTES = 4096
_MOST_LISTS = 200


def open_sources(paths: Sequence[Path], options: SourceOptions = AS_FOUND) -> list[Source]:
    """Opens labelled lines of any kind, each as `open_source` does.

    Raises:
        ConfigError: An option means nothing to any of them.
        DataError: One is missing, of no known kind, or cannot be read.
        DependencyError: Its kind needs a package that is not installed.
    """
    sources = [open_source(path, options) for path in paths]
    refuse_unused(options, sources)
    return sources


def open_source(path: Path, options: SourceOptions = AS_FOUND) -> Source:
    """Opens labelled lines of any kind; `docs/data_layouts.md` lists them.

    Args:
        path: A list, a table, JSON, Parquet, Arrow, a WebDataset tar, PAGE XML, ALTO, hOCR, a database, or a
            folder of any of these or of images with labels beside them.
        options: What the user says of it; everything else is found out by looking.

    Raises:
        DataError: It is missing, of no known kind, or cannot be read.
        SplitNeeded: It has several splits, and none is asked for.
        DependencyError: Its kind needs a package that is not installed.
    """
    if is_database(path):
        return Database(path)
    if path.is_dir():
        return _open_folder(path, options)
    return _open_file(path, options, pipes=True)


def all_entries(sources: Sequence[Source]) -> Iterator[Entry]:
    """The entries of all sources, one source after the other; with several, each names its own."""
    if len(sources) == 1:
        return iter(sources[0])
    return chain.from_iterable(
        (entry if entry.source else entry._replace(source=str(source.path)) for entry in source)
        for source in sources
    )


def _open_file(path: Path, options: SourceOptions, *, pipes: bool = False) -> Source:
    if not os.path.lexists(path):
        raise DataError(f"No annotation file, table, folder or database at {path}.", "Check the path.")
    if is_tar(path) and path.exists():
        return TarArchives(path, [path], options.columns)
    head = _head(path)
    if head.startswith(PARQUET) or is_arrow(head) or (head and path.suffix.lower() in (".parquet", ".arrow")):
        return _table(ArrowRows(path, [path]), options)
    if head and is_image_name(path.name):
        raise DataError(f"{path} is an image, no list of them.", "Name the file or folder with the labels.")
    if head and layout_kind(path):
        return open_layout(path, options)
    refuse_strange(path, head)
    if rows := _json_rows(path, head, options):
        return _table(rows, options)
    folder = _folder_of(path, options)
    form = text_form(path, folder, options)
    if form.is_table:
        heading = bool(form.has_heading)
        table = Delimited(path, form.separator, has_heading=heading, text_first=form.text_first)
        return TableSource(table, folder, options)
    if form.first and not form.separator:
        raise no_columns(path, form.first)
    return AnnotationFile(path, folder, form, pipes=pipes)


def _head(path: Path) -> bytes:
    """The first bytes of a file; none of one that is missing or a pipe, which is read once."""
    try:
        if not path.is_file():
            return b""
        with open_input(path, pipes=False) as stream:
            return stream.read(_HEAD_BYTES)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {reason_of(error)}.", "Check the path.") from None


def _json_rows(path: Path, head: bytes, options: SourceOptions) -> Rows | None:
    """The rows of a file of JSON; None: it is none."""
    named = path.suffix.lower() in (".json", ".jsonl", ".ndjson")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not head or not (named or text.startswith((b"{", b"["))):
        return None
    with open_buffered(path, pipes=False) as stream:
        lines = [line for line in (stream.readline(1 << 24).strip() for _ in range(20)) if line][:2]
    try:
        first = parse_json(lines[0]) if lines else None
    except ValueError:
        first = None
    is_one = len(lines) == 1
    if isinstance(first, dict) and not (is_one and _is_document(first)):
        return JsonLines(path)
    if path.suffix.lower() in (".jsonl", ".ndjson") and first is None:
        return JsonLines(path)
    if not named and (first is None or not is_one) and not text.startswith(b"{") and b"\t" in head:
        return None  # PaddleOCR's lists of images begin with a bracket, too
    return JsonDocument(path, read_document(path), options)


def _is_document(value: dict[str, object]) -> bool:
    """Whether an object alone in its file holds many lines, rather than being one."""
    return not any(isinstance(inner, str) and is_image_name(inner) for inner in value.values())


def _folder_of(path: Path, options: SourceOptions) -> ImageFolder:
    """What the paths of images in a file start from.

    Raises:
        DataError: The folder that the user named does not exist.
    """
    if options.images is None:
        return ImageFolder(path if path.is_dir() else path.parent)
    if not options.images.is_dir():
        raise DataError(f"The images folder {options.images} does not exist.", "Correct --images.")
    return ImageFolder(options.images, is_given=True)


def _table(rows: Rows, options: SourceOptions) -> TableSource:
    return TableSource(rows, _folder_of(rows.path, options), options)


def _open_folder(path: Path, options: SourceOptions) -> Source:
    """Opens what a folder holds, of the split that is wanted."""
    found = look_into(path)
    if lists := found.at_the_top(found.metadata) or found.at_the_top(found.lists):
        return _first_list(found, lists, options)
    if found.metadata or found.databases:
        return _several(found, found.metadata or found.databases, options)
    for files in (found.tars, found.parquet, found.arrow):
        if files:
            return _packed(found, files, options)
    if not found.ground_truth and (
        lists := _lists_by_content(found, found.at_the_top(found.others), options)
    ):
        return _only_list(found, lists, options)
    if not found.ground_truth and (layout := layouts_in(found, options)) is not None:
        return layout
    if found.lists and not found.ground_truth:
        return _several(found, found.lists, options)
    if (pairs := _pairs(found, options)) is not None:
        return pairs
    if lists := _lists_by_content(found, found.others, options):
        return _only_list(found, lists, options)
    raise _nothing_in(found)


def _first_list(found: FolderContents, lists: Sequence[Path], options: SourceOptions) -> Source:
    """The list of a folder: of several names that it may have, the likeliest; the others are named."""
    order = (*METADATA_NAMES, *LIST_NAMES)
    first = min(lists, key=lambda file: order.index(file.name))
    notes = [f"its lines are those of {first.name}", found.passed_by([first])]
    return SourceGroup(found.path, [_open_file(first, options)], note="; ".join(filter(None, notes)))


def _several(found: FolderContents, paths: Sequence[Path], options: SourceOptions) -> Source:
    """Lists or databases below a folder, those of the wanted split, as one source."""
    split, chosen = choose_split(found.path, by_split(paths, found.path), options, "parts")
    inner = replace(options, split="")
    sources = [Database(path) if is_database(path) else _open_file(path, inner) for path in chosen]
    return SourceGroup(found.path, sources, split=split, note=found.passed_by(paths), unlisted=found.unlisted)


def _packed(found: FolderContents, files: Sequence[Path], options: SourceOptions) -> Source:
    """The archives or tables of images of the wanted split."""
    split, chosen = choose_split(found.path, by_split(files, found.path), options, "files")
    if is_tar(chosen[0]):
        source: Source = TarArchives(found.path, chosen, options.columns)
    else:
        source = _table(ArrowRows(found.path, chosen), replace(options, split=""))
    folders = list(dict.fromkeys(file.parent.relative_to(found.path).as_posix() for file in chosen))
    together = f"files of several folders are put together: {', '.join(folders[:6])}"
    notes = [together if len(folders) > 1 else "", found.passed_by(files)]
    note = "; ".join(filter(None, notes))
    return SourceGroup(found.path, [source], split=split, note=note, unlisted=found.unlisted)


def _pairs(found: FolderContents, options: SourceOptions) -> Source | None:
    """Images with labels beside them, of the first kind that there is; None: there are none."""
    others = [os.path.relpath(file, found.path) for file in found.others]
    for suffix in LABEL_SUFFIXES:
        labels = found.ground_truth if suffix == GROUND_TRUTH else labels_beside(found.images, others, suffix)
        if labels:
            files = [found.path / file for file in [*found.images, *labels]]
            split, chosen = choose_split(found.path, by_split(files, found.path), options, "files")
            names = [os.path.relpath(file, found.path) for file in chosen]
            images = [name for name in names if is_image_name(name)]
            texts = [name for name in names if not is_image_name(name)]
            pairs = PairFolder(found.path, images, texts, suffix)
            return SourceGroup(found.path, [pairs], split=split, unlisted=found.unlisted)
    return None


def _lists_by_content(found: FolderContents, files: Sequence[Path], options: SourceOptions) -> list[Path]:
    """Those of the files that list images which are there, whatever they are called."""
    beside = {os.path.splitext(image)[0] for image in found.images}
    lists: list[Path] = []
    for file in files[:_MOST_LISTS]:
        if os.path.splitext(os.path.relpath(file, found.path))[0] in beside or not file.is_file():
            continue
        try:
            source = _open_file(file, replace(options, split=""))
        except VocrError:  # a text that lists no lines: a charset, a licence, a config
            continue
        if isinstance(source, TableSource | AnnotationFile) and source.finds_images:
            lists.append(file)
    return lists


def _only_list(found: FolderContents, lists: Sequence[Path], options: SourceOptions) -> Source:
    """The list of the wanted split.

    Raises:
        DataError: There are several.
    """
    split, chosen = choose_split(found.path, by_split(lists, found.path), options, "lists")
    if len(chosen) > 1 and not options.for_images:
        names = ", ".join(str(path.relative_to(found.path)) for path in chosen[:6])
        raise DataError(
            f"{found.path} holds several lists of lines: {names}{', ...' if len(chosen) > 6 else ''}.",
            "Name the one that is meant, or all of them.",
        )
    sources = [_open_file(path, replace(options, split="")) for path in chosen]
    note = f"its lines are those of {chosen[0].relative_to(found.path)}" if len(chosen) == 1 else ""
    return SourceGroup(found.path, sources, split=split, note=note, unlisted=found.unlisted)


def _nothing_in(found: FolderContents) -> DataError:
    what = f"{len(found.images):,} images, and no labels" if found.images else "neither images nor labels"
    if found.xml:
        what += f", but {len(found.xml):,} files of XML or HTML"
    if found.unlisted:
        error = found.unlisted[0]
        what += f" ({len(found.unlisted):,} folders cannot be listed, {error.filename}: {reason_of(error)})"
    return NothingLabelled(
        f"{found.path} is a folder without labels: it holds {what} that are known here.",
        "Labels may be a list (labels.tsv), a table (metadata.csv), texts beside the images (.txt, .gt.txt, "
        ".json), Parquet, Arrow, tars, PAGE XML, ALTO, hOCR or LMDBs; docs/data_layouts.md shows each.",
    )
