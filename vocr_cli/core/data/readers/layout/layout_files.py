"""The layout files of a folder, each page once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from vocr_cli.core.data.readers.layout.parse_xml import layout_kind, root_name

_ORDER = ("PAGE XML", "ALTO", "hOCR")
"""Which format is taken where a page is described in several: the one that says most of its lines."""

_FORMAT_FOLDERS = {"page", "alto", "hocr", "xml", "pagexml", "altoxml"}
_INNER = (".alto", ".page", ".hocr")
_NAMED = 3


def layout_files(folder: Path, files: Sequence[Path], notes: list[str]) -> list[Path]:
    """Those of the files below a folder that describe pages, each page once.

    Transkribus exports a page as PAGE XML and as ALTO, Tesseract may write several formats at once: the one
    that says most is taken.

    Args:
        folder: The folder.
        files: XML and HTML below it, in the order wanted.
        notes: What is left aside is added here.
    """
    kinds: dict[Path, str] = {}
    others: list[str] = []
    for file in files:
        if kind := layout_kind(file):
            kinds[file] = kind
        elif root_name(file) not in ("", "html"):
            others.append(file.relative_to(folder).as_posix())
    best: dict[tuple[str, str], str] = {}
    for file, kind in kinds.items():
        key = _page_key(file)
        best[key] = min(best.get(key, kind), kind, key=_ORDER.index)
    chosen = [file for file, kind in kinds.items() if best[_page_key(file)] == kind]
    twice = [file.relative_to(folder).as_posix() for file in kinds if file not in set(chosen)]
    if chosen and twice:
        notes.append(f"Left aside, their pages are described in another format, too: {_listed(twice)}.")
    if chosen and others:
        notes.append(f"Left aside, XML that describes no lines: {_listed(others)}.")
    return chosen


def _page_key(file: Path) -> tuple[str, str]:
    """What files of one page in several formats share: their name, and the folder above `page`, `alto`."""
    stem = file.stem
    while stem.lower().endswith(_INNER):
        stem = os.path.splitext(stem)[0]
    folder = file.parent.parent if file.parent.name.lower() in _FORMAT_FOLDERS else file.parent
    return str(folder), stem


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
