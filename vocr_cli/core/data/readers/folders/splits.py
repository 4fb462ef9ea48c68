"""The splits of a data set: train, validation and test, told apart by the names of files and folders."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path, PurePath
from typing import TypeVar

from vocr_cli.core.data.readers.source_options import SourceOptions, SplitNeeded
from vocr_cli.core.errors import DataError

_WORDS = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "test": "test", "testing": "test", "eval": "test", "evaluation": "test",
}  # fmt: skip
"""The words by which Hugging Face's `datasets` knows splits, and the split that each means."""

ALL = "all"
"""What `--split` calls all splits together."""

METADATA_NAMES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
"""What Hugging Face's image folders call the list of their images."""

UNNAMED = "without a split"
"""Stands for what belongs to no split, where other things do."""

SPLIT_COLUMNS = ("split", "subset", "partition", "phase", "set")
"""What a column is called that says which split a row belongs to."""

_Part = TypeVar("_Part")


def split_of(path: PurePath | str) -> str:
    """The split that the name of a file, or of a folder that it lies in, speaks of; empty: none.

    Args:
        path: Relative to the data set: what stands above it does not count.
    """
    for part in reversed(PurePath(path).parts):
        words = re.split(r"[^a-z]+", part.lower())
        found = dict.fromkeys(_WORDS[word] for word in words if word in _WORDS)
        if len(found) == 1:
            return next(iter(found))
    return ""


def split_of_image(name: str) -> str:
    """The split that the folders in an image's path speak of; its own name does not count."""
    return _split_of_folder(name.replace("\\", "/").rpartition("/")[0])


@lru_cache(1024)
def _split_of_folder(folder: str) -> str:
    return split_of(folder) if folder else ""


def split_named(name: str) -> str:
    """The split that a word means; the word itself where it is none of the usual ones."""
    return _WORDS.get(name.strip().lower(), name.strip())


def choose_split(
    path: Path, parts: Mapping[str, Sequence[_Part]], options: SourceOptions, things: str
) -> tuple[str, Sequence[_Part]]:
    """Chooses the split that is wanted, or the only one that there is.

    Args:
        path: Of the data set.
        parts: What belongs to each split, by its name; `UNNAMED`, what belongs to none.
        options: Name the split, or those that are usual where it matters.
        things: What the parts are, such as `files`.

    Returns:
        The name of the split, and its parts; `ALL` and all parts where that is asked for, and no name where
        only images are wanted.

    Raises:
        SplitNeeded: There are several, and nothing says which.
        DataError: There is none of that name.
    """
    if options.for_images or options.split == ALL:
        return options.split, [part for found in parts.values() for part in found]
    shown = {name: f"{things}: {len(parts[name]):,}" for name in sorted(parts, key=_rank)}
    listed = ", ".join(f"{name} ({what})" for name, what in shown.items())
    if options.split:
        wanted = split_named(options.split)
        if wanted not in parts:
            raise DataError(f"{path} has no split {options.split!r}; it has {listed}.", "Correct --split.")
        return wanted, parts[wanted]
    if len(parts) == 1:
        name, found = next(iter(parts.items()))
        return "" if name == UNNAMED else name, found
    for usual in options.usual_splits:
        if usual in parts:
            return usual, parts[usual]
    example = next(name for name in shown if name != UNNAMED)
    raise SplitNeeded(
        f"{path} has several splits: {listed}.",
        f"Say which: --split {example}, or --split {ALL}: lines to test on do not go into training unasked.",
        shown,
    )


def _rank(name: str) -> tuple[int, str]:
    order = list(dict.fromkeys(_WORDS.values()))
    return (order.index(name) if name in order else len(order)), name


def by_split(files: Sequence[Path], folder: Path) -> dict[str, list[Path]]:
    """Sorts what lies in a folder by the splits that its names speak of."""
    found: dict[str, list[Path]] = {}
    for file in files:
        found.setdefault(split_of(file.relative_to(folder)) or UNNAMED, []).append(file)
    return found
