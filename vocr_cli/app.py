"""The `vocr` command: registers the commands and turns errors into exit codes."""

from __future__ import annotations

import sys

import typer

from vocr_cli import __version__
from vocr_cli.core.errors import VocrError
from vocr_cli.options import flowing_help
from vocr_cli.terminal import console

app = typer.Typer(
    name="vocr",
    help="Train, measure and run recognisers of Vietnamese text lines.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        console.out.print(f"vocr {__version__}")
        raise typer.Exit()


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version."
    ),
) -> None:
    """Train, measure and run recognisers of Vietnamese text lines."""


def _register() -> None:
    import importlib

    for module, name in (
        ("infer", "infer"),
        ("build_lmdb", "build-lmdb"),
        ("autoconf", "autoconf"),
        ("train", "train"),
        ("evaluate", "eval"),
        ("synth", "synth"),
        ("export", "export"),
        ("inspect", "inspect"),
        ("lm", "lm"),
    ):
        loaded = importlib.import_module(f"vocr_cli.commands.{module}")
        app.command(name, help=flowing_help(loaded.command))(loaded.command)
    app.add_typer(importlib.import_module("vocr_cli.commands.bench").group, name="bench")


_register()


def main() -> None:
    """Runs the command line: exit 0, 1 (a problem with a remedy), 2 (usage) or 3 (some inputs unreadable)."""
    try:
        app()
    except VocrError as problem:
        console.error(problem)
        sys.exit(1)


if __name__ == "__main__":
    main()
