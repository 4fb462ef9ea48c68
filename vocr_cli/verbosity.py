"""Gives every command --quiet and --verbose, and keeps stdout clear where a document goes there."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from vocr_cli.terminal import console
from vocr_cli.terminal.documents import STDOUT

QuietOpt = Annotated[bool, typer.Option("--quiet", "-q", help="Show errors and results only.")]
VerboseOpt = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show details, too, and where in vocr an error arose.")
]


def with_verbosity(command: Callable[..., None]) -> Callable[..., None]:
    """A command with two options more, which set what the console shows before it runs."""

    @functools.wraps(command)
    def verbose_or_quiet(*, quiet: bool, verbose: bool, **arguments: Any) -> None:
        if quiet and verbose:
            raise typer.BadParameter("It contradicts --verbose.", param_hint="--quiet")
        document = STDOUT in (arguments.get("json_file"), arguments.get("lines_file"))
        console.begin(quiet=quiet, verbose=verbose, document_on_stdout=document)
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
