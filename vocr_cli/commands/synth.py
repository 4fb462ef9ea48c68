"""vocr synth: renders labelled Vietnamese lines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vocr_cli.options import OUTPUT, SeedOpt, WorkersOpt
from vocr_cli.terminal import console

TEXT, LOOK = "Text", "Look"

OutArg = Annotated[
    Path,
    typer.Argument(
        metavar="OUT",
        help="Folder for images and labels.tsv; an LMDB when it ends in .lmdb.",
        show_default=False,
    ),
]
TextOpt = Annotated[
    list[Path] | None,
    typer.Option(
        "--text",
        metavar="PATH",
        help="Text file or folder to cut lines from; may be repeated.",
        rich_help_panel=TEXT,
    ),
]
FontsOpt = Annotated[
    list[Path] | None,
    typer.Option(
        "--fonts",
        metavar="PATH",
        help="Font file or folder; may be repeated. Default: the system's.",
        rich_help_panel=LOOK,
    ),
]
CountOpt = Annotated[int, typer.Option("--count", "-n", min=1, metavar="N", help="Lines to render.")]
StrengthOpt = Annotated[
    float,
    typer.Option(
        "--strength",
        min=0,
        max=1,
        metavar="X",
        help="0: clean lines, 1: all degradations.",
        rich_help_panel=LOOK,
    ),
]
TextShareOpt = Annotated[
    float,
    typer.Option(
        "--text-share",
        min=0,
        max=1,
        metavar="SHARE",
        help="Share of lines cut from --text; the rest are made up.",
        rich_help_panel=TEXT,
    ),
]
GreyOpt = Annotated[bool, typer.Option("--grey", help="Grey images instead of colour.", rich_help_panel=LOOK)]
PreviewOpt = Annotated[
    Path | None,
    typer.Option(
        "--preview",
        metavar="FILE",
        help="Also write a contact sheet of the first lines.",
        rich_help_panel=OUTPUT,
    ),
]


def command(
    out: OutArg,
    text: TextOpt = None,
    fonts: FontsOpt = None,
    count: CountOpt = 1000,
    strength: StrengthOpt = 1.0,
    text_share: TextShareOpt = 0.7,
    grey: GreyOpt = False,
    seed: SeedOpt = 0,
    workers: WorkersOpt = 0,
    preview: PreviewOpt = None,
) -> None:
    """Render labelled Vietnamese lines: image folder with labels.tsv, or an LMDB."""
    from vocr_cli.core.config.tree import SynthConfig
    from vocr_cli.core.data.images.save_picture import save_picture
    from vocr_cli.core.machine.files.output_place import require_writable
    from vocr_cli.core.synth.source import LineSource
    from vocr_cli.core.synth.write import preview as draw_preview
    from vocr_cli.core.synth.write import render_lines, write_folder, write_lmdb
    from vocr_cli.core.text import Charset

    if preview is not None and preview.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        raise typer.BadParameter("Name a file that ends in .png, .jpg or .webp.", param_hint="--preview")
    if preview is not None:
        require_writable(preview)
    config = SynthConfig(
        text=tuple(text or ()), text_share=text_share, fonts=tuple(fonts or ()), strength=strength, seed=seed
    )
    source = LineSource(config, Charset(), channels=1 if grey else 3)
    refused = source.fonts.refused
    for path, reason in refused:
        console.detail(f"Font refused: {path}: {reason}")
    why = "" if console.is_verbose() else "; -v tells which and why"
    console.note(f"{len(source.fonts.faces):,} fonts{f', {len(refused):,} refused{why}' if refused else ''}")
    write = write_lmdb if out.suffix == ".lmdb" else write_folder
    with console.progress("Rendering", count) as counter:
        write(out, render_lines(source, count, workers), counter.advance)
    if preview is not None:
        save_picture(draw_preview(source, min(count, 60)), preview)
        console.note(f"Preview: {preview}")
    console.note(f"{count:,} lines in {out}")
