"""Command-line types of the commands that serve, and what they ask before they do."""

from __future__ import annotations

from typing import Annotated

import typer

from vocr_cli.terminal import console
from vocr_cli.terminal.questions import can_ask

SERVER = "Server"

HostOpt = Annotated[
    str,
    typer.Option(
        "--host",
        metavar="ADDRESS",
        help="Where to listen; other than this machine alone only after a question.",
        rich_help_panel=SERVER,
    ),
]
PortOpt = Annotated[
    int | None,
    typer.Option(
        "--port", min=0, max=65535, metavar="P", help="0: any that is free.", rich_help_panel=SERVER,
        show_default="8765, or any that is free",
    ),
]  # fmt: skip
YesOpt = Annotated[
    bool,
    typer.Option("--yes", "-y", help="Listen elsewhere without a question.", rich_help_panel=SERVER),
]
OpenOpt = Annotated[
    bool, typer.Option("--open", help="Open the page in the browser.", rich_help_panel=SERVER)
]


def confirm_host(host: str, yes: bool) -> None:
    """Asks before a server listens to other machines.

    Raises:
        typer.BadParameter: The answer is no, or there is nobody to ask.
    """
    from vocr_cli.core.web.access import is_loopback

    if is_loopback(host) or yes:
        return
    warning = f"--host {host} lets other machines in, and what they send is not encrypted."
    if not can_ask():
        raise typer.BadParameter(f"{warning} Add --yes if that is meant.", param_hint="--host")
    if not typer.confirm(f"{warning} Whoever has the token gets in. Go on?", err=True):
        raise typer.Abort()


def show_address(url: str, hint: str, open_page: bool) -> None:
    """Prints the address of a server on stdout, and opens it in the user's browser if that is wanted."""
    console.result(url)
    console.flush_readings()
    console.note(hint)
    if open_page:
        import webbrowser

        webbrowser.open(url)
