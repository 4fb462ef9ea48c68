"""`vocr build-lmdb`: annotated line images become a database."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vocr_cli.core.data.readers.source_options import SourceOptions
from vocr_cli.label_options import with_label_options
from vocr_cli.options import OUTPUT, FirstPageOpt, WorkersOpt
from vocr_cli.terminal import console

if TYPE_CHECKING:
    from vocr_cli.core.config.image import ImageConfig
    from vocr_cli.core.data.build.build import BuildReport, BuildSettings, SkippedEntry
    from vocr_cli.core.data.build.duplicates import Duplicates, Twin
    from vocr_cli.core.data.readers.entries import Source

_SHOWN = 10
STORED = "How lines are stored"


class LayoutName(StrEnum):
    """Whose key layout a database has."""

    vietocr = "vietocr"
    clovaai = "clovaai"


class EncodingName(StrEnum):
    """How scaled images are stored."""

    png = "png"
    webp = "webp"
    jpeg = "jpeg"


PathsArg = Annotated[
    list[Path],
    typer.Argument(
        metavar="IN... OUT",
        help="Labelled lines, then the folder where the database appears; with --check a database.",
        show_default=False,
    ),
]
HeightOpt = Annotated[
    int | None,
    typer.Option(
        min=8,
        max=4096,
        metavar="PX",
        help="Scale images to this height in px.",
        show_default=False,
        rich_help_panel=STORED,
    ),
]
FitOpt = Annotated[
    str,
    typer.Option(
        metavar="MODEL|CONFIG",
        help="Scale images as this model, or a run with this config, does: loading then only decodes them, "
        "which is fastest.",
        rich_help_panel=STORED,
    ),
]
EncodingOpt = Annotated[
    EncodingName | None,
    typer.Option(
        help="Of images that change: JPEG by default if scaled, PNG if rotated, transparent, 16 bits, …; "
        "WebP is smaller than JPEG and harms lines of 32 px less, but is slower to decode.",
        show_default=False,
        rich_help_panel=STORED,
    ),
]
LayoutOpt = Annotated[
    LayoutName,
    typer.Option(help="Keys numbered from 0 as VietOCR's, or from 1 as clovaai's.", rich_help_panel=STORED),
]
ValidShareOpt = Annotated[
    float,
    typer.Option(
        min=0,
        max=0.99,
        metavar="SHARE",
        help="Share of the lines that go to OUT-valid, chosen by their path.",
        rich_help_panel=OUTPUT,
    ),
]
ShardsOpt = Annotated[
    int,
    typer.Option(
        min=1,
        max=99_999,
        metavar="N",
        help="Spread the lines over OUT-00000-of-0000N and so on.",
        rich_help_panel=OUTPUT,
    ),
]
BadLinesOpt = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write the lines left out here: number, reason, content.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]
CheckOpt = Annotated[
    bool, typer.Option("--check", help="Read a database record by record and name what is bad.")
]
ResumeOpt = Annotated[
    bool,
    typer.Option(
        "--resume", help="Go on with an interrupted build of the same inputs.", rich_help_panel=OUTPUT
    ),
]
OverwriteOpt = Annotated[
    bool, typer.Option("--overwrite", help="Replace a database that exists.", rich_help_panel=OUTPUT)
]


@with_label_options
def command(
    paths: PathsArg,
    labels: SourceOptions,
    workers: WorkersOpt = 0,
    height: HeightOpt = None,
    fit: FitOpt = "",
    first_page: FirstPageOpt = False,
    encoding: EncodingOpt = None,
    layout: LayoutOpt = LayoutName.vietocr,
    valid_share: ValidShareOpt = 0,
    shards: ShardsOpt = 1,
    bad_lines: BadLinesOpt = None,
    check: CheckOpt = False,
    resume: ResumeOpt = False,
    overwrite: OverwriteOpt = False,
) -> None:
    """Build a database of line images, or check one.

    Labelled lines are lists (path, tab, label), CSV, TSV, JSON, JSON Lines, Parquet, Arrow, WebDataset tars,
    databases, folders of any of these, or images with a .txt beside each; several are put together.

    Every image is decoded and every label checked; what cannot be used is left out and named (exit code 3).
    The database appears only when it is complete; the same command again finds it complete.
    """
    from vocr_cli.core.data.build.build import BuildSettings
    from vocr_cli.core.machine.files.output_place import require_writable

    *inputs, out = paths
    if not inputs:
        if not check:
            text = "Name the folder where the database shall appear, after the labels."
            raise typer.BadParameter(text, param_hint="OUT")
        raise typer.Exit(3 if _check(paths, workers) else 0)
    if height and fit:
        raise typer.BadParameter("It contradicts --height.", param_hint="--fit")
    if resume and overwrite:
        raise typer.BadParameter("It keeps what --overwrite would replace: give one.", param_hint="--resume")
    if bad_lines:
        require_writable(bad_lines)
    settings = BuildSettings(
        layout=layout.value,
        height_px=height,
        fit=_image_of(fit) if fit else None,
        first_page=first_page,
        encoding=encoding.value if encoding else None,
        valid_share=valid_share,
        shards=shards,
        workers=workers,
        overwrite=overwrite,
        resume=resume,
    )
    report = _build(inputs, out, labels, settings)
    _show(report)
    _show_skipped(report.bad, bad_lines, len(inputs) > 1)
    if (check and _check([path for path, _ in report.databases], workers)) or report.bad:
        raise typer.Exit(3)


def _build(inputs: list[Path], out: Path, labels: SourceOptions, settings: BuildSettings) -> BuildReport:
    """Builds the databases under a progress bar, with a total where every source knows its own."""
    from vocr_cli.core.data.build.build import build_databases
    from vocr_cli.core.data.readers.open_source import open_sources

    sources = open_sources(inputs, labels)
    said = _say_notes(sources, set())
    counts = [source.lines for source in sources if source.lines is not None]
    with console.progress("Building", sum(counts) if len(counts) == len(sources) else None) as counter:
        report = build_databases(sources, out, settings, counter.advance)
    _say_notes(sources, said)
    return report


def _say_notes(sources: Sequence[Source], said: set[str]) -> set[str]:
    """Says what was chosen to read the sources, but not twice; all that is said now."""
    notes = dict.fromkeys(note for source in sources for note in source.notes)
    for text in notes:
        if text not in said:
            console.note(text)
    return said | set(notes)


def _image_of(model: str) -> ImageConfig:
    from vocr_cli.core.models.description import config_of

    return config_of(model).image


def _check(databases: list[Path], workers: int) -> int:
    """Shows what is wrong with each database; the number of bad records."""
    from vocr_cli.core.data.build.check import check_database
    from vocr_cli.core.data.lmdb.store import LineStore

    rows, faults = [], 0
    for path in databases:
        with LineStore(path) as store, console.progress(f"Checking {path}", len(store)) as counter:
            report = check_database(store, workers, counter.advance)
            if store.stated_count != len(store):
                console.note(
                    f"{path}: num-samples says {store.stated_count}; all {len(store):,} lines are read."
                )
            rows.append((path, store.layout, f"{len(store):,}", f"{len(report.bad):,}"))
        for record in report.bad:
            console.warning(f"{path}, record {record.number} {record.path}: {record.reason}")
        _show_duplicates(report.duplicates)
        faults += len(report.bad)
    console.table("Checked", ("database", "layout", "lines", "bad"), rows)
    return faults


def _show(report: BuildReport) -> None:
    if report.duplicates is None:
        console.note("Complete already, from the same inputs and with the same settings: nothing was done.")
    elif report.resumed:
        console.note(f"{report.resumed:,} lines were taken over from the interrupted build.")
    if report.normalised:
        console.note(f"{report.normalised:,} labels were brought into Unicode form NFC.")
    if report.duplicates is not None:
        _show_duplicates(report.duplicates)
    if report.page_like:
        console.warning(
            f"Flagged page-like, kept: {report.page_like:,} images ({', '.join(report.first_pages)}, ...); "
            "a model reads one line an image: cut pages into lines."
        )
    for character in report.unknown[:_SHOWN]:
        console.warning(f"not in the default charset, kept: {character}")
    if len(report.unknown) > _SHOWN:
        console.warning(
            f"… and {len(report.unknown) - _SHOWN:,} more characters that the default charset lacks"
        )
    rows = [
        (path, f"{lines:,}", f"{(path / 'data.mdb').stat().st_size / 1e6:,.1f}")
        for path, lines in report.databases
    ]
    console.table("Built", ("database", "lines", "MB"), rows)


def _show_duplicates(found: Duplicates) -> None:
    if found.repeated:
        console.note(f"{found.repeated:,} lines repeat the pixels and the label of another; each is kept.")
    if found.contradicting:
        console.warning(f"{found.contradicting:,} lines have the pixels of another, but another label:")
    if found.across:
        console.warning(f"{found.across:,} images lie in more than one of the databases.")
    for twins in found.examples:
        several = len({twin.database for twin in twins}) > 1
        if several or len({twin.text for twin in twins}) > 1:
            console.warning(f"the same pixels: {', '.join(_twin(twin, several) for twin in twins)}")


def _twin(twin: Twin, several: bool) -> str:
    where = f"record {twin.number} of {twin.database}" if several else f"record {twin.number}"
    return f"{where} {twin.name} {twin.text!r}"


def _show_skipped(bad: list[SkippedEntry], file: Path | None, several: bool) -> None:
    from vocr_cli.core.machine.atomic_write import write_report

    if file is not None:
        rows = [
            f"{line.location if several else line.number}\t{line.reason}\t{line.content}\n" for line in bad
        ]
        write_report(file, "".join(rows))
    if not bad:
        return
    for line in bad[:_SHOWN]:
        console.unusable_input(f"Warning: {line.location} left out, {line.reason}: {line.content[:80]}")
    unshown = "; --bad-lines FILE lists them all" if len(bad) > _SHOWN else ""
    more = f"; all of them in {file}" if file else unshown
    console.unusable_input(f"{len(bad):,} lines were left out{more}.")
