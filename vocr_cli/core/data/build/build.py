"""Builds databases from labelled lines of any kind: decodes every image, and names every line left out."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

from pydantic import Field

from vocr_cli.core.config.tree import ImageConfig, Settings
from vocr_cli.core.data.build.duplicates import Duplicates, find_duplicates
from vocr_cli.core.data.build.prepare import Encoding, PreparedLine, Storage, Unusable, prepare
from vocr_cli.core.data.build.worker_pool import WorkerLost, ordered_map
from vocr_cli.core.data.lmdb.store import Layout, LineWriter, StoredLine
from vocr_cli.core.data.lmdb.writer import DiskFault
from vocr_cli.core.data.progress import OnProgress
from vocr_cli.core.data.readers.entries import Entry, Source
from vocr_cli.core.data.readers.open_source import all_entries
from vocr_cli.core.errors import DataError
from vocr_cli.core.text import UnknownCharacter

_CORRECT = "Correct the lines; --columns, --separator and --images say how they are read."
_START = {"position": 0, "normalised": 0, "page_like": 0}
_PAGES_NAMED = 3
_BATCH_LINES = 10_000
_BATCH_BYTES = 24 << 20  # less than the writers' own limit: they commit together


class BuildSettings(Settings):
    """How `build_databases` works."""

    layout: Layout = Field("vietocr", description="Keys as VietOCR's or as clovaai's.")
    height_px: int | None = Field(
        None, ge=8, le=4096, description="Scale images to this height; None: keep them."
    )
    encoding: Encoding | None = Field(
        None,
        description="Of images that are scaled, or not plain as they are; None: JPEG for the first, PNG for "
        "the others.",
    )
    fit: ImageConfig | None = Field(
        None, description="Give images the size that a model has them in; None: as `height_px` says."
    )
    valid_share: float = Field(0, ge=0, lt=1, description="Share of the lines that go to a second database.")
    shards: int = Field(1, ge=1, le=99_999, description="Databases that the lines are spread over.")
    workers: int = Field(0, ge=0, description="Processes that decode; 0: one per core.")
    overwrite: bool = Field(False, description="Replace databases that exist.")
    resume: bool = Field(False, description="Go on with an interrupted build of the same inputs.")

    @property
    def unstretched_fit(self) -> ImageConfig | None:
        """`fit` without its stretch, which whoever loads the lines applies to the widths that are stored."""
        return self.fit and replace(self.fit, stretch=1.0)


@dataclass(frozen=True)
class SkippedEntry:
    """An entry that cannot be used.

    Attributes:
        location: Where it stands (`line 3`).
        number: Its number there.
        reason: Why it cannot be used.
        content: What it holds.
        remedy: What helps; empty: to correct it.
    """

    location: str
    number: int
    reason: str
    content: str
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class BuildReport:
    """What `build_databases` has built.

    Attributes:
        databases: (path, lines) of each database.
        bad: The entries left out, in their order.
        unknown: Characters beyond the default charset, the most frequent first; their lines are kept.
        normalised: Labels that were brought into Unicode form NFC.
        page_like: Images that look like pages rather than lines; they are kept.
        first_pages: The names of the first of them.
        duplicates: Lines with equal pixels; None if nothing had to be built.
        resumed: Lines taken over from an interrupted build.
    """

    databases: list[tuple[Path, int]]
    bad: list[SkippedEntry]
    unknown: list[UnknownCharacter]
    normalised: int
    page_like: int
    first_pages: list[str]
    duplicates: Duplicates | None
    resumed: int


def valid_path(out: Path) -> Path:
    """Where the validation share of a database goes."""
    return out.with_name(f"{out.name}-valid")


def shard_paths(out: Path, shards: int) -> list[Path]:
    """Where the lines go: `out` itself, or `out-00000-of-00004` and so on."""
    if shards == 1:
        return [out]
    return [out.with_name(f"{out.name}-{shard:05d}-of-{shards:05d}") for shard in range(shards)]


def build_databases(
    sources: Sequence[Source], out: Path, settings: BuildSettings, on_progress: OnProgress
) -> BuildReport:
    """Decodes every image of the sources and stores what can be read.

    With `valid_share`, lines whose name's hash falls into the share go to `valid_path(out)`; with `shards`,
    the hash chooses among `shard_paths(out)`: a line stays on its side when the data grow.

    Args:
        sources: The labelled lines.
        out: Where the database appears when it is complete.
        settings: Layout, height, share, workers.
        on_progress: Called with the number of lines done since the last call.

    Raises:
        DataError: A database exists, no line (or none of one side) can be read, or the disk is full.
        WorkerLost: A worker process ended; what was built is kept, as after an interruption.
    """
    targets = shard_paths(out, settings.shards) + ([valid_path(out)] if settings.valid_share else [])
    fingerprint = _fingerprint(sources, settings)
    with ExitStack() as stack:
        writers = [
            stack.enter_context(
                LineWriter(
                    target,
                    settings.layout,
                    overwrite=settings.overwrite,
                    fingerprint=fingerprint,
                    resume=settings.resume,
                    state=_START | {"bad": [], "unknown": [], "first_pages": []},
                )
            )
            for target in targets
        ]
        resumed = sum(writer.lines for writer in writers)
        with _commit_if_a_worker_is_lost(writers):
            _fill(writers, sources, settings, on_progress)
        bad = _skipped_entries(writers)
        _refuse_empty(writers, bad, sources, settings)
    built = [writer for writer in writers if not writer.complete]
    return BuildReport(
        databases=[(writer.path, writer.lines) for writer in writers],
        bad=bad,
        unknown=_unknown_characters(writers),
        normalised=sum(writer.state["normalised"] for writer in writers),
        page_like=sum(writer.state["page_like"] for writer in writers),
        first_pages=[name for writer in writers for name in writer.state["first_pages"]],
        duplicates=find_duplicates([writer.path for writer in built], [writer.pixels for writer in built])
        if built
        else None,
        resumed=resumed,
    )


def _fill(
    writers: list[LineWriter], sources: Sequence[Source], settings: BuildSettings, on_progress: OnProgress
) -> None:
    """Writes each line to its database, from where an interrupted build has come."""
    unfinished = [writer for writer in writers if not writer.complete]
    start = min((writer.state["position"] for writer in unfinished), default=0)
    on_progress(start)
    if not unfinished:
        return
    entries = islice(all_entries(sources), start, None)
    work = partial(prepare, Storage(settings.height_px, settings.unstretched_fit, settings.encoding))
    lines = size = 0  # not committed yet
    position = start - 1
    for position, (entry, result) in enumerate(ordered_map(work, entries, settings.workers), start=start):
        writer = writers[_target_of(entry.name, settings)]
        on_progress(1)
        if writer.complete or position < writer.state["position"]:
            continue  # this database had gone further before the interruption
        writer.state["position"] = position + 1
        _record(writer, position, entry, result)
        lines, size = lines + 1, size + (0 if isinstance(result, Unusable) else len(result.image))
        if lines >= _BATCH_LINES or size >= _BATCH_BYTES:
            for other in unfinished:  # together, so that all have come equally far when the build is killed
                other.state["position"] = position + 1
                other.flush()
            lines = size = 0
    for writer in unfinished:
        writer.state["position"] = position + 1


def _skipped_entries(writers: list[LineWriter]) -> list[SkippedEntry]:
    """The entries left out, those of an earlier run included, in their order."""
    skipped = sorted(tuple(values) for writer in writers for values in writer.state["bad"])
    return [SkippedEntry(*values) for _, *values in skipped]


def _record(writer: LineWriter, position: int, entry: Entry, result: PreparedLine | Unusable) -> None:
    """Adds a line to its database, or what is wrong with it to the notes that are stored with the lines."""
    state = writer.state
    if isinstance(result, Unusable):
        skipped = SkippedEntry(entry.location, entry.number, result.reason, entry.content, result.remedy)
        state["bad"].append([position, *astuple(skipped)])
        return
    state["normalised"] += result.normalised
    if result.page_like:
        state["page_like"] += 1
        if state["page_like"] <= _PAGES_NAMED:
            state["first_pages"].append(entry.name)
    if result.unknown:
        counts = {char: [count, location] for char, count, location in state["unknown"]}
        for char in result.unknown:
            counts.setdefault(char, [0, entry.location])[0] += 1
        state["unknown"] = [[char, *values] for char, values in counts.items()]
    line = StoredLine(result.image, result.text, entry.name)
    writer.add(line, result.width_px, result.height_px, result.pixels)


def _target_of(name: str, settings: BuildSettings) -> int:
    """The index of the writer that a line goes to; the last one is that of the validation lines."""
    if not settings.valid_share and settings.shards == 1:
        return 0
    digest = hashlib.sha256(_name_bytes(name)).digest()
    if int.from_bytes(digest[:8]) < settings.valid_share * 2**64:
        return settings.shards
    return int.from_bytes(digest[8:16]) % settings.shards


def _name_bytes(name: str) -> bytes:
    try:
        return name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate out of JSON: such an entry is left out, and named
        return name.encode("utf-8", "surrogatepass")


def _unknown_characters(writers: list[LineWriter]) -> list[UnknownCharacter]:
    """The characters beyond the default charset over all databases, the most frequent first."""
    counts: Counter[str] = Counter()
    first: dict[str, str] = {}
    for writer in writers:
        for char, count, location in writer.state["unknown"]:
            counts[char] += count
            first.setdefault(char, location)
    return [UnknownCharacter(char, count, first[char]) for char, count in counts.most_common()]


def _fingerprint(sources: Sequence[Source], settings: BuildSettings) -> str:
    """A name of all that decides what is written: builds that share it may go on with each other's work."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(f"{source.path.resolve()} {source.fingerprint()}\n".encode("utf-8", "surrogateescape"))
    size = settings.unstretched_fit or settings.height_px
    storage = (size, settings.encoding, settings.valid_share, settings.shards)
    digest.update(repr(storage).encode())
    return digest.hexdigest()


@contextmanager
def _commit_if_a_worker_is_lost(writers: list[LineWriter]) -> Iterator[None]:
    """Commits what is written so far, so that it stays as it does after a full disk."""
    try:
        yield
    except WorkerLost as lost:
        for writer in writers:
            if not writer.complete:
                writer.flush()
        raise DiskFault(lost.problem, lost.fix) from lost


def _refuse_empty(
    writers: list[LineWriter], bad: list[SkippedEntry], sources: Sequence[Source], settings: BuildSettings
) -> None:
    """Raises DataError where a database would have no line."""
    empty = [writer.path for writer in writers if not writer.lines]
    if len(empty) == len(writers):
        first = f"; {bad[0].location}: {bad[0].reason.rstrip('.')}" if bad else ""
        names = ", ".join(str(source.path) for source in sources)
        raise DataError(
            f"{names}: none of its {len(bad):,} lines can be used{first}.",
            bad[0].remedy or _CORRECT if bad else "Name other labels.",
        )
    if empty:
        which = f"--valid-share {settings.valid_share:g}" if settings.valid_share else ""
        which += f" --shards {settings.shards}" if settings.shards > 1 else ""
        raise DataError(
            f"No usable line falls to {empty[0]} at {which.strip()}.",
            "Choose another share or fewer shards, or give more lines.",
        )
