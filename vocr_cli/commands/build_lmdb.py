"""`vocr build-lmdb`: annotated line images become a database."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vocr_cli import console
from vocr_cli.options import WorkersOpt

if TYPE_CHECKING:
    from vocr_cli.core.data.manifest import BadLine, Manifest

_SHOWN = 10


class LayoutName(StrEnum):
    """Whose key layout a database has."""

    vietocr = "vietocr"
    clovaai = "clovaai"


def command(
    annotations: Annotated[
        Path, typer.Argument(help="Annotation file: path, tab, label. With --check alone: a database.")
    ],
    out: Annotated[Path | None, typer.Argument(help="Where the database appears: a folder.")] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="Folder that relative paths start from; by default the annotation file's."),
    ] = None,
    workers: WorkersOpt = 0,
    height: Annotated[
        int | None, typer.Option(min=8, max=4096, help="Scale images to this height in px, stored as PNG.")
    ] = None,
    layout: Annotated[
        LayoutName, typer.Option(help="Keys numbered from 0 as VietOCR's, or from 1 as clovaai's.")
    ] = LayoutName.vietocr,
    valid_share: Annotated[
        float,
        typer.Option(min=0, max=0.99, help="Share of the lines that go to OUT-valid, chosen by their path."),
    ] = 0,
    bad_lines: Annotated[
        Path | None, typer.Option(help="Write the lines left out here: line number, reason, content.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Read a database record by record and name what is bad.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted build of the same inputs.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a database that exists.")] = False,
) -> None:
    """Build a database of line images, or check one.

    Every image is decoded and every label checked; what cannot be used is left out and named (exit code 3).
    The database appears only when it is complete.
    """
    from vocr_cli.core.data.build import BuildSettings, build_databases
    from vocr_cli.core.data.manifest import read_annotations

    if out is None:
        if not check:
            raise typer.BadParameter("name the folder where the database shall appear", param_hint="OUT")
        raise typer.Exit(3 if _check([annotations], workers) else 0)
    settings = BuildSettings(
        layout=layout.value,
        height_px=height,
        valid_share=valid_share,
        workers=workers,
        overwrite=overwrite,
        resume=resume,
    )
    manifest = read_annotations(annotations, images)
    with console.progress("Building", len(manifest.lines)) as counter:
        report = build_databases(manifest, out, settings, counter.advance)
    _note_labels(manifest)
    if report.resumed:
        console.note(f"{report.resumed:,} lines were taken over from the interrupted build.")
    for character in report.unknown[:_SHOWN]:
        console.warning(f"not in the default charset, kept: {character}")
    if len(report.unknown) > _SHOWN:
        console.warning(
            f"… and {len(report.unknown) - _SHOWN:,} more characters that the default charset lacks"
        )
    _show_bad(report.bad, bad_lines)
    rows = [(path, f"{lines:,}", f"{_megabytes(path):,.1f}") for path, lines in report.databases]
    console.table("Built", ("database", "lines", "MB"), rows)
    faults = _check([path for path, _ in report.databases], workers) if check else 0
    if report.bad or faults:
        raise typer.Exit(3)


def _check(databases: list[Path], workers: int) -> int:
    """Shows what is wrong with each database; the number of bad records."""
    from vocr_cli.core.data.build import check_database
    from vocr_cli.core.data.lmdb_store import LineStore

    rows, faults = [], 0
    for path in databases:
        with LineStore(path) as store, console.progress(f"Checking {path}", len(store)) as counter:
            bad = check_database(store, workers, counter.advance)
            if store.stated_count != len(store):
                console.note(
                    f"{path}: num-samples says {store.stated_count}; all {len(store):,} lines are read."
                )
            rows.append((path, store.layout, f"{len(store):,}", f"{len(bad):,}"))
        for record in bad:
            console.warning(f"{path}, record {record.number} {record.path}: {record.reason}")
        faults += len(bad)
    console.table("Checked", ("database", "layout", "lines", "bad"), rows)
    return faults


def _note_labels(manifest: Manifest) -> None:
    if manifest.normalised:
        console.note(f"{manifest.normalised:,} labels were brought into Unicode form NFC.")
    for path, numbers in manifest.duplicates[:_SHOWN]:
        console.warning(f"{path} stands in lines {', '.join(map(str, numbers))}; each is kept.")
    if len(manifest.duplicates) > _SHOWN:
        console.warning(
            f"… and {len(manifest.duplicates) - _SHOWN:,} more paths that stand in the file more than once"
        )


def _show_bad(bad: list[BadLine], file: Path | None) -> None:
    if file is not None:
        rows = [f"{line.line_number}\t{line.reason}\t{line.content}\n" for line in bad]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(rows), encoding="utf-8")
    if not bad:
        return
    for line in bad[:_SHOWN]:
        console.warning(f"line {line.line_number} left out, {line.reason}: {line.content[:80]}")
    more = (
        f"; all of them in {file}"
        if file
        else "; --bad-lines FILE lists them all"
        if len(bad) > _SHOWN
        else ""
    )
    console.note(f"{len(bad):,} lines were left out{more}.")


def _megabytes(database: Path) -> float:
    return (database / "data.mdb").stat().st_size / 1e6
