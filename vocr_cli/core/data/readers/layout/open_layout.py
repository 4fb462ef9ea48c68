"""Layout files opened as a source of labelled lines: one that is named, or those of a folder."""

from __future__ import annotations

from pathlib import Path

from vocr_cli.core.data.readers.entries import Source
from vocr_cli.core.data.readers.folders.folder_contents import FolderContents
from vocr_cli.core.data.readers.folders.source_group import SourceGroup
from vocr_cli.core.data.readers.folders.splits import by_split, choose_split
from vocr_cli.core.data.readers.layout.layout_files import layout_files
from vocr_cli.core.data.readers.source_options import SourceOptions


def open_layout(path: Path, options: SourceOptions) -> Source:
    """Opens a file of PAGE XML, ALTO or hOCR.

    Raises:
        DataError: No line in it can be used.
        DependencyError: lxml is not installed.
    """
    from vocr_cli.core.data.readers.layout.source import LayoutFiles  # loads what cuts lines

    return LayoutFiles(path, images_root=options.images, need_text=not options.for_images)


def layouts_in(found: FolderContents, options: SourceOptions) -> Source | None:
    """Opens the layout files in a folder, those of the wanted split; None: there are none.

    Raises:
        SplitNeeded: There are several splits, and none is asked for.
        DependencyError: lxml is not installed.
    """
    notes: list[str] = []
    if not (files := layout_files(found.path, found.xml, notes)):
        return None
    from vocr_cli.core.data.readers.layout.source import LayoutFiles

    split, chosen = choose_split(found.path, by_split(files, found.path), options, "files")
    source = LayoutFiles(
        found.path,
        files=chosen,
        images_root=options.images,
        need_text=not options.for_images,
        notes=notes,
    )
    return SourceGroup(found.path, [source], split=split, unlisted=found.unlisted)
