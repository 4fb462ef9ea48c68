"""The options that say how labelled lines are to be read: the same for every command that takes some."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vocr_cli.core.errors import ConfigError
from vocr_cli.options import INPUT

if TYPE_CHECKING:
    from vocr_cli.core.data.readers.source_options import SourceOptions

ImagesOpt = Annotated[
    Path | None,
    typer.Option(
        "--images",
        metavar="DIR",
        help="Folder that the images' paths start from; by default that of the list.",
        show_default=False,
        rich_help_panel=INPUT,
    ),
]
ColumnsOpt = Annotated[
    str,
    typer.Option(
        "--columns",
        metavar="K=V,K=V",
        help="Columns of a table, image=NAME,text=NAME, or their numbers; by default by what they hold.",
        rich_help_panel=INPUT,
    ),
]
SeparatorOpt = Annotated[
    str,
    typer.Option(
        "--separator",
        metavar="MARK",
        help="What parts columns in a text file: tab, comma, space, |||| …; by default what is found there.",
        rich_help_panel=INPUT,
    ),
]
NoHeaderOpt = Annotated[
    bool,
    typer.Option(
        "--no-header", help="The first row of a table is a line like the others.", rich_help_panel=INPUT
    ),
]
SplitOpt = Annotated[
    str,
    typer.Option(
        "--split",
        metavar="NAME",
        help="Which split of a data set to take: train, validation, test.",
        rich_help_panel=INPUT,
    ),
]
_OPTIONS: dict[str, tuple[Any, Any]] = {
    "images": (ImagesOpt, None),
    "columns": (ColumnsOpt, ""),
    "separator": (SeparatorOpt, ""),
    "no_header": (NoHeaderOpt, False),
    "split": (SplitOpt, ""),
}


def with_label_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the options of labelled lines, given to its parameter `labels` as `SourceOptions`."""

    @functools.wraps(command)
    def with_labels(**arguments: Any) -> None:
        own = {name: arguments.pop(name) for name in _OPTIONS}
        command(**arguments, labels=_source_options(**own))

    signature = inspect.signature(command, eval_str=True)
    named = inspect.Parameter.KEYWORD_ONLY
    others = [
        parameter.replace(kind=named) if parameter.kind is not named else parameter
        for parameter in signature.parameters.values()
        if parameter.name != "labels"
    ]
    added = [
        inspect.Parameter(name, named, default=default, annotation=kind)
        for name, (kind, default) in _OPTIONS.items()
    ]
    shown: Any = with_labels
    shown.__signature__ = signature.replace(parameters=[*others, *added])
    shown.__annotations__ = {parameter.name: parameter.annotation for parameter in [*others, *added]}
    del shown.__wrapped__  # its signature is not this one
    return with_labels


def _source_options(
    *, images: Path | None, columns: str, separator: str, no_header: bool, split: str
) -> SourceOptions:
    from vocr_cli.core.data.readers.source_options import SourceOptions, parse_columns, parse_separator

    try:
        chosen = parse_columns(columns)
    except ConfigError as error:
        raise typer.BadParameter(error.fix, param_hint="--columns") from None
    return SourceOptions(
        images=images,
        columns=chosen,
        separator=parse_separator(separator),
        header=not no_header,
        split=split,
    )
