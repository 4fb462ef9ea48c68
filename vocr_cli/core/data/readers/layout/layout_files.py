"""The layout files of a folder, each page once."""

from __future__ import annotations

import os
from pathlib import Path

from vocr_cli.core.data.readers.layout.parse_xml import SUFFIXES, layout_kind, root_name
from vocr_cli.core.errors import DataError

_ORDER = ("PAGE XML", "ALTO", "hOCR")
"""Which format is taken where a page is described in several: the one that says most of its lines."""

_FORMAT_FOLDERS = {"page", "alto", "hocr", "xml", "pagexml", "altoxml"}
_INNER = (".alto", ".page", ".hocr")
_NAMED = 3


def is_layout(path: Path) -> bool:
    """Whether a file, or one in a folder, describes pages; such a folder holds no labels of other kinds."""
    if path.is_dir():
        return any(layout_kind(file) for file in sorted(path.rglob("*")) if _is_candidate(file))
    return _is_candidate(path) and bool(layout_kind(path) or root_name(path))


def layout_files(folder: Path, notes: list[str]) -> list[Path]:
    """The layout files in a folder and below, in the order of their names.

    Transkribus exports a page as PAGE XML and as ALTO, Tesseract may write several formats at once: the one
    that says most is taken.

    Args:
        folder: The folder.
        notes: What is left aside is added here.

    Raises:
        DataError: There is none.
    """
    kinds: dict[Path, str] = {}
    others: list[str] = []
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(root, name)
            if not _is_candidate(file):
                continue
            if kind := layout_kind(file):
                kinds[file] = kind
            elif root_name(file) not in ("", "html"):
                others.append(file.relative_to(folder).as_posix())
    if not kinds:
        raise DataError(f"{folder} holds no PAGE XML, ALTO or hOCR.", "Name the folder of such files.")
    best: dict[tuple[str, str], Path] = {}
    for file, kind in kinds.items():
        kept = best.setdefault(_page_key(file), file)
        if _ORDER.index(kind) < _ORDER.index(kinds[kept]):
            best[_page_key(file)] = file
    chosen = [
        file for file in kinds if best[_page_key(file)] == file or kinds[best[_page_key(file)]] == kinds[file]
    ]
    twice = [file.relative_to(folder).as_posix() for file in kinds if file not in set(chosen)]
    if twice:
        notes.append(f"Left aside, their pages are described in another format, too: {_listed(twice)}.")
    if others:
        notes.append(f"Left aside, XML that describes no lines: {_listed(others)}.")
    return chosen


def _page_key(file: Path) -> tuple[str, str]:
    """What files of one page in several formats share: their name, and the folder above `page`, `alto`."""
    stem = file.stem
    while stem.lower().endswith(_INNER):
        stem = os.path.splitext(stem)[0]
    folder = file.parent.parent if file.parent.name.lower() in _FORMAT_FOLDERS else file.parent
    return str(folder), stem


def _is_candidate(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
