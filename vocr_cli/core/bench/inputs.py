"""What training benchmarks train: a model by its name, and lines, given or rendered. N lines."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import lmdb
import numpy as np

from vocr_cli.core.config.tree import Config, DataConfig, SourceConfig, SynthConfig
from vocr_cli.core.data.build.build import BuildSettings, build_databases
from vocr_cli.core.data.images.images import fitted_width
from vocr_cli.core.data.lmdb.store import LineStore, LineWriter
from vocr_cli.core.data.loader.lines import holds_annotations
from vocr_cli.core.data.readers.open_source import open_source
from vocr_cli.core.models.files import config_of
from vocr_cli.core.models.spec import resolve_model
from vocr_cli.core.synth.source import LineSource
from vocr_cli.core.synth.write import EncodedLine, render_lines, write_lmdb
from vocr_cli.core.text import Charset

FONTS = Path("examples/fonts")
RENDERED_ASPECT = 10.0
"""Width over height of rendered lines: 320 px at a height of 32."""
_NEAR = 0.12
_MOST_TRIES = 40


@dataclass(frozen=True)
class Candidate:
    """What `--model` names: settings of a run, and the file that it starts from, if it is one."""

    config: Config
    init: str | None


@dataclass(frozen=True)
class Stored:
    """Bytes of a database that an epoch reads.

    Attributes:
        records: Of images, labels and paths, without LMDB's own.
        pages: Of the pages of the whole database.
        from_disk: That the system read from the disk for one epoch over a file it had not in memory; None:
            it does not tell, or would not let go of the file.
    """

    records: int
    pages: int
    from_disk: int | None


def choose_candidate(name: str) -> Candidate:
    """A family's default (`ctc`), one of VietOCR's configs by name, a YAML file, or a model.

    Raises:
        ConfigError: The YAML cannot be used.
        ModelError: No such model.
    """
    if name == "ctc":
        return Candidate(Config(), None)
    return Candidate(config_of(name), None if resolve_model(name).is_config else name)


def bench_config(config: Config, data: Path, workers: int) -> Config:
    """A run on one database without end, validation or augmentation; unknown characters leave lines out."""
    parts = {
        "data": DataConfig(train=(SourceConfig(lmdb=data),), workers=workers),
        "augment": config.augment.model_copy(update={"strength": 0.0, "adaptive": False}),
        "charset": config.charset.model_copy(update={"unknown": "skip-line"}),
        "train": config.train.model_copy(update={"max_steps": 1_000_000, "max_minutes": 0}),
    }
    return config.model_copy(update=parts)


def gather(data: Path | None, config: Config, count: int, folder: Path, seed: int = 0) -> Path:
    """A database of the lines to train on; rendered ones are RGB PNGs, as `vocr synth` writes them.

    Args:
        data: A database, which is taken as it is, or an annotation file; None: lines are rendered.
        config: Charset and height of what is rendered.
        count: Lines to render.
        folder: Where a database is made.
        seed: Of what is rendered.

    Raises:
        DataError: No line can be read.
        FontError: No font covers Vietnamese.
    """
    if data is None:
        source = LineSource(
            SynthConfig(fonts=(FONTS,) if FONTS.is_dir() else (), strength=0.5, seed=seed),
            Charset(config.charset.characters),
        )
        write_lmdb(folder / "rendered", _typical(source, config, count), lambda done: None)
        return folder / "rendered"
    if holds_annotations(data):
        return _built(data, folder / "raw", BuildSettings())
    return data


def scaled(data: Path, config: Config, folder: Path) -> Path:
    """The same lines at the model's size, as `vocr build-lmdb --fit` stores them."""
    return _built(data, folder / "scaled", BuildSettings(fit=config.image))


def one_width(data: Path, config: Config, count: int, folder: Path) -> tuple[Path, int]:
    """A database of `count` lines that have one width at model height, the commonest of those that are wide.

    Returns:
        The database, and the width in px.
    """
    with LineStore(data) as store:
        sizes = list(zip(store.widths.tolist(), store.heights.tolist(), strict=True))
        widths = np.array([fitted_width(w, h, config.image) if w and h else 0 for w, h in sizes])
        found, counts = np.unique(widths[widths >= np.median(widths)], return_counts=True)
        width = int(found[np.argmax(counts)])
        same = itertools.cycle(np.flatnonzero(widths == width).tolist())
        with LineWriter(folder / "one-width") as writer:
            for number in itertools.islice(same, count):
                writer.add(store[number], *sizes[number])
    return folder / "one-width", width


def stored_bytes(data: Path) -> Stored:
    """What an epoch over a database reads, counted and, where the system tells, measured."""
    with LineStore(data) as store:
        records = sum(len(line.image) + len(line.text.encode()) + len(line.path.encode()) for line in store)
    file = data / "data.mdb" if data.is_dir() else data
    _forget(file)
    before = _read_bytes()
    with lmdb.open(str(data), readonly=True, lock=False, subdir=data.is_dir()) as environment:
        pages = environment.stat()
        with environment.begin() as transaction:
            read = sum(len(value) for _, value in transaction.cursor())
    after = _read_bytes()
    size = pages["psize"] * (pages["branch_pages"] + pages["leaf_pages"] + pages["overflow_pages"])
    from_disk = None if before is None or after is None or after - before < read / 2 else after - before
    return Stored(records, size, from_disk)


def _typical(source: LineSource, config: Config, count: int) -> Iterator[EncodedLine]:
    """Rendered lines of about the same width at model height."""
    wanted = RENDERED_ASPECT * config.image.height_px
    near = (
        line
        for line in render_lines(source, _MOST_TRIES * count)
        if abs(fitted_width(line.width_px, line.height_px, config.image) / wanted - 1) < _NEAR
    )
    return itertools.islice(near, count)


def _built(data: Path, out: Path, settings: BuildSettings) -> Path:
    build_databases([open_source(data)], out, settings, lambda done: None)
    return out


def _forget(file: Path) -> None:
    """Has the system drop what it holds of a file in memory, where it can be told to."""
    if not hasattr(os, "posix_fadvise"):
        return
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)  # what is not yet on the disk is not dropped
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def _read_bytes() -> int | None:
    """What the system has fetched from disks for this process; None: it does not tell."""
    try:
        rows = Path("/proc/self/io").read_text().splitlines()
    except OSError:
        return None
    return next((int(row.split()[1]) for row in rows if row.startswith("read_bytes:")), None)
