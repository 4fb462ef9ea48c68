"""What a training run is made of, and how it goes to disk and comes back. B lines."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vocr_cli import __version__
from vocr_cli.core.config.tree import Config
from vocr_cli.core.data.loader.dataset import Batch, RenderedSource
from vocr_cli.core.data.loader.lines import Progress as Counted
from vocr_cli.core.data.loader.order import START, Place
from vocr_cli.core.errors import ConfigError, ModelError
from vocr_cli.core.machine.memory import keep_freed_memory, keep_kernels
from vocr_cli.core.machine.precision import choose_device
from vocr_cli.core.models.files import ModelFile, build_module, save_model
from vocr_cli.core.models.layers.attention import set_attention
from vocr_cli.core.models.layers.recompute import set_recompute
from vocr_cli.core.models.recognition_model import RecognitionModel
from vocr_cli.core.training.augment.batch import BatchAugmenter
from vocr_cli.core.training.augment.strength import strength_of_run
from vocr_cli.core.training.checkpoint import (
    FORMAT,
    keep_older,
    load_latest,
    random_states,
    save_checkpoint,
    set_random,
)
from vocr_cli.core.training.initial_weights import check_widths, choose_dtype, load_init, named, transfer
from vocr_cli.core.training.optim.ema import WeightAverage
from vocr_cli.core.training.optim.optimizer import make_optimizer
from vocr_cli.core.training.optim.schedule import check_schedule
from vocr_cli.core.training.optim.stages import freeze
from vocr_cli.core.training.parallel.distributed import ALONE, Team, place_after
from vocr_cli.core.training.progress import Progress
from vocr_cli.core.training.record.events import Saved, Validated
from vocr_cli.core.training.record.usage import UsageMeter
from vocr_cli.core.training.sources import open_run_lines
from vocr_cli.core.training.step.distill import distilled
from vocr_cli.core.training.step.objective import as_input, make_objective
from vocr_cli.core.training.step.step import Stepper
from vocr_cli.core.training.validation.cadence import Cadence
from vocr_cli.core.training.validation.validate import chosen_sets, count_lines


class RunState:
    """Everything of one run, and how it is kept on disk.

    Args:
        config: The resolved settings.
        out: The run folder.
        init: A model file or embedded name to start from.
        device: `auto`, `cpu` or `cuda`.
        counted: Called with the number of image sizes read since the last call.
        team: The ranks that train together; each has a Trainer.

    Raises:
        ConfigError, DataError, FontError, ModelError: Something named there cannot be used.
    """

    def __init__(
        self,
        config: Config,
        out: Path,
        init: str | None = None,
        device: str = "auto",
        counted: Counted = lambda count: None,
        team: Team = ALONE,
    ) -> None:
        if not config.data.train:
            raise ConfigError("The config names no training data.", "Set data.train, or pass --data LMDB.")
        check_widths(config)
        check_schedule(config)
        self.config, self.out, self.team = config, out, team
        torch.manual_seed(config.train.seed)
        place = choose_device(device)
        self.device = torch.device(place)
        if self.device.type == "cpu":
            keep_freed_memory()
            keep_kernels()
            torch.set_flush_denormal(config.precision.flush_denormals)  # threads to come inherit it
        self.dtype = choose_dtype(config.precision.amp, place)
        self.lines = open_run_lines(config, counted)
        self.charset, self.sources, self.valid = self.lines.charset, self.lines.train, self.lines.valid
        self.notes = list(self.lines.notes)
        self.objective = make_objective(config, self.charset, self.device, self.dtype)
        self.module = build_module(config.model, config.image, self.charset)
        set_attention(self.module, config.precision.attention)
        set_recompute(self.module, config.precision.recompute)
        if init is not None:
            self.notes.append(transfer(load_init(init, config), self.module, self.charset, config))
        freeze(self.module, config.optim.freeze)
        if config.train.teacher is not None:
            teacher = load_init(config.train.teacher, config)
            self.objective = distilled(teacher, config, self.charset, self.device, self.dtype)
        layout = torch.channels_last if config.precision.channels_last else torch.contiguous_format
        self.module.to(self.device, memory_format=layout)  # type: ignore[call-overload]
        team.share(self.module.state_dict().values())
        self.optimizer = make_optimizer(self.module, config.optim, self.dtype)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)
        self.average = WeightAverage(self.module, config.optim.ema_decay)
        self.stepper = Stepper(
            self.module, self.objective, self.optimizer, self.scaler, self.average, config.optim, self._input,
            team,
        )  # fmt: skip
        self.progress = Progress(Path(init).name if init else "", places=[START] * len(self.sources))
        self.saved_step: int | None = None
        self.valid_lines, self.quick_lines = chosen_sets(self.valid, config.validate_)
        self.cadence = Cadence(config.validate_, count_lines(self.valid_lines), count_lines(self.quick_lines))
        self.augmenter = BatchAugmenter(config)
        self.strength = strength_of_run(config, self.augmenter.active, len(self.charset))
        self.meter = UsageMeter(self.device)
        self.unreadable = 0
        if team.world > 1:
            self.notes.append(f"{team.world} processes train together: a step takes the batches of all.")
        if not team.leads:  # what is drawn from here on, as dropout is, is for each rank its own
            torch.manual_seed(config.train.seed + team.rank)

    @property
    def last_path(self) -> Path:
        """The checkpoint that --resume reads."""
        return self.out / "checkpoints" / "last.pt"

    @property
    def best_path(self) -> Path:
        """The model of the best validation so far; the latest where nothing is validated."""
        return self.out / "checkpoints" / "best.safetensors"

    def save(self) -> Saved:
        """Writes last.pt, on rank 0, for all ranks."""
        progress = self.progress
        own = {"places": [list(place) for place in progress.places], "random": random_states()}
        ranks = self.team.objects(own)
        saved, before, self.saved_step = Saved(progress.step, self.last_path), self.saved_step, progress.step
        if not self.team.leads:
            return saved
        state: dict[str, Any] = {
            "format": FORMAT,
            **self.stepper.state_dict(),
            "strength": self.strength.state_dict(),
            "progress": {key: value for key, value in vars(progress).items() if key != "places"},
            "charset": self.charset.characters,
            **ranks[0],
            "other_ranks": ranks[1:],
        }
        if before not in (None, progress.step):
            keep_older(self.last_path, before, self.config.train.keep_checkpoints)
        save_checkpoint(self.last_path, state)
        return saved

    def restore(self) -> None:
        """Takes last.pt up, or where it is damaged the newest of the older ones that were kept.

        Raises:
            ModelError: No checkpoint, or one of another model.
        """
        state, note = load_latest(self.last_path)
        if state["charset"] != self.charset.characters or len(state["places"]) != len(self.sources):
            raise ModelError(
                f"{self.last_path} belongs to another charset or other sources.",
                "Resume with the config that the run was started with.",
            )
        try:
            self.stepper.load_state_dict(state)
        except RuntimeError as error:
            raise ModelError(
                f"{self.last_path} belongs to another model: {error}", "Resume with the run's own config."
            ) from None
        ranks = [state, *state.get("other_ranks", [])]  # of the run that saved it
        places = [
            place_after([Place(*rank["places"][number]) for rank in ranks], rendered, self.team)
            for number, rendered in enumerate(isinstance(source, RenderedSource) for source in self.sources)
        ]
        self.progress = Progress(**state["progress"], places=places)
        self.strength.load_state_dict(state["strength"])
        if self.team.rank < len(ranks):
            set_random(ranks[self.team.rank]["random"])
        self.saved_step = None if note else self.progress.step
        self.notes += [note] if note else []

    def averaged(self) -> RecognitionModel:
        """A model of the averaged weights, made when it is asked for: steps need the memory that it takes."""
        module = copy.deepcopy(self.module)
        module.load_state_dict(self.average.state)
        return module

    def save_best(self, validated: Validated | None) -> Saved:
        """Writes the averaged weights as a model file, on rank 0."""
        if not self.team.leads:
            return Saved(self.progress.step, self.best_path)
        progress = self.progress
        provenance = {
            "vocr": __version__,
            "steps": progress.step,
            "lines": progress.lines,
            "minutes": round(progress.minutes, 1),
            "init": progress.init or None,
            "teacher": Path(self.config.train.teacher).name if self.config.train.teacher else None,
            "data": [named(source.model_dump(exclude_none=True)) for source in self.config.data.train],
        }
        scores = {} if validated is None else {"valid_cer": validated.cer, "valid_lines": validated.lines}
        model = ModelFile(
            self.averaged(), self.config.model, self.config.image, self.charset, provenance, scores
        )
        save_model(self.best_path, model)
        return Saved(progress.step, self.best_path)

    def _input(self, batch: Batch) -> Tensor:
        images = as_input(batch.images, self.device, self.config.precision.channels_last)
        return self.augmenter(images, batch, self.strength.value)
