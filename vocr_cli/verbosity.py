"""Gives every command --quiet and --verbose, and keeps stdout clear where a document goes there."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from contextvars import ContextVar
from typing import Annotated, Any

import typer

from vocr_cli.terminal import console
from vocr_cli.terminal.documents import STDOUT

QuietOpt = Annotated[bool, typer.Option("--quiet", "-q", help="Show errors and results only.")]
VerboseOpt = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show details, too, and where in vocr an error arose.")
]

_BEFORE_COMMAND: ContextVar[tuple[bool, bool]] = ContextVar("_BEFORE_COMMAND", default=(False, False))


def note_verbosity(*, quiet: bool, verbose: bool) -> None:
    """Keeps what stands before the name of the command for the command, which is begun after it."""
    _BEFORE_COMMAND.set((quiet, verbose))


def with_verbosity(command: Callable[..., None]) -> Callable[..., None]:
    """A command with two options more, which set what the console shows before it runs.

    They may as well stand before the name of the command.
    """

    @functools.wraps(command)
    def verbose_or_quiet(*, quiet: bool, verbose: bool, **arguments: Any) -> None:
        before = _BEFORE_COMMAND.get()
        quiet, verbose = quiet or before[0], verbose or before[1]
        if quiet and verbose:
            raise typer.BadParameter("It contradicts --verbose.", param_hint="--quiet")
        document = STDOUT in (arguments.get("json_file"), arguments.get("lines_file"))
        console.begin(quiet=quiet, verbose=verbose, document_on_stdout=document)
        _refuse_infinite(arguments)
        command(**arguments)

    signature = inspect.signature(command, eval_str=True)
    named = inspect.Parameter.KEYWORD_ONLY
    added = [
        inspect.Parameter("quiet", named, default=False, annotation=QuietOpt),
        inspect.Parameter("verbose", named, default=False, annotation=VerboseOpt),
    ]
    parameters = [*signature.parameters.values(), *added]
    shown: Any = verbose_or_quiet
    shown.__signature__ = signature.replace(parameters=parameters)
    shown.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return verbose_or_quiet


def _refuse_infinite(arguments: dict[str, Any]) -> None:
    """Refuses what passes the checks of a range: nan compares as false with either end of it."""
    for name, value in arguments.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise typer.BadParameter(
                f"{value} is no finite number.", param_hint=f"--{name.replace('_', '-')}"
            )
