"""vocr train: trains a recogniser from a config."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vocr_cli.core.data.readers.source_options import SourceOptions
from vocr_cli.core.errors import EXIT_INTERRUPTED
from vocr_cli.core.machine.torch_available import need_torch
from vocr_cli.label_options import with_label_options
from vocr_cli.options import INPUT, OUTPUT, Device, DeviceOpt
from vocr_cli.terminal import console

if TYPE_CHECKING:
    from vocr_cli.core.config.tree import Config
    from vocr_cli.core.training.parallel.launch import Launch
    from vocr_cli.core.training.record.events import Stopped
    from vocr_cli.core.training.run import Run

_DEFAULT_RUN = Path("runs/train")

WEIGHTS, RUN = "Weights", "The run"

TAKES_MORE = {"allow_extra_args": True}
"""What is typed too much reaches the command, which knows what was meant."""

ConfigArg = Annotated[
    Path,
    typer.Argument(
        metavar="CONFIG",
        help="YAML config, VietOCR's too; `vocr autoconf` writes one. With --resume: or the run folder.",
        show_default=False,
    ),
]
DataOpt = Annotated[
    list[Path] | None,
    typer.Option(
        "--data",
        metavar="DATA",
        help="Labelled lines of any kind to train on; may be repeated. Default: the config's.",
        show_default=False,
        rich_help_panel=INPUT,
    ),
]
ValidOpt = Annotated[
    list[Path] | None,
    typer.Option(
        "--valid",
        metavar="DATA",
        help="Labelled lines of any kind to validate on; may be repeated. Default: the config's.",
        show_default=False,
        rich_help_panel=INPUT,
    ),
]
ValidSplitOpt = Annotated[
    str,
    typer.Option(
        "--valid-split",
        metavar="NAME",
        help="Split of --valid; by default validation. --split is of --data.",
        show_default=False,
        rich_help_panel=INPUT,
    ),
]
OutOpt = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="DIR",
        help=f"Run folder: config.yaml, events.jsonl, curves.png, checkpoints. Default: {_DEFAULT_RUN}.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]
InitOpt = Annotated[
    str | None,
    typer.Option(
        "--init",
        metavar="MODEL",
        help="Weights to start from, an embedded name or a file. Default: random ones.",
        show_default=False,
        rich_help_panel=WEIGHTS,
    ),
]
TeacherOpt = Annotated[
    str | None,
    typer.Option(
        "--teacher",
        metavar="MODEL",
        help="Larger model to distil from: embedded name or file.",
        show_default=False,
        rich_help_panel=WEIGHTS,
    ),
]
ResumeOpt = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on from the last checkpoint: `vocr train --resume RUN_FOLDER`.",
        rich_help_panel=RUN,
    ),
]
MaxStepsOpt = Annotated[
    int | None,
    typer.Option("--max-steps", min=1, metavar="N", help="Stop after so many steps.", rich_help_panel=RUN),
]
MaxMinutesOpt = Annotated[
    float | None,
    typer.Option(
        "--max-minutes",
        min=0.01,
        metavar="MIN",
        help="Stop after so many minutes of training.",
        rich_help_panel=RUN,
    ),
]
SettingsOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="K=V",
        help="Override a setting: optim.lr=1e-3; may be repeated. `vocr config` lists all.",
        show_default=False,
        rich_help_panel=RUN,
    ),
]
PreviewOpt = Annotated[
    Path | None,
    typer.Option(
        "--preview-batch",
        metavar="FILE",
        help="Draw what the model is fed, say batch.png, and train nothing.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]


@with_label_options
def command(
    context: typer.Context,
    config: ConfigArg,
    labels: SourceOptions,
    data: DataOpt = None,
    valid: ValidOpt = None,
    valid_split: ValidSplitOpt = "",
    out: OutOpt = None,
    init: InitOpt = None,
    teacher: TeacherOpt = None,
    resume: ResumeOpt = False,
    max_steps: MaxStepsOpt = None,
    max_minutes: MaxMinutesOpt = None,
    settings: SettingsOpt = None,
    preview_batch: PreviewOpt = None,
    device: DeviceOpt = Device.auto,
) -> None:
    """Train a recogniser. Ctrl-C saves; `vocr train --resume RUN` goes on in that folder as it was begun.

    On N GPUs: torchrun --nproc-per-node N -m vocr_cli train CONFIG.

    While it runs, rate is the learning rate, norm is the gradient's length before clipping, clipped the share
    of steps in which that was too long, strength the augmentation's (0 to 1), data wait the share of time
    spent waiting for lines.

    Lines that cannot be used are left out and named (exit code 3).
    """
    need_torch("vocr train")
    from vocr_cli.core.machine.hardware import spin_briefly
    from vocr_cli.core.training.parallel.launch import read_launch
    from vocr_cli.core.training.resume import CONFIG_FILE, config_to_train
    from vocr_cli.core.training.run_settings import data_section, read_run_settings

    folder = _run_folder(config, out, resume, context.args)
    config = config_to_train(config, resume)
    spin_briefly()
    if (launch := read_launch()).rank:
        console.hush()
    given = _given(max_steps=max_steps, max_minutes=max_minutes, teacher=teacher)
    sections = {"data": data_section(data or [], valid or [], labels, valid_split), "train": given}
    resolved = read_run_settings(
        config, sections=sections, overrides=settings or (), use_init=init is None and not resume,
        init=None if resume else init, begun=folder / CONFIG_FILE if resume else None,
    )  # fmt: skip
    console.notes(resolved.notes)
    from vocr_cli.core.training.parallel.distributed import join_process_group
    from vocr_cli.core.training.record.folder_lock import held_run_folder
    from vocr_cli.core.training.session import open_run

    _check(resolved.config, config)
    with join_process_group(launch, device.value) as ranks, held_run_folder(folder, ranks, not preview_batch):
        with console.progress("Reading image sizes", None, "images") as counter:
            run = open_run(
                resolved, folder, init=init, resume=resume, preview=preview_batch is not None,
                device=device.value, launch=launch, process_group=ranks, progress=counter.advance,
            )  # fmt: skip
        if preview_batch is not None:
            return _preview(run, preview_batch) if run.is_primary else None
        ended = _train(run, launch)
    _exit(*ended, launch)  # every rank's end is the same, and an orderly one


def _given(**options: object) -> dict[str, object]:
    return {key: value for key, value in options.items() if value}


def _refuse_more(config: Path, more: list[str], resume: bool) -> None:
    """Says how to go on in a folder to those who name it behind --resume, which takes nothing."""
    if resume and len(more) == 1:
        folder, file = sorted((str(config), more[0]), key=lambda name: name.endswith((".yml", ".yaml")))
        raise typer.BadParameter(
            f"It takes no folder. vocr train --resume {folder} goes on as the run was begun; "
            f"vocr train {file} --resume --out {folder} goes on with this config.",
            param_hint="--resume",
        )
    raise typer.BadParameter(f"One config, not {more[0]!r}, too.", param_hint="CONFIG")


def _check(config: Config, path: Path) -> None:
    """Refuses a run without data, and a log that could not be written; the config is at `path`."""
    from vocr_cli.core.training.record.tensorboard import check_tensorboard
    from vocr_cli.core.training.run_settings import check_training_data

    check_training_data(config, path)
    if config.train.tensorboard:
        check_tensorboard()


def _train(run: Run, launch: Launch) -> tuple[Stopped, bool]:
    """Trains and shows it; how it ended, and whether every line could be read."""
    from vocr_cli.core.machine.hardware import read_hardware
    from vocr_cli.core.training.optim.fine_tuning_rate import rate_advice
    from vocr_cli.core.training.record.event_log import stop_on_signals
    from vocr_cli.core.training.record.events import Stopped, Validated
    from vocr_cli.core.training.record.wait_advice import WaitAdvice
    from vocr_cli.core.training.resume import eval_command, resume_command
    from vocr_cli.core.training.session import train_and_record
    from vocr_cli.terminal.training import TrainingView

    all_lines_read = True
    advice = WaitAdvice(run.workers, read_hardware(torch_facts=False).cores)
    limits = run.config.train
    shown = TrainingView(
        limits.max_steps, advice, max_minutes=limits.max_minutes,
        resume=resume_command(run.folder, launch), evaluate=eval_command(run.config),
    )  # fmt: skip
    with stop_on_signals() as stop, shown as view:
        for event in train_and_record(run, stop):
            view.show(event)
            if not isinstance(event, Validated):
                continue
            all_lines_read = all_lines_read and not event.unreadable
            if event.step == 0 and event.lines and (text := rate_advice(run.config, event.cer)):
                console.warning(text)
    assert isinstance(event, Stopped)
    return event, all_lines_read and not run.left_out


def _exit(end: Stopped, all_lines_read: bool, launch: Launch) -> None:
    """Turns the end of a run into the exit code."""
    if end.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)
    if end.resumable:  # trouble: the reason and its remedy are shown already
        raise typer.Exit(1)
    if launch.world_size == 1 and not all_lines_read:
        raise typer.Exit(3)  # torchrun would take it for a failure, and start again


def _run_folder(config: Path, out: Path | None, resume: bool, more: list[str]) -> Path:
    """The folder of the run: of `--out`, or the one that is to go on."""
    from vocr_cli.core.training.resume import CONFIG_FILE, holds_run

    if more:
        _refuse_more(config, more, resume)
    if not resume:
        return out or _DEFAULT_RUN
    if config.is_dir():
        if out is not None and out.resolve() != config.resolve():
            raise typer.BadParameter(f"--resume {config} goes on in that folder: leave --out {out} out.")
        return config
    of_a_run = config.name == CONFIG_FILE and holds_run(config.parent)
    return out or (config.parent if of_a_run else _DEFAULT_RUN)


def _preview(run: Run, path: Path) -> None:
    """Draws the first batches of what is left of a run."""
    from vocr_cli.core.training.augment.preview import preview_batches, save_preview

    console.notes(run.notes)
    exact = run.config.model.EXACT_WIDTHS
    batches = preview_batches(run.batches(), run.augmentation, exact_widths=exact)
    for line in dict.fromkeys(line for one in batches for line in one.batch.left_out):
        console.warning(f"Not readable, left out: {line.location}: {line.reason}")
    shown = save_preview(path, batches)
    console.note(f"Preview of {shown} lines, each with its strength and label: {path}")
