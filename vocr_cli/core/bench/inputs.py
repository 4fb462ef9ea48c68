"""What the benches measure with: a model by its name, and lines, given, rendered or packaged. N lines."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import lmdb
import numpy as np

from vocr_cli.core.config.tree import Config, DataConfig, SourceConfig, SynthConfig
from vocr_cli.core.data.build.build import BuildSettings, build_databases
from vocr_cli.core.data.images.fit import fitted_width
from vocr_cli.core.data.lmdb.store import LineStore, LineWriter
from vocr_cli.core.data.loader.lines import is_listed, open_lines
from vocr_cli.core.data.readers.open_source import open_sources
from vocr_cli.core.data.readers.source_options import AS_FOUND, SourceOptions
from vocr_cli.core.errors import FontError
from vocr_cli.core.models.description import config_of
from vocr_cli.core.models.spec import resolve_model
from vocr_cli.core.synth.source import LineSource
from vocr_cli.core.synth.write import EncodedLine, render_lines, write_lmdb
from vocr_cli.core.text import Charset

PACKAGED_LINES_NAME = "the package's lines"
RENDERED_ASPECT = 10.0
"""Width over height of rendered lines: 320 px at a height of 32."""
_ASPECT_TOLERANCE = 0.12
_MOST_TRIES = 40


@dataclass(frozen=True)
class ModelChoice:
    """What `--model` names: settings of a run, and the weights that it starts from; None: random ones."""

    config: Config
    init: str | None


@dataclass(frozen=True)
class BenchLines:
    """Lines to train on or to load.

    Attributes:
        path: Of their database.
        name: What a report calls them.
    """

    path: Path
    name: str


@dataclass(frozen=True)
class StoredBytes:
    """Bytes of a database that an epoch reads.

    Attributes:
        records: Of images, labels and paths, without LMDB's own.
        pages: Of the pages of the whole database.
        from_disk: What the system read from the disk for one epoch over a file it had not in memory; None:
            it does not tell, or would not let go of the file.
    """

    records: int
    pages: int
    from_disk: int | None


def choose_model(name: str) -> ModelChoice:
    """Resolve a family's default (`ctc`), one of VietOCR's configs by name, a YAML file, or a model.

    Raises:
        ConfigError: The YAML cannot be used.
        ModelError: No such model.
    """
    if name == "ctc":
        return ModelChoice(Config(), None)
    return ModelChoice(config_of(name), None if resolve_model(name).is_config else name)


def bench_config(config: Config, data: Path, workers: int) -> Config:
    """Return a run on one database without end, validation or augmentation.

    Lines with unknown characters are left out.
    """
    changes = {
        "data": DataConfig(train=(SourceConfig(lmdb=data),), workers=workers),
        "augment": config.augment.model_copy(update={"strength": 0.0, "adaptive": False}),
        "charset": config.charset.model_copy(update={"unknown": "skip-line"}),
        "train": config.train.model_copy(update={"max_steps": 1_000_000, "max_minutes": 0}),
    }
    return config.model_copy(update=changes)


def packaged_lines() -> Path:
    """Return the folder of labelled lines that comes with the package; `vocr synth` rendered them."""
    return Path(str(resources.files("vocr_cli") / "assets" / "lines"))


def training_lines(
    data: Path | None,
    config: Config,
    count: int,
    folder: Path,
    *,
    seed: int = 0,
    labels: SourceOptions = AS_FOUND,
) -> BenchLines:
    """Return lines to train on; rendered ones are RGB PNGs, as `vocr synth` writes them.

    Args:
        data: A database, which is taken as it is, or other labelled lines; None: lines are rendered, or,
            where nothing can be rendered for want of fonts, the package's lines are repeated.
        config: Charset and height of what is rendered.
        count: Lines to render or to repeat.
        folder: Where a database is made.
        seed: Of what is rendered.
        labels: How lines that are no database are read.

    Raises:
        DataError: No line can be read.
    """
    if data is not None:
        return BenchLines(as_database(data, folder / "raw", labels), str(data))
    try:
        source = LineSource(SynthConfig(strength=0.5, seed=seed), Charset(config.charset.characters))
    except FontError:
        repeated = _repeated(packaged_lines(), count, folder / "repeated")
        return BenchLines(repeated, f"{PACKAGED_LINES_NAME}, repeated")
    write_lmdb(folder / "rendered", _lines_of_like_width(source, config, count), lambda done: None)
    return BenchLines(folder / "rendered", "rendered lines")


def as_database(data: Path, out: Path, labels: SourceOptions = AS_FOUND) -> Path:
    """Return labelled lines as a database: as they are, if they are one, else built at `out`.

    Raises:
        ConfigError: There are options, and it is a database already.
        DataError: No line can be read.
    """
    if is_listed(data) or labels.given:
        return _build(data, out, BuildSettings(), labels)
    return data


def prescaled_copy(data: Path, config: Config, folder: Path) -> Path:
    """Write the same lines at the model's size, as `vocr build-lmdb --fit` stores them."""
    return _build(data, folder / "scaled", BuildSettings(fit=config.image))


def one_width(data: Path, config: Config, count: int, folder: Path) -> tuple[Path, int]:
    """Write `count` lines that have one width at model height, the commonest of those that are wide.

    Returns:
        The database, and the width in px.
    """
    with LineStore(data) as store:
        sizes = list(zip(store.widths.tolist(), store.heights.tolist(), strict=True))
        widths = np.array([fitted_width(w, h, config.image) if w and h else 0 for w, h in sizes])  # (N,)
        candidates, counts = np.unique(widths[widths >= np.median(widths)], return_counts=True)
        width = int(candidates[np.argmax(counts)])
        same_width = itertools.cycle(np.flatnonzero(widths == width).tolist())
        with LineWriter(folder / "one-width") as writer:
            for index in itertools.islice(same_width, count):
                writer.add(store[index], *sizes[index])
    return folder / "one-width", width


def stored_bytes(data: Path) -> StoredBytes:
    """Count what an epoch over a database reads, and measure it where the system tells."""
    with LineStore(data) as store:
        records = sum(len(line.image) + len(line.text.encode()) + len(line.path.encode()) for line in store)
    file = data / "data.mdb" if data.is_dir() else data
    _drop_from_page_cache(file)
    before = _read_bytes()
    with lmdb.open(str(data), readonly=True, lock=False, subdir=data.is_dir()) as environment:
        pages = environment.stat()
        with environment.begin() as transaction:
            read = sum(len(value) for _, value in transaction.cursor())
    after = _read_bytes()
    size = pages["psize"] * (pages["branch_pages"] + pages["leaf_pages"] + pages["overflow_pages"])
    from_disk = None if before is None or after is None or after - before < read / 2 else after - before
    return StoredBytes(records, size, from_disk)


def _lines_of_like_width(source: LineSource, config: Config, count: int) -> Iterator[EncodedLine]:
    """Render lines of about the same width at model height."""
    width_px = RENDERED_ASPECT * config.image.height_px
    near = (
        line
        for line in render_lines(source, _MOST_TRIES * count)
        if abs(fitted_width(line.width_px, line.height_px, config.image) / width_px - 1) < _ASPECT_TOLERANCE
    )
    return itertools.islice(near, count)


def _repeated(annotations: Path, count: int, out: Path) -> Path:
    """Write a database of `count` lines, each of a labelled folder's as often as it takes."""
    lines = open_lines(annotations / "labels.tsv")
    sizes = list(zip(lines.widths.tolist(), lines.heights.tolist(), strict=True))
    with LineWriter(out) as writer:
        for index in itertools.islice(itertools.cycle(range(len(lines))), count):
            writer.add(lines[index], *sizes[index])
    return out


def _build(data: Path, out: Path, settings: BuildSettings, labels: SourceOptions = AS_FOUND) -> Path:
    build_databases(open_sources([data], labels), out, settings, lambda done: None)
    return out


def _drop_from_page_cache(file: Path) -> None:
    """Have the system drop what it holds of a file in memory, where it can be told to."""
    if not hasattr(os, "posix_fadvise"):
        return
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)  # what is not yet on the disk is not dropped
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def _read_bytes() -> int | None:
    """Return what the system has fetched from disks for this process; None: it does not tell."""
    try:
        rows = Path("/proc/self/io").read_text().splitlines()
    except OSError:
        return None
    return next((int(row.split()[1]) for row in rows if row.startswith("read_bytes:")), None)
