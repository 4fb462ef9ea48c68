"""Looks at training data, and draws a small database from it for trial runs. N lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from vocr_cli.core.autoconf.candidates import DataFacts
from vocr_cli.core.config.tree import Config
from vocr_cli.core.data.build.build import valid_path
from vocr_cli.core.data.images.images import planned_widths
from vocr_cli.core.data.lmdb.store import LineStore, LineWriter, StoredLine
from vocr_cli.core.errors import DataError
from vocr_cli.core.text import Charset

_MOST_LABELS = 200_000


def read_data(paths: Sequence[Path], config: Config) -> DataFacts:
    """What there is to train on, and the lines that `build-lmdb --valid-share` held back for validation.

    All labels are checked against the charset, of more than 200,000 lines an even sample.

    Raises:
        DataError: A database is missing or damaged, or none of its images can be read.
    """
    charset = Charset(config.charset.characters)
    high = config.image.height_px * config.image.stretch
    sources, valid, widths, lengths = [], [], [], []
    unreadable, scaled, places = 0, 0, []
    unstretched = config.image.model_copy(update={"stretch": 1.0})
    for path in paths:
        with LineStore(path) as store:
            sources.append((path, len(store)))
            readable = (store.widths > 0) & (store.heights > 0)
            unreadable += int((~readable).sum())
            fitted = planned_widths(store.widths, store.heights, unstretched) == store.widths
            scaled += int((readable & ~(fitted & (store.heights == config.image.height_px))).sum())
            widths.append(store.widths[readable] * high / store.heights[readable])
            lengths.append(store.label_lengths[readable])
            places += [(f"{path}, line {number}", text) for number, text in _foreign_labels(store, charset)]
        if (valid_path(path) / "data.mdb").is_file():
            with LineStore(valid_path(path)) as held_back:
                valid.append((held_back.path, len(held_back)))
    facts = DataFacts(
        tuple(sources), np.concatenate(widths), np.concatenate(lengths),
        unreadable, tuple(charset.unknown(places)), len(places), tuple(valid),
        scaled,
    )  # fmt: skip
    if not len(facts.widths_px):
        raise DataError(
            f"{paths[0]}: no image in it can be read.", "Rebuild the database with `vocr build-lmdb`."
        )
    return facts


def draw_sample(data: DataFacts, config: Config, folder: Path, most: int) -> Path | None:
    """A new database of up to `most` of the lines, evenly drawn; None: no line can be used.

    Lines are left out whose image cannot be read or whose label the charset does not cover.
    """
    charset = Charset(config.charset.characters)
    stride = max(data.lines // most, 1)
    drawn: list[tuple[StoredLine, int, int]] = []
    for path, count in data.sources:
        with LineStore(path) as store:
            for number in range(0, count, stride):
                width, height = int(store.widths[number]), int(store.heights[number])
                text = store.text(number)
                if width > 0 < height and text and all(char in charset for char in text):
                    drawn.append((store[number], width, height))
    if not drawn:
        return None
    with LineWriter(folder) as writer:
        for line in drawn:
            writer.add(*line)
    return folder


def one_line(config: Config, folder: Path) -> Path:
    """A new database of one white line, its label a character of the charset."""
    image = BytesIO()
    size = (config.image.min_width_px, config.image.height_px)
    Image.new("L", size, 255).save(image, "PNG")
    label = next(char for char in config.charset.characters if not char.isspace())
    with LineWriter(folder) as writer:
        writer.add(StoredLine(image.getvalue(), label, "white.png"), *size)
    return folder


def _foreign_labels(store: LineStore, charset: Charset) -> Iterable[tuple[int, str]]:
    stride = -(-len(store) // _MOST_LABELS)
    for number in range(0, len(store), stride):
        text = store.text(number)
        if any(char not in charset for char in text):
            yield number, text
