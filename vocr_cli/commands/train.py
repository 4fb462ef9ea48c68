"""vocr train: trains a recogniser from a config."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vocr_cli import console
from vocr_cli.options import Device, DeviceOpt


def command(
    config: Annotated[Path, typer.Argument(help="YAML config; `vocr autoconf` writes one.")],
    data: Annotated[list[Path] | None, typer.Option("--data", help="Training LMDB; may be repeated.")] = None,
    valid: Annotated[
        list[Path] | None, typer.Option("--valid", help="Validation LMDB; may be repeated.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Run folder.")] = Path("runs/train"),
    init: Annotated[
        str | None, typer.Option("--init", help="Model to start from: embedded name or file.")
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
    device: DeviceOpt = Device.auto,
) -> None:
    """Train a recogniser. Ctrl-C saves; --resume goes on."""
    from vocr_cli.core.config import SourceConfig, dump_config, load_config
    from vocr_cli.core.errors import ConfigError

    resolved = load_config(config, tuple(settings or ()))
    changes: dict[str, object] = {}
    if data:
        changes["data"] = {"train": tuple(SourceConfig(lmdb=path) for path in data)}
    if valid:
        changes.setdefault("data", {})["valid"] = tuple(valid)  # type: ignore[index]
    limits = {key: value for key, value in (("max_steps", max_steps), ("max_minutes", max_minutes)) if value}
    if limits:
        changes["train"] = limits
    for section, values in changes.items():
        merged = getattr(resolved, section).model_copy(update=values)
        resolved = resolved.model_copy(update={section: merged})
    checkpoint = out / "checkpoints" / "last.pt"
    if checkpoint.exists() and not resume:
        raise ConfigError(
            f"{out} holds a run already.", "Go on with --resume, or choose another folder with --out."
        )

    from vocr_cli.core.training.loop import Trainer
    from vocr_cli.core.training.record import recorded, stop_on_signals

    trainer = Trainer(resolved, out, init, device.value)
    if resume:
        trainer.restore()
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.yaml").write_text(dump_config(resolved), encoding="utf-8")
    with stop_on_signals() as stopped, console.TrainingView(resolved.train.max_steps) as view:
        for event in recorded(trainer.run(stopped), out / "events.jsonl"):
            view.show(event)
    if stopped():
        console.note(f"Saved. Go on with: vocr train {config} --out {out} --resume")
        raise typer.Exit(130)
