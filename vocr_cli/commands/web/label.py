"""vocr label."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vocr_cli.options import OUTPUT, READING, Device, DeviceOpt, ThreadsOpt
from vocr_cli.serving_options import HostOpt, OpenOpt, PortOpt, YesOpt, confirm_host, show_address
from vocr_cli.terminal import console

if TYPE_CHECKING:
    from vocr_cli.core.web.labels.session import LabelOptions, LabelSession
    from vocr_cli.core.web.runs.training_job import TrainingJobs

_PORT = 8765

SourceArg = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER|LMDB|LABELS|READINGS",
        help="Line images, a database, a file of labels, or what `vocr infer` wrote.",
        show_default=False,
    ),
]
ModelOpt = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="Reads ahead: name of an embedded model, or a model file; none: nothing does. auto: vi-small.",
        rich_help_panel=READING,
    ),
]
AlsoOpt = Annotated[
    str,
    typer.Option(
        "--also",
        metavar="MODEL",
        help="A second model: lines on which the two disagree come first.",
        rich_help_panel=READING,
        show_default=False,
    ),
]
OutOpt = Annotated[
    Path,
    typer.Option("--out", "-o", metavar="FILE", help="The annotation file.", rich_help_panel=OUTPUT),
]
OrderOpt = Annotated[
    str,
    typer.Option(
        "--order",
        metavar="ORDER",
        help="confidence, disagreement, teach, shortest, longest or source; the page can change it.",
        show_default="as suits the source",
    ),
]
PickOpt = Annotated[
    int,
    typer.Option(
        "--pick",
        min=0,
        metavar="N",
        help="Choose the N lines that would teach most, and show those.",
        show_default=False,
    ),
]
ByOpt = Annotated[
    str, typer.Option("--by", metavar="NAME", help="Who labels.", show_default="your name here")
]
DecidedOnlyOpt = Annotated[
    bool,
    typer.Option(
        "--decided-only",
        help="Of a file of labels, write those lines alone that were decided about.",
        rich_help_panel=OUTPUT,
    ),
]
AllowTrainOpt = Annotated[bool, typer.Option("--allow-train", help="Let the page start `vocr train`.")]


def command(
    source: SourceArg,
    model: ModelOpt = "auto",
    also: AlsoOpt = "",
    out: OutOpt = Path("labels.tsv"),
    order: OrderOpt = "",
    pick: PickOpt = 0,
    by: ByOpt = "",
    decided_only: DecidedOnlyOpt = False,
    allow_train: AllowTrainOpt = False,
    device: DeviceOpt = Device.auto,
    threads: ThreadsOpt = 0,
    host: HostOpt = "127.0.0.1",
    port: PortOpt = None,
    yes: YesOpt = False,
    open_page: OpenOpt = False,
) -> None:
    """Label lines in the browser: check what a model read, the doubtful first.

    Each decision is on the disk before the next line is shown, in a journal beside --out; what is labelled is
    never changed. Ctrl-C ends the server, and the same command goes on.
    """
    from vocr_cli.core.web.listening import need_web

    need_web("vocr label")
    from vocr_cli.core.web.labels.queue import ORDERS
    from vocr_cli.core.web.labels.session import LabelSession
    from vocr_cli.core.web.runs.training_job import TrainingJobs

    if order and order not in ORDERS:
        raise typer.BadParameter(f"Choose one of {', '.join(ORDERS)}.", param_hint="--order")
    confirm_host(host, yes)
    options = _options(source, model, also, out, order=order, pick=pick, by=by, decided_only=decided_only,
                       device=device, threads=threads)  # fmt: skip
    session = LabelSession(options)
    init = str(options.model.model) if options.model else "vi-small"
    _serve(session, TrainingJobs(out, init, allow_train), host, port, open_page)
    _report(session)


def _serve(session: LabelSession, jobs: TrainingJobs, host: str, port: int | None, open_page: bool) -> None:
    """Answers the pages until a signal comes; then all is saved."""
    from vocr_cli.core.web.access import Access, new_token
    from vocr_cli.core.web.labels.routes import label_app
    from vocr_cli.core.web.listening import address_of, bind, run_until_signal, serve

    taken = bind(host, port, _PORT)
    access = Access(new_token(), host, taken.getsockname()[1])
    url = f"{address_of(taken, host)}/?token={access.token}"

    def run() -> None:
        session.start()
        show_address(url, "Open this address in a browser; Ctrl-C ends.", open_page)
        serve(label_app(session, access, jobs), taken)

    def stop() -> None:
        if jobs.is_running:
            console.note("Training is being saved and ended.")
        jobs.stop()
        session.stop()

    run_until_signal(run, stop)


def _options(
    source: Path,
    model: str,
    also: str,
    out: Path,
    *,
    order: str,
    pick: int,
    by: str,
    decided_only: bool,
    device: Device,
    threads: int,
) -> LabelOptions:
    """What is to be labelled; each of two models gets its share of the processors."""
    import getpass

    from vocr_cli.core.inference.recognizer_options import RecognizerOptions
    from vocr_cli.core.machine.hardware import usable_cores
    from vocr_cli.core.web.labels.session import LabelOptions

    models = [
        None if name in ("none", "") else "vi-small" if name == "auto" else name for name in (model, also)
    ]
    loaded = sum(name is not None for name in models)
    # One processor is left to the page, which is to answer while lines are read.
    share = threads or max(1, (usable_cores() - 1) // max(1, loaded))
    first, second = (
        None if name is None else RecognizerOptions(model=name, threads=share) for name in models
    )
    try:
        user = by or getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = "somebody"
    return LabelOptions(
        source=source, out=out, by=user, model=first, also=second, device=device.value, order=order,
        pick=pick, decided_only=decided_only,
    )  # fmt: skip


def _report(session: LabelSession) -> None:
    state, files = session.state(), session.files
    for text in session.notes():
        console.warning(text)
    if not len(session.decisions):
        console.note("Nothing was decided, and nothing written.")
        return
    console.note(
        f"{state['text']:,} lines labelled, {state['unreadable']:,} unreadable, {state['not_a_line']:,} not "
        f"lines, {state['undecided']:,} undecided: {files.labels}. Who decided what: {files.changes}."
    )
