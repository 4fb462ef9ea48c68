"""vocr serve."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from vocr_cli.options import (
    BeamOpt,
    ConfigOpt,
    Device,
    DeviceOpt,
    LmOpt,
    ModelOpt,
    Precision,
    PrecisionOpt,
    Runtime,
    RuntimeOpt,
    SecondLookOpt,
    ThreadsOpt,
)
from vocr_cli.serving_options import SERVER, HostOpt, OpenOpt, PortOpt, YesOpt, confirm_host, show_address
from vocr_cli.terminal import console

if TYPE_CHECKING:
    from vocr_cli.core.inference.recognizer import Recognizer
    from vocr_cli.core.web.reading.limits import ServeLimits

_PORT = 8765
_TOKEN = "VOCR_TOKEN"
LIMITS = "Limits"

AllowHostOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-host",
        metavar="NAME",
        help="Answer requests for this name, too: that of a proxy or service; may be repeated.",
        rich_help_panel=SERVER,
    ),
]
MaxMbOpt = Annotated[
    float,
    typer.Option("--max-mb", min=0.1, metavar="MB", help="Size of a request.", rich_help_panel=LIMITS),
]
MaxRateOpt = Annotated[
    float,
    typer.Option(
        "--max-rate",
        min=0,
        metavar="N",
        help="Requests a second of one address; more get status 429. 0: any number.",
        rich_help_panel=LIMITS,
    ),
]
MaxWaitingOpt = Annotated[
    int,
    typer.Option(
        "--max-waiting",
        min=1,
        metavar="N",
        help="Lines that wait to be read; more get status 503.",
        rich_help_panel=LIMITS,
    ),
]


def command(
    model: ModelOpt = "vi-small",
    config: ConfigOpt = None,
    device: DeviceOpt = Device.auto,
    precision: PrecisionOpt = Precision.auto,
    runtime: RuntimeOpt = Runtime.auto,
    threads: ThreadsOpt = 0,
    beam: BeamOpt = 1,
    lm: LmOpt = "auto",
    second_look: SecondLookOpt = None,
    host: HostOpt = "127.0.0.1",
    port: PortOpt = None,
    allow_host: AllowHostOpt = None,
    yes: YesOpt = False,
    open_page: OpenOpt = False,
    max_mb: MaxMbOpt = 16.0,
    max_rate: MaxRateOpt = 0.0,
    max_waiting: MaxWaitingOpt = 1024,
) -> None:
    """Read line images over HTTP: POST /read, image in, JSON out.

    Concurrent requests are read together. The token, which every request brings along, is new at each start,
    or that of the environment variable VOCR_TOKEN. /docs describes the API, /openapi.json for programs.
    """
    from vocr_cli.core.web.listening import need_web

    need_web("vocr serve")
    from vocr_cli.core.inference.recognizer_options import RecognizerOptions
    from vocr_cli.core.web.reading.limits import ServeLimits

    confirm_host(host, yes)
    options = RecognizerOptions(
        model=model, config=config, precision=precision.value, runtime=runtime.value, threads=threads or None,
        beam=beam, n_best=beam, language_model=lm, second_look=second_look,
    )  # fmt: skip
    recognizer = options.load(options.source(), device.value)
    limits = ServeLimits(body_bytes=int(max_mb * 2**20), per_second=max_rate, waiting=max_waiting)
    _serve(recognizer, limits, host, port, allow_host or (), open_page=open_page)


def _serve(
    recognizer: Recognizer,
    limits: ServeLimits,
    host: str,
    port: int | None,
    names: Sequence[str],
    *,
    open_page: bool,
) -> None:
    """Reads what comes until a signal does."""
    from vocr_cli.core.web.access import Access, new_token
    from vocr_cli.core.web.listening import address_of, bind, run_until_signal, serve
    from vocr_cli.core.web.reading.line_reader import LineReader
    from vocr_cli.core.web.reading.service import serve_app

    taken = bind(host, port, _PORT)
    token = os.environ.get(_TOKEN) or new_token()
    access = Access(token, host, taken.getsockname()[1], names)
    reader = LineReader(recognizer, limits.waiting)
    address = address_of(taken, host)
    hint = (
        f"A page to try it is at this address; Ctrl-C ends. From programs:\n"
        f"  curl -H 'Authorization: Bearer {token}' --data-binary @line.png {address}/read"
    )

    def run() -> None:
        show_address(f"{address}/?token={token}", hint, open_page)
        serve(serve_app(recognizer, reader, limits, access), taken)

    run_until_signal(run, reader.stop)
    console.note(f"Read {reader.read_lines:,} lines.")
