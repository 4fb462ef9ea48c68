"""`vocr config`: every setting of a training run, with type, default, limits and meaning."""

from __future__ import annotations

from typing import Annotated

import typer

from vocr_cli.terminal import console

KeysArg = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEYS...", help="Sections or settings: optim, optim.lr. Default: all.", show_default=False
    ),
]
SchemaOpt = Annotated[
    bool,
    typer.Option("--schema", help="Print a JSON Schema instead, for editors to complete and check with."),
]
MarkdownOpt = Annotated[bool, typer.Option("--markdown", help="Print a page of tables, as docs/settings.md.")]


def command(keys: KeysArg = None, schema: SchemaOpt = False, markdown: MarkdownOpt = False) -> None:
    """Explain the settings of a training config: type, default, limits and meaning.

    They stand in the YAML file that `vocr autoconf` writes, and `vocr train --set KEY=VALUE` overrides one.

    In an editor with a YAML language server, a config whose first line is `# yaml-language-server:
    $schema=vocr.schema.json` is completed and checked as it is typed.
    """
    if schema and (keys or markdown):
        raise typer.BadParameter("It is for the whole config, as JSON.", param_hint="--schema")
    from vocr_cli.core.config.reference import chosen_sections, json_schema
    from vocr_cli.terminal.settings import markdown_page, show_settings

    if schema:
        import json

        console.document(json.dumps(json_schema(), ensure_ascii=False, indent=2) + "\n")
        return
    sections = chosen_sections(keys or [])
    if markdown:
        console.document(markdown_page(sections))
    else:
        show_settings(sections)
