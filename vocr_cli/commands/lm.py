"""`vocr lm`: text becomes a language model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vocr_cli.terminal import console

if TYPE_CHECKING:
    from vocr_cli.core.language_model.build import BuildReport

PathsArg = Annotated[
    list[Path],
    typer.Argument(
        metavar="TEXT... OUT",
        help="Text files, a paragraph a line, or folders of *.txt; then the file to write.",
        show_default=False,
    ),
]
OrderOpt = Annotated[
    int,
    typer.Option(
        "--order", min=1, max=8, metavar="N", help="Characters of the longest n-grams, the last included."
    ),
]
MaxMbOpt = Annotated[
    float,
    typer.Option(
        "--max-mb", min=0.01, metavar="MB", help="Size of the file; n-grams that matter least are left out."
    ),
]
ProvenanceOpt = Annotated[
    str,
    typer.Option(
        "--provenance",
        metavar="TEXT",
        help="Where the text comes from and its licence; kept in the file.",
        show_default=False,
    ),
]


def command(
    paths: PathsArg,
    order: OrderOpt = 8,
    max_mb: MaxMbOpt = 2.5,
    provenance: ProvenanceOpt = "",
) -> None:
    """Make a character language model of text, for lines that a model is unsure of.

    Case is folded, and figures, codes and foreign signs are left out of it. Every hundredth paragraph is not
    counted but measured on.
    """
    from vocr_cli.core.language_model.build import build_language_model

    *texts, out = paths
    if not texts:
        raise typer.BadParameter("Name the file to write, after the text.", param_hint="OUT")
    if out.is_dir() or out.suffix == ".txt":
        raise typer.BadParameter(
            f"{out} is no file to write a model to: name one such as mine.lm, after the text.",
            param_hint="OUT",
        )
    report = build_language_model(texts, out, order=order, max_bytes=int(max_mb * 1e6), provenance=provenance)
    _show(out, report)


def _show(out: Path, report: BuildReport) -> None:
    rows = [
        (length, f"{counted:,}", f"{kept:,}")
        for length, (counted, kept) in enumerate(zip(report.counted, report.kept, strict=True), start=1)
    ]
    console.table("N-grams", ("characters", "in the text", "kept"), rows)
    bits = "not measured, too little text" if report.held_out_bits is None else f"{report.held_out_bits:.3f}"
    console.facts(
        str(out),
        [
            ("size", f"{report.size_bytes / 1e6:.2f} MB"),
            ("order", str(report.order)),
            ("bits per character, held out", bits),
        ],
    )
