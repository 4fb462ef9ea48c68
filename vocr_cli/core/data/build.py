"""Annotations to databases, and databases checked: every image is decoded, every fault keeps its place."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import astuple, dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import TypeVar

from PIL import Image
from pydantic import Field

from vocr_cli.core.config import Settings
from vocr_cli.core.data.images import is_plain, open_line
from vocr_cli.core.data.lmdb_store import Layout, LineStore, LineWriter, StoredLine
from vocr_cli.core.data.manifest import AnnotatedLine, BadLine, Manifest
from vocr_cli.core.errors import DataError, VocrError
from vocr_cli.core.text import Charset, UnknownCharacter, control_characters, describe_character

Progress = Callable[[int], None]
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_CHUNK_LINES = 32


class BuildSettings(Settings):
    """How `build_databases` works."""

    layout: Layout = Field("vietocr", description="Keys as VietOCR's or as clovaai's.")
    height_px: int | None = Field(
        None, ge=8, le=4096, description="Scale images to this height; None: keep them."
    )
    valid_share: float = Field(0, ge=0, lt=1, description="Share of the lines that go to a second database.")
    workers: int = Field(0, ge=0, description="Threads that decode; 0: one per core.")
    overwrite: bool = Field(False, description="Replace databases that exist.")
    resume: bool = Field(False, description="Go on with an interrupted build of the same inputs.")


@dataclass(frozen=True)
class BuildReport:
    """What was built.

    Attributes:
        databases: (path, lines) of each database.
        bad: The lines left out, in file order, those of the annotation file included.
        unknown: Characters beyond the default charset; their lines are kept.
        resumed: Lines taken over from an interrupted build.
    """

    databases: list[tuple[Path, int]]
    bad: list[BadLine]
    unknown: list[UnknownCharacter]
    resumed: int


@dataclass(frozen=True)
class _Prepared:
    image: bytes
    width_px: int
    height_px: int


def valid_path(out: Path) -> Path:
    """Where the validation share of a database goes."""
    return out.with_name(f"{out.name}-valid")


def build_databases(
    manifest: Manifest, out: Path, settings: BuildSettings, progress: Progress
) -> BuildReport:
    """Decodes every image of the manifest and stores what can be read.

    Images are stored as they are; those that other readers would see differently (rotated by EXIF, 16 bits,
    transparent, …) and those to be scaled are stored as PNG. Threads decode: Pillow lets go of the GIL.
    With `valid_share`, lines whose path's hash falls into the share go to `valid_path(out)`: a line stays on
    its side when the data grow.

    Args:
        manifest: The checked annotations.
        out: Where the database appears when it is complete.
        settings: Layout, height, share, threads.
        progress: Called with the number of lines done since the last call.

    Raises:
        DataError: A database exists, no line (or none of one side) can be read, or the disk is full.
    """
    targets = [out, valid_path(out)] if settings.valid_share else [out]
    fingerprint = _fingerprint(manifest, settings)
    with ExitStack() as stack:
        writers = [
            stack.enter_context(
                LineWriter(
                    target,
                    settings.layout,
                    overwrite=settings.overwrite,
                    fingerprint=fingerprint,
                    resume=settings.resume,
                )
            )
            for target in targets
        ]
        resumed = sum(writer.lines for writer in writers)
        bad = _fill(writers, manifest, settings, progress)
        report = BuildReport(
            [(writer.path, writer.lines) for writer in writers],
            sorted(manifest.bad + bad, key=lambda line: line.line_number),
            Charset().unknown((f"line {line.line_number}", line.text) for line in manifest.lines),
            resumed,
        )
        _refuse_empty(report, manifest, settings)
    return report


def _fill(
    writers: list[LineWriter], manifest: Manifest, settings: BuildSettings, progress: Progress
) -> list[BadLine]:
    """Writes each line to its side; the lines that cannot be read, those of an earlier run included."""
    for writer in writers:
        writer.state.setdefault("position", 0)
        writer.state.setdefault("bad", [])
    start = min(writer.state["position"] for writer in writers)
    progress(start)
    lines = manifest.lines[start:]

    def prepare(line: AnnotatedLine) -> _Prepared | str:
        try:
            return _prepared(manifest.file(line), line.path, settings.height_px)
        except VocrError as error:
            return error.problem.removeprefix(f"{line.path}: ")

    for position, (line, result) in enumerate(_in_threads(prepare, lines, settings.workers), start=start):
        writer = writers[_is_valid(line.path, settings.valid_share)]
        progress(1)
        if position < writer.state["position"]:
            continue  # this side had gone further before the interruption
        writer.state["position"] = position + 1
        if isinstance(result, str):
            writer.state["bad"].append(
                astuple(BadLine(line.line_number, result, f"{line.path}\t{line.text}"))
            )
        else:
            writer.add(StoredLine(result.image, line.text, line.path), result.width_px, result.height_px)
    return [BadLine(*values) for writer in writers for values in writer.state["bad"]]


def _prepared(file: Path, name: str, height_px: int | None) -> _Prepared:
    try:
        data = file.read_bytes()
    except (OSError, ValueError):
        data = b""
        open_line(file, name)  # says what is wrong
    image = open_line(data, name)
    if height_px is not None and image.height != height_px:
        width = max(1, round(image.width * height_px / image.height))
        return _encoded(_grey_if_grey(image).resize((width, height_px), Image.Resampling.LANCZOS))
    return _Prepared(data, *image.size) if is_plain(data) else _encoded(_grey_if_grey(image))


def _grey_if_grey(image: Image.Image) -> Image.Image:
    """One channel instead of three equal ones."""
    if image.mode == "L":
        return image
    red, green, blue = image.split()
    return red if red.tobytes() == green.tobytes() == blue.tobytes() else image


def _encoded(image: Image.Image) -> _Prepared:
    buffer = BytesIO()
    image.save(buffer, "PNG", compress_level=3)
    return _Prepared(buffer.getvalue(), *image.size)


def _is_valid(path: str, share: float) -> bool:
    return int.from_bytes(hashlib.sha256(path.encode()).digest()[:8]) < share * 2**64


def _fingerprint(manifest: Manifest, settings: BuildSettings) -> str:
    """Two builds with the same fingerprint write the same databases from the same place on."""
    digest = hashlib.sha256(manifest.source.read_bytes())
    digest.update(f"{manifest.images_root.resolve()} {settings.height_px} {settings.valid_share}".encode())
    return digest.hexdigest()


def _refuse_empty(report: BuildReport, manifest: Manifest, settings: BuildSettings) -> None:
    empty = [path for path, lines in report.databases if not lines]
    if len(empty) == len(report.databases):
        first = next((f"; line {line.line_number}: {line.reason}" for line in report.bad), "")
        raise DataError(
            f"{manifest.source}: none of its {len(report.bad):,} lines can be used{first}.",
            f"Paths start at {manifest.images_root}: give --images if that is wrong.",
        )
    if empty:
        raise DataError(
            f"No usable line falls to {empty[0]} at --valid-share {settings.valid_share:g}.",
            "Choose another share, or give more lines.",
        )


@dataclass(frozen=True)
class BadRecord:
    """A record of a database that cannot be used: its number, counted from 0, its path, and why."""

    number: int
    path: str
    reason: str


def check_database(store: LineStore, workers: int, progress: Progress) -> list[BadRecord]:
    """Reads every record of a database and decodes its image.

    Args:
        store: The database.
        workers: Threads that decode; 0: one per core.
        progress: Called with the number of lines done since the last call.

    Returns:
        The records at fault: image or label missing or unreadable, or an index that gives a wrong size.
    """
    widths, heights = store.widths, store.heights
    indexed = store.indexed

    def look(number: int) -> BadRecord | None:
        path = ""
        try:
            line = store[number]
            path = line.path
            size = open_line(line.image, line.path).size
            if not line.text:
                return BadRecord(number, path, "the label is empty")
            strange = control_characters(line.text)
            if strange:
                return BadRecord(
                    number, path, f"control characters: {', '.join(map(describe_character, strange))}"
                )
            stated = (int(widths[number]), int(heights[number]))
            if indexed and stated != size:
                return BadRecord(number, path, f"the index says {stated} px, the image has {size} px")
        except VocrError as error:
            return BadRecord(number, path, error.problem)
        return None

    bad = []
    for _, found in _in_threads(look, range(len(store)), workers):
        progress(1)
        if found is not None:
            bad.append(found)
    return bad


def _in_threads(
    work: Callable[[_Item], _Result], items: Sequence[_Item] | Iterable[_Item], workers: int
) -> Iterator[tuple[_Item, _Result]]:
    """(item, result) in the items' order, a bounded number of chunks ahead."""
    workers = workers or os.cpu_count() or 1
    remaining = iter(items)
    with ThreadPoolExecutor(workers) as pool:
        ahead: deque[tuple[list[_Item], Future[list[_Result]]]] = deque()
        try:
            while True:
                while len(ahead) < 2 * workers + 2 and (chunk := list(islice(remaining, _CHUNK_LINES))):
                    ahead.append((chunk, pool.submit(lambda part: [work(item) for item in part], chunk)))
                if not ahead:
                    return
                chunk, future = ahead.popleft()
                yield from zip(chunk, future.result(), strict=True)
        finally:
            pool.shutdown(cancel_futures=True)
