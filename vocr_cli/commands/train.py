"""vocr train: trains a recogniser from a config."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from vocr_cli.options import Device, DeviceOpt
from vocr_cli.terminal import console
from vocr_cli.terminal.training import WaitAdvice

if TYPE_CHECKING:
    from vocr_cli.core.config.tree import Config
    from vocr_cli.core.training.loop import Trainer
    from vocr_cli.core.training.parallel.launch import Launch
    from vocr_cli.core.training.record.events import Stopped

_PREVIEWED_BATCHES = 6


def command(
    config: Annotated[Path, typer.Argument(help="YAML config, VietOCR's too; `vocr autoconf` writes one.")],
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", help="Training LMDB or annotation file; may be repeated."),
    ] = None,
    valid: Annotated[
        list[Path] | None,
        typer.Option("--valid", help="Validation LMDB or annotation file; may be repeated."),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            "--images", help="Folder that the paths in annotation files start from; by default theirs."
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Run folder.")] = Path("runs/train"),
    init: Annotated[
        str | None, typer.Option("--init", help="Model to start from: embedded name or file.")
    ] = None,
    teacher: Annotated[
        str | None, typer.Option("--teacher", help="Model to distil from: embedded name or file.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the run folder's last checkpoint.")
    ] = False,
    max_steps: Annotated[
        int | None, typer.Option("--max-steps", min=1, help="Stop after so many steps.")
    ] = None,
    max_minutes: Annotated[
        float | None, typer.Option("--max-minutes", min=0.01, help="Stop after so many minutes of training.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="K=V", help="Override a setting: optim.lr=1e-3.")
    ] = None,
    preview_batch: Annotated[
        Path | None,
        typer.Option("--preview-batch", help="Write a picture of what the model is fed, and train nothing."),
    ] = None,
    device: DeviceOpt = Device.auto,
) -> None:
    """Train a recogniser. Ctrl-C saves; --resume goes on.

    The run folder gets config.yaml, events.jsonl, curves.png and checkpoints.

    On N GPUs: torchrun --nproc-per-node N -m vocr_cli train CONFIG.

    Lines that cannot be used are left out and named (exit code 3).
    """
    from vocr_cli.core.errors import ConfigError
    from vocr_cli.core.machine.hardware import spin_briefly
    from vocr_cli.core.training.parallel.launch import read_launch

    spin_briefly()
    launch = read_launch()
    if launch.rank:
        console.hush()
    named = {"max_steps": max_steps, "max_minutes": max_minutes, "teacher": teacher}
    chosen = {key: value for key, value in named.items() if value}
    given = {"data": _given_data(data or [], valid or [], images), "train": chosen}
    resolved, named_init = _resolve(config, tuple(settings or ()), given, init is None and not resume)

    from vocr_cli.core.training.loop import Trainer
    from vocr_cli.core.training.parallel.distributed import team_of
    from vocr_cli.core.training.record.tensorboard import check_tensorboard

    if resolved.train.tensorboard:
        check_tensorboard()

    with team_of(launch, device.value) as team:
        started = (out / "checkpoints" / "last.pt").exists()
        # Machines count restarts for themselves: those whose processes did not fail have not counted.
        resume = team.any(resume or (launch.restarts > 0 and started))
        if started and not resume and preview_batch is None:
            raise ConfigError(
                f"{out} holds a run already.", "Go on with --resume, or choose another folder with --out."
            )
        with console.progress("Reading image sizes", None, "images") as counter:
            trainer = Trainer(resolved, out, init or named_init, device.value, counter.advance, team)
        if resume:
            trainer.restore()
        if preview_batch is not None:
            return _preview(trainer, preview_batch) if team.leads else None
        end = _run(trainer)
    if end.interrupted:
        console.note(f"Saved. Go on with: {_command_line(launch)} {config} --out {out} --resume")
        raise typer.Exit(130)
    if end.resumable:  # trouble: the reason and its remedy are shown already
        raise typer.Exit(1)
    if launch.world == 1 and (trainer.lines.bad or trainer.unreadable):
        raise typer.Exit(3)  # torchrun would take it for a failure, and start again


def _run(trainer: Trainer) -> Stopped:
    """Trains, rank 0 recording and showing; how it ended."""
    from vocr_cli.core.config.tree import dump_config
    from vocr_cli.core.machine.hardware import read_hardware
    from vocr_cli.core.training.record.event_log import recorded, stop_on_signals, with_curves
    from vocr_cli.core.training.record.events import StepDone
    from vocr_cli.core.training.record.tensorboard import with_tensorboard

    config, out = trainer.config, trainer.out
    if not trainer.team.leads:
        with stop_on_signals() as stopped:
            (end,) = deque(trainer.run(stopped), maxlen=1)
        return cast("Stopped", end)
    out.mkdir(parents=True, exist_ok=True)
    partial = out / ".config.yaml.tmp"  # a kill leaves the old one or the new one
    partial.write_text(dump_config(config), encoding="utf-8")
    partial.replace(out / "config.yaml")
    with stop_on_signals() as stopped, console.TrainingView(config.train.max_steps) as view:
        events = with_curves(recorded(trainer.run(stopped), out / "events.jsonl"), out)
        if config.train.tensorboard:
            events = with_tensorboard(events, out / "tensorboard")
        advice = WaitAdvice(config.data.workers, read_hardware(torch_facts=False).cores)
        for end in events:
            view.show(end)
            if isinstance(end, StepDone) and (text := advice.take(end)) is not None:
                console.note(text)
    return cast("Stopped", end)


def _command_line(launch: Launch) -> str:
    """How this command was started."""
    return "vocr train" if launch.world == 1 else "torchrun ... -m vocr_cli train"


def _preview(trainer: Trainer, path: Path) -> None:
    """Draws the first batches of what is left of a run."""
    from vocr_cli.core.training.augment.preview import save_preview

    shown = save_preview(path, list(trainer.fed(_PREVIEWED_BATCHES)))
    console.note(f"Preview of {shown} lines, each with its strength and label: {path}")


def _given_data(data: list[Path], valid: list[Path], images: Path | None) -> dict[str, Any]:
    """What the options say of `data:`."""
    from vocr_cli.core.config.tree import SourceConfig
    from vocr_cli.core.data.loader.lines import holds_annotations
    from vocr_cli.core.errors import ConfigError

    if images is not None and not any(map(holds_annotations, [*data, *valid])):
        raise ConfigError(
            "--images belongs to annotation files.", "Name one with --data or --valid, or leave --images out."
        )
    sources = [
        SourceConfig(annotations=path, images=images) if holds_annotations(path) else SourceConfig(lmdb=path)
        for path in data
    ]
    found: dict[str, Any] = {"train": tuple(sources)} if data else {}
    return found | ({"valid": tuple(valid), "valid_images": images} if valid else {})


def _resolve(
    path: Path, overrides: tuple[str, ...], given: dict[str, dict[str, Any]], may_init: bool
) -> tuple[Config, str | None]:
    """The settings of a run, of our config or VietOCR's, and the weights that the latter names.

    `--set` wins over options, which win over the file. `may_init`: whether such weights are wanted.
    """
    from vocr_cli.core.config.tree import load_config, with_overrides
    from vocr_cli.core.models.spec import resolve_config
    from vocr_cli.core.models.vietocr.yaml_run import vietocr_run

    init = None
    if resolve_config(path).kind == "VietOCR config":
        run = vietocr_run(path, "train" in given["data"], "valid" in given["data"])
        for text in (*run.notes, run.init_note if may_init else ""):
            if text:
                console.note(text)
        init = run.init if may_init else None
        resolved = run.config
    else:
        resolved = load_config(path)
    for section, values in given.items():
        changed = getattr(resolved, section).model_copy(update=values)
        resolved = resolved.model_copy(update={section: changed})
    return with_overrides(resolved, overrides, str(path)), init
