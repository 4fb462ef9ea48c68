"""`vocr inspect`: says what a model, checkpoint, run, database, config, annotation file or image is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from vocr_cli.core.data.readers.source_options import SourceOptions
from vocr_cli.label_options import with_label_options
from vocr_cli.options import JsonOpt
from vocr_cli.terminal import console
from vocr_cli.terminal.documents import write_json


@with_label_options
def command(
    thing: Annotated[
        str,
        typer.Argument(
            metavar="THING",
            help="A model (file or embedded name; VietOCR's too), checkpoint, folder of a run, LMDB, config, "
            "labels of any kind, image, language model or calibration.",
            show_default=False,
        ),
    ],
    labels: SourceOptions,
    json_file: JsonOpt = None,
) -> None:
    """Say what a file or folder is: a model, run, database, config, labels, an image, a language model, ….

    A config is shown in full, as YAML that `vocr train` takes.
    """
    from vocr_cli.core.config.tree import dump_config
    from vocr_cli.core.inspection import inspect_path

    inspection = inspect_path(thing, labels)
    if inspection.config is not None and inspection.kind == "VietOCR config":
        rows = _rows(inspection.facts | {"settings": "as vocr has them"})
        comments = [f"# {name}: {'; '.join(text.splitlines())}" for name, text in rows]
        heading = "\n".join([f"# {inspection.name}: {inspection.kind}", *comments])
        console.result(f"{heading}\n{dump_config(inspection.config)}")
    elif inspection.config is not None:
        console.result(f"# {inspection.name}: config, complete and valid\n{dump_config(inspection.config)}")
    else:
        console.facts(f"{inspection.name}: {inspection.kind}", _rows(inspection.facts))
    if json_file is not None:
        document = {"kind": inspection.kind, "name": inspection.name, "facts": inspection.facts}
        write_json(json_file, document)


def _rows(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in facts.items():
        if isinstance(value, dict):
            yield (
                name,
                ", ".join(f"{key} {_shown(inner)}" for key, inner in value.items() if inner != []) or "none",
            )
        elif isinstance(value, list):
            yield name, "\n".join(map(str, value)) or "none"
        else:
            yield name, _shown(value)


def _shown(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int):
        return str(value)
    return f"{value:,}"
