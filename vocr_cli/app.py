"""The `vocr` command: registers the commands and turns errors into exit codes."""

from __future__ import annotations

import importlib
import signal
import sys
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

import typer

from vocr_cli import __version__
from vocr_cli.core.errors import EXIT_INTERRUPTED, VocrError, reason_of
from vocr_cli.interrupts import interrupt_once
from vocr_cli.options import flowing_help
from vocr_cli.terminal import console
from vocr_cli.verbosity import QuietOpt, VerboseOpt, note_verbosity, with_verbosity

COMMANDS = {
    "read": "read",
    "infer": "infer",
    "build-lmdb": "build_lmdb",
    "autoconf": "autoconf",
    "train": "train",
    "eval": "evaluate",
    "synth": "synth",
    "calibrate": "calibrate",
    "export": "export",
    "inspect": "inspect",
    "config": "settings.config",
    "lm": "lm",
    "bench": "bench",
    "env": "settings.env",
    "label": "web.label",
    "serve": "web.serve",
}
"""The commands, and the modules that hold them."""

EXAMPLES = {
    "read": "vocr read scans --out texts",
    "infer": "vocr infer examples/lines --out readings.jsonl",
    "build-lmdb": "vocr build-lmdb labels.tsv train.lmdb --valid-share 0.05",
    "autoconf": "vocr autoconf --data train.lmdb --init vi-small --out config.yaml",
    "train": "vocr train config.yaml --out runs/mine --init vi-small",
    "eval": "vocr eval examples/lines --report report.html",
    "synth": "vocr synth lines --count 100 --preview sheet.png",
    "export": "vocr export best.safetensors best.int8.onnx --calibrate train.lmdb",
    "calibrate": "vocr calibrate best.safetensors valid.lmdb",
    "inspect": "vocr inspect vi-small",
    "config": "vocr config optim",
    "lm": "vocr lm text.txt mine.lm",
    "env": "vocr env",
    "label": "vocr label examples/lines/images --out labels.tsv",
    "serve": "vocr serve --model vi-small --port 8766",
}
"""One command line for the end of each help page; those of `bench` have theirs with them."""


def build_app(names: Iterable[str] = COMMANDS) -> typer.Typer:
    """Makes the command line.

    Args:
        names: The commands that it has. Typer describes every option of each to pydantic before it looks at
            what was typed, which takes a tenth of a second for all of them.
    """
    made = typer.Typer(
        name="vocr",
        help="Train, measure and run recognisers of Vietnamese text lines.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    made.callback()(_root)
    for name in names:
        module = importlib.import_module(f"vocr_cli.commands.{COMMANDS[name]}")
        if name == "bench":
            made.add_typer(module.group, name=name)
            continue
        add = made.command(
            name,
            help=flowing_help(module.command),
            epilog=f"Example: {EXAMPLES[name]}",
            context_settings=getattr(module, "TAKES_MORE", None),
        )
        add(with_verbosity(module.command))
    return made


if TYPE_CHECKING:
    app: typer.Typer
else:

    @cache
    def __getattr__(name: str) -> typer.Typer:
        if name == "app":
            return build_app()
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _show_version(wanted: bool) -> None:
    if wanted:
        console.result(f"vocr {__version__}")
        raise typer.Exit()


def _root(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version."
    ),
    quiet: QuietOpt = False,
    verbose: VerboseOpt = False,
) -> None:
    """Train, measure and run recognisers of Vietnamese text lines."""
    note_verbosity(quiet=quiet, verbose=verbose)


def main() -> None:
    """Runs the command line: exit 0, 1 (a problem with a remedy), 2 (usage) or 3 (some inputs unreadable)."""
    was_interrupted = interrupt_once()
    typed = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    command_line = build_app([typed] if typed in COMMANDS else COMMANDS)
    try:
        command_line()
    except SystemExit as end:
        if end.code == EXIT_INTERRUPTED:
            # One more Ctrl-C would end in a traceback of Python's, which is ending.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise
    except VocrError as problem:
        if was_interrupted():
            sys.exit(EXIT_INTERRUPTED)
        console.error(problem)
        sys.exit(1)
    except OSError as error:
        if not isinstance(error.filename, str):
            raise
        fix = "Check the name, the permissions, and that its disk can be read."
        console.error(VocrError(f"{error.filename}: {reason_of(error)}.", fix))
        sys.exit(1)


if __name__ == "__main__":
    main()
