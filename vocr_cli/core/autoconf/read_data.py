"""Reads facts about training data, and draws a small database from it for settings runs. N lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from vocr_cli.core.autoconf.facts import DataFacts
from vocr_cli.core.config.tree import COLUMN_PX, Config
from vocr_cli.core.data.build.build import valid_path
from vocr_cli.core.data.images.fit import planned_widths
from vocr_cli.core.data.lmdb.store import LineStore, LineWriter, StoredLine
from vocr_cli.core.data.loader.sample import needed_columns
from vocr_cli.core.errors import DataError
from vocr_cli.core.text import Charset, clean

_MOST_LABELS = 200_000
_MOST_DEMANDS = 20_000


def read_data(paths: Sequence[Path], config: Config) -> DataFacts:
    """Return what there is to train on, and what `build-lmdb --valid-share` held back for validation.

    All labels are checked against the charset, of more than 200,000 lines an even sample.

    Args:
        paths: Databases.
        config: Its charset and image settings.

    Raises:
        DataError: A database is missing or damaged, or none of its images can be read.
    """
    charset, height_px = Charset(config.charset.characters), config.image.height_px
    sources, valid, widths, lengths = [], [], [], []
    demands: list[float] = []
    unreadable, scaled, unknown = 0, 0, []
    unstretched = replace(config.image, stretch=1.0)
    for path in paths:
        with LineStore(path) as store:
            sources.append((path, len(store)))
            readable = (store.widths > 0) & (store.heights > 0)
            unreadable += int((~readable).sum())
            fitted = planned_widths(store.widths, store.heights, unstretched) == store.widths
            scaled += int((readable & ~(fitted & (store.heights == height_px))).sum())
            widths.append(store.widths[readable] * float(height_px) / store.heights[readable])
            lengths.append(store.label_lengths[readable])
            demands += _column_demands(store, height_px)
            unknown += [(f"{path}, line {index}", text) for index, text in _foreign_labels(store, charset)]
        if (valid_path(path) / "data.mdb").is_file():
            with LineStore(valid_path(path)) as held_back:
                valid.append((held_back.path, len(held_back)))
    facts = DataFacts(
        sources=tuple(sources),
        widths_px=np.concatenate(widths),
        label_lengths=np.concatenate(lengths),
        column_demand=float(np.median(demands)) if demands else 0.0,
        unreadable_lines=unreadable,
        unknown=tuple(charset.unknown(unknown)),
        unknown_lines=len(unknown),
        valid=tuple(valid),
        scaled_lines=scaled,
    )
    if not len(facts.widths_px):
        raise DataError(
            f"{paths[0]}: no image in it can be read.", "Rebuild the database with `vocr build-lmdb`."
        )
    return facts


def _column_demands(store: LineStore, height_px: int) -> Iterator[float]:
    """Columns that CTC needs for a label over those that its image has, of an even sample of the lines."""
    for index in range(0, len(store), -(-len(store) // _MOST_DEMANDS)):
        width, height = int(store.widths[index]), int(store.heights[index])
        if width > 0 < height:
            needed = needed_columns([ord(char) for char in clean(store.text(index))])
            yield needed / (width * height_px / height / COLUMN_PX)


def draw_sample(data: DataFacts, config: Config, folder: Path, most: int) -> Path | None:
    """Write a new database of up to `most` of the lines, evenly drawn; return None if no line can be used.

    Lines are left out whose image cannot be read or whose label the charset does not cover.
    """
    charset = Charset(config.charset.characters)
    stride = max(data.lines // most, 1)
    drawn: list[tuple[StoredLine, int, int]] = []
    for path, count in data.sources:
        with LineStore(path) as store:
            for index in range(0, count, stride):
                width, height = int(store.widths[index]), int(store.heights[index])
                text = store.text(index)
                if width > 0 < height and text and all(char in charset for char in text):
                    drawn.append((store[index], width, height))
    if not drawn:
        return None
    with LineWriter(folder) as writer:
        for line in drawn:
            writer.add(*line)
    return folder


def one_line(config: Config, folder: Path) -> Path:
    """Write a new database of one white line, its label a character of the charset; return it."""
    image = BytesIO()
    size = (config.image.min_width_px, config.image.height_px)
    Image.new("L", size, 255).save(image, "PNG")
    label = next(char for char in config.charset.characters if not char.isspace())
    with LineWriter(folder) as writer:
        writer.add(StoredLine(image.getvalue(), label, "white.png"), *size)
    return folder


def _foreign_labels(store: LineStore, charset: Charset) -> Iterator[tuple[int, str]]:
    """Index and text of the labels with characters that the charset lacks, of an even sample."""
    stride = -(-len(store) // _MOST_LABELS)
    for index in range(0, len(store), stride):
        text = store.text(index)
        if any(char not in charset for char in text):
            yield index, text
