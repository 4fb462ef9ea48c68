"""A run in its folder: begun or gone on with, and recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from vocr_cli.core.config.tree import Config, dump_config, load_config
from vocr_cli.core.data.progress import OnProgress
from vocr_cli.core.errors import ConfigError
from vocr_cli.core.machine.atomic_write import atomic_write
from vocr_cli.core.machine.precision import choose_device
from vocr_cli.core.training.loop import train
from vocr_cli.core.training.parallel.distributed import ProcessGroup
from vocr_cli.core.training.parallel.launch import Launch
from vocr_cli.core.training.record.event_log import recorded, with_curves
from vocr_cli.core.training.record.events import Event
from vocr_cli.core.training.record.tensorboard import with_tensorboard
from vocr_cli.core.training.record.unwritable import writing
from vocr_cli.core.training.resume import (
    CONFIG_FILE,
    changed_settings,
    device_so_far,
    resume_command,
    validation_kind,
)
from vocr_cli.core.training.run import Run, build_run
from vocr_cli.core.training.run_settings import RunSettings


def open_run(
    settings: RunSettings,
    folder: Path,
    *,
    init: str | None,
    resume: bool,
    preview: bool,
    device: str,
    launch: Launch,
    process_group: ProcessGroup,
    progress: OnProgress,
) -> Run:
    """Makes a run, and puts it where its last checkpoint left it if it goes on.

    Args:
        settings: Of the run.
        folder: The run folder.
        init: A model to start from; None: the one that the settings name, or none. A run that goes on has
            its weights from its checkpoint.
        resume: Whether to go on; where torchrun has started processes again, they go on in any case.
        preview: Whether nothing is to be trained, so that the run in the folder is left alone.
        device: `auto`, `cpu` or `cuda`.
        launch: Who this process is.
        process_group: The ranks that train together.
        progress: Called with the number of image sizes read since the last call.

    Raises:
        ConfigError: The folder holds a run already, which is not to go on, or cannot with these settings.
        VocrError: Something else cannot be used.
    """
    started = (folder / "checkpoints" / "last.pt").exists()
    # Machines count restarts for themselves: those whose processes did not fail have not counted.
    resume = process_group.any(resume or (launch.restarts > 0 and started))
    if started and not resume and not preview:
        raise ConfigError(
            f"{folder} holds a run already.",
            f"Go on: {resume_command(folder)}; or choose another folder with --out.",
        )
    if resume:
        notes = _resume_notes(settings.config, folder, init)
        if (
            device == "auto"
            and process_group.world_size == 1
            and device_so_far(folder) == "cpu" != choose_device(device)
        ):
            device = "cpu"
            notes.append("On the CPU, as so far; --device cuda takes a GPU.")
    run = build_run(
        settings.config,
        folder,
        init=None if resume else init or settings.init,
        device=device,
        process_group=process_group,
        progress=progress,
    )
    if resume:
        run.notes.extend(text for text in (*notes, run.checkpoints.restore(run)) if text)
    if run.validation is not None:
        run.notes.extend(_mark_notes(run))
    return run


def _mark_notes(run: Run) -> Iterator[str]:
    """Has a run's marks belong to its validation as it is now; says so where it was another one so far."""
    file, kind = run.folder / CONFIG_FILE, validation_kind(run.config)
    so_far = validation_kind(load_config(file)) if not run.state.marks_of and file.is_file() else kind
    if run.state.use_marks_of(kind, so_far):
        yield (
            "Validation is by other lines or another metric than so far: scores and patience are counted "
            "anew; the best model stays until one is better than the first that is scored now."
        )


def _resume_notes(config: Config, folder: Path, init: str | None) -> list[str]:
    """Looks whether a run can go on with these settings; returns what differs from the run so far."""
    notes = [changed_settings(config, folder)]
    if init is not None:
        notes.append(f"The weights are those of the run's checkpoint: --init {init} changes nothing.")
    return notes


def train_and_record(run: Run, stop: Callable[[], bool]) -> Iterator[Event]:
    """Trains; rank 0 leaves config.yaml, events.jsonl, curves.png and TensorBoard's files in the folder."""
    events: Iterable[Event] = train(run, stop)
    if run.is_primary:
        with writing(path := run.folder / CONFIG_FILE), atomic_write(path, only_writer=True) as temporary:
            temporary.write_text(dump_config(run.config), encoding="utf-8")
        events = with_curves(recorded(events, run.folder / "events.jsonl"), run.folder)
        if run.config.train.tensorboard:
            events = with_tensorboard(events, run.folder / "tensorboard")
    yield from events
