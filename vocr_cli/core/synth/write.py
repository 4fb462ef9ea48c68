"""Renders lines in workers and writes them: images with labels.tsv, an LMDB, or a contact sheet."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image

from vocr_cli.core.data.build.worker_pool import ordered_map
from vocr_cli.core.data.images.contact_sheet import contact_sheet
from vocr_cli.core.data.lmdb.store import StoredLine
from vocr_cli.core.data.lmdb.writer import LineWriter
from vocr_cli.core.errors import DataError, reason_of
from vocr_cli.core.machine.atomic_write import atomic_write
from vocr_cli.core.machine.hardware import usable_processors
from vocr_cli.core.machine.processes import ForkedWorkers
from vocr_cli.core.machine.threads import may_fork
from vocr_cli.core.synth.source import LineSource

_CHUNK = 32
_CHUNKS_AHEAD = 4  # for each worker: rendering takes longer than writing


@dataclass(frozen=True)
class EncodedLine:
    """A rendered line as a PNG."""

    png: bytes
    text: str
    width_px: int
    height_px: int


def _encode(source: LineSource, index: int) -> EncodedLine:
    line = source.line(index)
    buffer = io.BytesIO()
    # Level 1: a third of the time of the default for a few per cent of size.
    line.image.save(buffer, "PNG", compress_level=1)
    return EncodedLine(buffer.getvalue(), line.text, *line.image.size)


def _render_chunk(source: LineSource, indexes: range) -> list[EncodedLine]:
    return [_encode(source, index) for index in indexes]


def render_lines(source: LineSource, count: int, workers: int = 0) -> Iterator[EncodedLine]:
    """Lines 0..count-1 in order, the same for any number of workers.

    Args:
        source: The renderer.
        count: How many lines.
        workers: Processes; 0: one per core.

    Raises:
        VocrError: A worker process was killed.
    """
    workers = workers or usable_processors()
    if workers == 1 or count <= _CHUNK:
        yield from (_encode(source, index) for index in range(count))
        return
    render = partial(_render_chunk, source)
    chunks = (range(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK))
    forked = ForkedWorkers.start(render, workers, "Render with fewer --workers.") if may_fork() else None
    if forked is not None:
        with forked:
            for lines in forked.map(chunks):
                yield from lines
        return
    for _, lines in ordered_map(render, chunks, workers, chunk_items=1, chunks_ahead=_CHUNKS_AHEAD):
        yield from lines


def write_folder(out: Path, lines: Iterator[EncodedLine], advance: Callable[[int], None]) -> None:
    """Writes `images/000000.png` and so on, and last `labels.tsv`.

    Raises:
        DataError: `out` holds labels already, or cannot be written.
    """
    labels = out / "labels.tsv"
    if labels.exists():
        raise DataError(f"{labels} exists already.", "Choose another folder, or remove this one.")
    try:
        (out / "images").mkdir(parents=True, exist_ok=True)
        rows = []
        for number, line in enumerate(lines):
            name = f"images/{number:06d}.png"
            (out / name).write_bytes(line.png)
            rows.append(f"{name}\t{line.text}\n")
            advance(1)
        with atomic_write(labels) as temporary:
            temporary.write_text("".join(rows), encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"Cannot write to {out}: {reason_of(error)}.", "Free some space or choose another folder."
        ) from None


def write_lmdb(out: Path, lines: Iterator[EncodedLine], advance: Callable[[int], None]) -> None:
    """Writes an LMDB as build-lmdb does."""
    with LineWriter(out) as writer:
        for number, line in enumerate(lines):
            writer.add(
                StoredLine(line.png, line.text, f"rendered/{number:06d}.png"), line.width_px, line.height_px
            )
            advance(1)


def preview(source: LineSource, count: int) -> Image.Image:
    """The first lines on a contact sheet."""
    return contact_sheet([source.line(index).image for index in range(count)])
