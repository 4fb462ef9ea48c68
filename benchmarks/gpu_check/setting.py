"""What all sections of gpu_check.sh share: sizes, lines, rows."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vocr_cli.core.config.tree import SynthConfig
from vocr_cli.core.data.build.build import BuildSettings, build_databases
from vocr_cli.core.data.readers.open_source import open_source
from vocr_cli.core.models.vietocr.constants import VIETOCR_CHARACTERS
from vocr_cli.core.synth.source import LineSource
from vocr_cli.core.synth.write import render_lines, write_folder
from vocr_cli.core.text import Charset
from vocr_cli.terminal import console

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        lines: Rendered.
        parity_lines: Read by every model in every format.
        characters: That models of random weights write of a line.
        read_lines: From files, the rendered ones over and over.
        vietocr_lines: Read by VietOCR one by one; eight times as many in batches.
        train_lines: Of a step, and steps.
        models: Whose readings are compared.
        grid: Options of benchmarks/autoconf_grid.py.
        patience: By how much sections may take longer than on a large card.
    """

    name: str
    lines: int
    parity_lines: int
    characters: int
    read_lines: int
    vietocr_lines: int
    train_lines: int
    train_steps: int
    models: tuple[str, ...]
    grid: tuple[str, ...]
    patience: float = 1.0


FULL = Size(
    "full", 4_000, 500, 30, 80_000, 64, 32, 60,
    ("vi-small", "vgg_transformer", "vgg_seq2seq", "vgg_convseq2seq", "resnet_transformer"),
    ("--lines", "20000", "--seconds", "2", "--rounds", "1", "--pixels", "2000000", "8000000",
     "--amp", "bf16", "--recompute", "off", "--workers", "4", "12"),
)  # fmt: skip
TINY = Size(
    "tiny", 48, 12, 4, 96, 2, 2, 1, ("vi-small", "vgg_seq2seq"),
    ("--lines", "64", "--seconds", "0.5", "--rounds", "1", "--pixels", "40000", "--amp", "off",
     "--recompute", "off", "--workers", "0"),
    patience=3.0,
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One finding.

    Attributes:
        section: Which it belongs to.
        what: What was measured.
        measured: The figure, in words.
        wanted: What it should be; "": it is there to be known.
        verdict: met, missed, failed or not measured, and why.
        data: The figures as numbers.
    """

    section: str
    what: str
    measured: str
    wanted: str = ""
    verdict: str = ""
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Setting:
    """The device, the sizes and the lines.

    Attributes:
        device: cuda or cpu.
        size: How much is measured.
        folder: For all that is written.
        images: The files of the rendered lines.
        database: The same lines.
        vietocr: The folder that holds VietOCR's package; None: it is installed, or not there.
    """

    device: str
    size: Size
    folder: Path
    images: tuple[Path, ...]
    database: Path
    vietocr: Path | None


def prepare(folder: Path, device: str, size: Size, vietocr: Path | None) -> Setting:
    """Renders the lines, unless an earlier run of this size has done so."""
    lines = folder / f"lines-{size.name}"
    database = folder / f"lines-{size.name}.lmdb"
    if not database.exists():
        console.note(f"Rendering {size.lines:,} lines")
        shutil.rmtree(lines, ignore_errors=True)
        source = LineSource(
            SynthConfig(fonts=(ROOT / "examples" / "fonts",), strength=0.3, seed=7),
            Charset(VIETOCR_CHARACTERS),  # its Trainer ends at any other
            channels=1,
        )
        write_folder(lines, render_lines(source, size.lines), lambda done: None)
        build_databases([open_source(lines / "labels.tsv")], database, BuildSettings(), lambda done: None)
    images = tuple(sorted((lines / "images").glob("*.png")))
    return Setting(device, size, folder, images, database, vietocr)


def judged(
    setting: Setting, section: str, what: str, value: float, least: float, unit: str, **data: Any
) -> Row:
    """A figure that should be so much at least; tiny sizes, which tell nothing of speed, are not judged."""
    measured, wanted = f"{value:,.1f} {unit}", f"≥ {least:,g} {unit}"
    verdict = "met" if value >= least else "missed"
    if setting.size.name == "tiny":
        verdict = "not measured: a rehearsal"
    return Row(section, what, measured, wanted, verdict, {"value": value, **data})
