"""Finds fonts, keeps those that draw Vietnamese, and picks one for a line."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
from bisect import bisect
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import numpy as np

from vocr_cli.core.errors import FontError
from vocr_cli.core.machine.atomic_write import atomic_write
from vocr_cli.core.machine.cache_folder import cache_folder
from vocr_cli.core.machine.files.folder_walk import walk_files
from vocr_cli.core.synth.fonts.font_check import CHECK_VERSION, Verdict, check_face
from vocr_cli.core.text import VIETNAMESE_CHARSET

_SUFFIXES = {".ttf", ".otf", ".ttc", ".otc"}
_DRAWS = 6
_REMEDY = (
    "Install fonts that cover Vietnamese (Debian: fonts-noto-core, fonts-liberation2), or pass --fonts DIR."
)


@dataclass(frozen=True)
class FontFace:
    """One face of a font file. Draw it with Pillow's basic layout, as it was checked."""

    path: Path
    index: int
    """Number of the face in a collection, else 0."""
    family: str
    style: str
    """Such as `Regular` or `Bold Italic`."""
    weight: float
    """How often it is drawn, relative to the others."""
    covered: frozenset[str]
    """Characters of the charset that it draws."""
    instance: tuple[float, ...] = ()
    """Place on each axis of a variable font (OpenType `fvar`), in its order; empty: the default instance."""


@dataclass(frozen=True)
class FontSet:
    """The faces in use, and the files left out, each with its reason."""

    faces: tuple[FontFace, ...]
    refused: tuple[tuple[Path, str], ...] = ()
    unmatched: tuple[str, ...] = ()
    """Keys of the weights that no family's name contains."""
    _weights: list[float] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_weights", list(itertools.accumulate(face.weight for face in self.faces)))

    def choose(self, dice: Random | np.random.Generator, text: str) -> FontFace | None:
        """A face, by weight, that draws every character of `text`; None if no face does."""
        for _ in range(_DRAWS):
            face = self.faces[_drawn_index(self._weights, dice)]
            if face.covered.issuperset(text):
                return face
        able = [face for face in self.faces if face.weight > 0 and face.covered.issuperset(text)]
        if not able:
            return None
        return able[_drawn_index(list(itertools.accumulate(face.weight for face in able)), dice)]


def find_fonts(
    paths: Sequence[Path] = (), weights: Mapping[str, float] | None = None, charset: str = VIETNAMESE_CHARSET
) -> FontSet:
    """Checks font files and weighs their faces; verdicts are kept in the user's cache folder.

    Args:
        paths: Font files, or folders searched for .ttf, .otf and .ttc; empty: the system's fonts.
        weights: Weight of each family whose name contains the key (case ignored; the longest key wins);
            others weigh 1. A face's weight is its family's over the square root of the family's faces here,
            so that eighteen styles weigh four times one, not eighteen times.
        charset: Characters that may be drawn. All Vietnamese letters must be covered, the rest may lack.

    Raises:
        FontError: A path is missing, a weight is negative, or no font is usable; the reasons are counted.
    """
    weights = weights or {}
    for key, weight in weights.items():
        if not 0 <= weight < float("inf"):
            raise FontError(f"The weight of font family {key!r} is {weight}.", "Weights are 0 or more.")
    files = _font_files(paths) if paths else _system_fonts()
    checked = _checked(files, charset)
    usable = [(path, index, verdict) for path, index, verdict in checked if not verdict.refusal]
    refused = tuple((path, verdict.refusal) for path, _, verdict in checked if verdict.refusal)
    faces = _weighed(usable, weights, charset)
    if not any(face.weight > 0 for face in faces):
        raise FontError(_nothing_usable(len(files), refused, len(faces)), _REMEDY)
    names = {face.family.lower() for face in faces}
    unmatched = tuple(key for key in weights if not any(key.lower() in name for name in names))
    return FontSet(faces, refused, unmatched)


def caption_font() -> Path | None:
    """The first of the system's fonts that draws Vietnamese, to write labels with; None: it has none."""
    usable = (path for path in _system_fonts() if not check_face(path, 0, VIETNAMESE_CHARSET).refusal)
    return next(usable, None)


def _drawn_index(cumulative: list[float], dice: Random | np.random.Generator) -> int:
    return bisect(cumulative, dice.random() * cumulative[-1], hi=len(cumulative) - 1)


def _weighed(
    usable: list[tuple[Path, int, Verdict]], weights: Mapping[str, float], charset: str
) -> tuple[FontFace, ...]:
    sizes = Counter(verdict.family for _, _, verdict in usable)
    covered: dict[str, frozenset[str]] = {}  # few differ: faces share one set
    faces = []
    for path, index, verdict in usable:
        keys = [key for key in weights if key.lower() in verdict.family.lower()]
        weight = weights[max(keys, key=len)] if keys else 1.0
        if verdict.missing not in covered:
            covered[verdict.missing] = frozenset(charset) - frozenset(verdict.missing)
        able = covered[verdict.missing]
        faces.append(
            FontFace(path, index, verdict.family, verdict.style, weight / sizes[verdict.family] ** 0.5, able)
        )
    return tuple(faces)


def _nothing_usable(files: int, refused: tuple[tuple[Path, str], ...], faces: int) -> str:
    if faces:
        return "Every usable font has the weight 0."
    if not files:
        return "No font was found."
    reasons = Counter(reason for _, reason in refused).most_common(3)
    return f"None of {files} font files draws Vietnamese: " + "; ".join(
        f"{n} × {reason}" for reason, n in reasons
    )


def _font_files(paths: Sequence[Path]) -> list[Path]:
    files: dict[Path, None] = {}
    for path in map(Path, paths):
        if path.is_dir():
            files_below = map(Path, walk_files(path))
            found = sorted(
                file for file in files_below if file.suffix.lower() in _SUFFIXES and file.is_file()
            )
            files.update(dict.fromkeys(found))
        elif path.exists():
            files[path] = None
        else:
            raise FontError(f"No font file or folder at {path}.", _REMEDY)
    return list(files)


def _system_fonts() -> list[Path]:
    """Font files that fontconfig knows, or those in the usual folders."""
    if shutil.which("fc-list"):
        listed = subprocess.run(
            ["fc-list", "--format", "%{file}\n"],
            capture_output=True,
            check=False,
            encoding="utf-8",
            errors="replace",
        )
        files = {Path(line) for line in listed.stdout.splitlines() if line.strip()}
        found = sorted(file for file in files if file.suffix.lower() in _SUFFIXES and file.is_file())
        if found:
            return found
    return _font_files([folder for folder in _usual_folders() if folder.is_dir()])


def _usual_folders() -> list[Path]:
    home = Path.home()
    if sys.platform == "win32":
        local = Path(os.environ.get("LOCALAPPDATA", home / "AppData/Local"))
        return [Path(os.environ.get("WINDIR", "C:/Windows")) / "Fonts", local / "Microsoft/Windows/Fonts"]
    if sys.platform == "darwin":
        return [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts"]
    return [
        Path("/usr/share/fonts"),
        Path("/usr/local/share/fonts"),
        home / ".local/share/fonts",
        home / ".fonts",
    ]


def _checked(files: list[Path], charset: str) -> list[tuple[Path, int, Verdict]]:
    """(file, face, verdict) of every face; files seen before are not drawn again."""
    store = _cache_file(charset)
    known = _load(store)
    fresh = {}
    result = []
    for path in files:
        try:
            status = path.stat()
            key = f"{path.absolute()}|{status.st_size}|{status.st_mtime_ns}"
            if key not in known:
                verdicts = [check_face(path, index, charset) for index in range(_face_count(path))]
                known[key] = fresh[key] = verdicts
        except OSError as error:
            result.append((path, 0, Verdict(path.stem, "", "", f"cannot be opened: {error}")))
            continue
        result += [(path, index, verdict) for index, verdict in enumerate(known[key])]
    if fresh:
        _save(store, known)
    return result


def _face_count(path: Path) -> int:
    """1, or the number of faces that a collection's header tells (OpenType, `ttcf`)."""
    with path.open("rb") as file:
        header = file.read(12)
    if header[:4] != b"ttcf" or len(header) < 12:
        return 1
    return min(max(int.from_bytes(header[8:12], "big"), 1), 256)


def _cache_file(charset: str) -> Path:
    digest = hashlib.sha256(f"{CHECK_VERSION} {charset}".encode()).hexdigest()[:12]
    return cache_folder() / f"fonts-{digest}.json"


def _load(store: Path) -> dict[str, list[Verdict]]:
    """Stored verdicts; a missing or damaged store is an empty one."""
    try:
        rows: Iterator[tuple[str, list[list[str]]]] = iter(
            json.loads(store.read_text(encoding="utf-8")).items()
        )
        return {key: [Verdict(*map(str, fields)) for fields in faces] for key, faces in rows}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _save(store: Path, known: dict[str, list[Verdict]]) -> None:
    """Replaces the store in one step; a cache folder that cannot be written costs time, not the run."""
    rows = {key: [[v.family, v.style, v.missing, v.refusal] for v in faces] for key, faces in known.items()}
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(store) as temporary:
            temporary.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    except OSError:
        return
