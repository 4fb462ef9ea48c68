"""The trainer: one generator of events. B lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from vocr_cli import __version__
from vocr_cli.core.config import Config
from vocr_cli.core.data.dataset import Batch, StoredSource, TrainingStream, training_loader
from vocr_cli.core.data.lines import Progress as Counted
from vocr_cli.core.errors import ConfigError, ModelError
from vocr_cli.core.memory import keep_freed_memory
from vocr_cli.core.models.files import ModelFile, build_module, save_model
from vocr_cli.core.precision import choose_device
from vocr_cli.core.training.checkpoint import load_checkpoint, save_checkpoint
from vocr_cli.core.training.events import Event, Saved, Started, StepDone, Stopped, Validated
from vocr_cli.core.training.objective import as_input, make_objective
from vocr_cli.core.training.optim import WeightAverage, make_optimizer, rate_share
from vocr_cli.core.training.progress import Progress, Window
from vocr_cli.core.training.setup import (
    check_widths,
    choose_dtype,
    load_init,
    named,
    resume_place,
    transfer,
)
from vocr_cli.core.training.sources import open_run_lines, write_bad_lines
from vocr_cli.core.training.validate import chosen_lines, validate

_NON_FINITE_IN_A_ROW = 20


class Trainer:
    """Everything of one run.

    Args:
        config: The resolved settings.
        out: The run folder.
        init: A model file or embedded name to start from.
        device: `auto`, `cpu` or `cuda`.
        counted: Called with the number of image sizes read since the last call.

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
    ) -> None:
        if not config.data.train:
            raise ConfigError("The config names no training data.", "Set data.train, or pass --data LMDB.")
        check_widths(config)
        self.config, self.out = config, out
        torch.manual_seed(config.train.seed)
        place = choose_device(device)
        self.device = torch.device(place)
        if self.device.type == "cpu":
            keep_freed_memory()
        self.dtype = choose_dtype(config.precision.amp, place)
        self.lines = open_run_lines(config, counted)
        self.charset, self.sources, self.valid = self.lines.charset, self.lines.train, self.lines.valid
        self.notes = list(self.lines.notes)
        self.objective = make_objective(config, self.charset, self.device, self.dtype)
        self.module = build_module(config.model, config.image, self.charset)
        if init is not None:
            self.notes.append(transfer(load_init(init, config), self.module, self.charset, config))
        layout = torch.channels_last if config.precision.channels_last else torch.contiguous_format
        self.module.to(self.device, memory_format=layout)  # type: ignore[call-overload]
        self.optimizer = make_optimizer(self.module, config.optim)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)
        self.average = WeightAverage(self.module, config.optim.ema_decay)
        self.progress = Progress(Path(init).name if init else "", positions=[{} for _ in self.sources])
        self.averaged = build_module(config.model, config.image, self.charset)
        self.averaged.to(self.device, memory_format=layout)  # type: ignore[call-overload]

    # --- state -------------------------------------------------------------------------------------------

    @property
    def last_path(self) -> Path:
        """The checkpoint that --resume reads."""
        return self.out / "checkpoints" / "last.pt"

    @property
    def best_path(self) -> Path:
        """The model of the best validation so far; the latest where nothing is validated."""
        return self.out / "checkpoints" / "best.safetensors"

    def save(self) -> Saved:
        """Writes last.pt."""
        progress = self.progress
        state: dict[str, Any] = {
            "format": 1,
            "module": self.module.state_dict(),
            "average": self.average.state,
            "average_steps": self.average.steps,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "progress": {key: value for key, value in vars(progress).items() if key != "positions"},
            "positions": [
                {worker: list(place) for worker, place in places.items()} for places in progress.positions
            ],
            "charset": self.charset.characters,
            "torch_rng": torch.get_rng_state(),
        }
        save_checkpoint(self.last_path, state)
        return Saved(progress.step, self.last_path)

    def restore(self) -> None:
        """Takes last.pt up.

        Raises:
            ModelError: No checkpoint, or one of another model.
        """
        state = load_checkpoint(self.last_path)
        if state["charset"] != self.charset.characters or len(state["positions"]) != len(self.sources):
            raise ModelError(
                f"{self.last_path} belongs to another charset or other sources.",
                "Resume with the config that the run was started with.",
            )
        try:
            self.module.load_state_dict(state["module"])
        except RuntimeError as error:
            raise ModelError(
                f"{self.last_path} belongs to another model: {error}", "Resume with the run's own config."
            ) from None
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.average.state = {key: value.to(self.device) for key, value in state["average"].items()}
        self.average.steps = state["average_steps"]
        positions = [{int(w): tuple(place) for w, place in places.items()} for places in state["positions"]]
        self.progress = Progress(**state["progress"], positions=positions)
        torch.set_rng_state(state["torch_rng"])

    def save_best(self, validated: Validated | None) -> Saved:
        """Writes the averaged weights as a model file."""
        self.averaged.load_state_dict(self.average.state)
        progress = self.progress
        provenance = {
            "vocr": __version__,
            "steps": progress.step,
            "lines": progress.lines,
            "minutes": round(progress.minutes, 1),
            "init": progress.init or None,
            "data": [named(source.model_dump(exclude_none=True)) for source in self.config.data.train],
        }
        scores = {} if validated is None else {"valid_cer": validated.cer, "valid_lines": validated.lines}
        model = ModelFile(
            self.averaged, self.config.model, self.config.image, self.charset, provenance, scores
        )
        save_model(self.best_path, model)
        return Saved(progress.step, self.best_path)

    # --- the run -----------------------------------------------------------------------------------------

    def run(self, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
        """Trains until the limit, the patience, or `stop()` says so; always leaves a checkpoint."""
        config, progress = self.config, self.progress
        write_bad_lines(self.lines, self.out)
        count = sum(parameter.numel() for parameter in self.module.parameters())
        yield Started(
            progress.step, count, str(self.device), str(self.dtype).removeprefix("torch."), tuple(self.notes)
        )
        valid_lines = chosen_lines(self.valid, config.validate_.max_lines) if self.valid else []
        began, minutes_before = time.monotonic(), progress.minutes
        saved_at = window_at = time.monotonic()
        window = Window(window_at)
        reason, resumable = "all steps done", False
        batches = iter(self._loader())
        bad_in_a_row = 0
        while True:
            if (limit := self._limit_reached()) is not None:
                reason = limit
                break
            if stop():
                reason, resumable = "interrupted", True
                break
            asked = time.monotonic()
            batch = next(batches)
            window.waited += time.monotonic() - asked
            loss, norm = self._step(batch)
            bad_in_a_row = 0 if np.isfinite(loss) and np.isfinite(norm) else bad_in_a_row + 1
            progress.step += 1
            progress.lines += len(batch.texts)
            progress.positions[batch.source][batch.worker] = batch.position
            progress.minutes = minutes_before + (time.monotonic() - began) / 60
            window.steps += 1
            window.lines += len(batch.texts)
            window.loss += loss if np.isfinite(loss) else 0.0
            window.norm += norm if np.isfinite(norm) else 0.0
            if bad_in_a_row >= _NON_FINITE_IN_A_ROW:
                reason, resumable = (
                    f"loss or gradient not finite for {bad_in_a_row} steps in a row; lower optim.lr",
                    True,
                )
                break
            if progress.step % config.train.log_every_steps == 0:
                yield self._summary(window)
                window = Window(time.monotonic())
            if valid_lines and progress.step % config.validate_.every_steps == 0:
                yield from self._validated(valid_lines)
                if 0 < config.validate_.patience <= progress.without_better:
                    reason = f"no better CER for {progress.without_better} validations"
                    break
            if time.monotonic() - saved_at >= 60 * config.train.checkpoint_every_minutes:
                yield self.save()
                saved_at = time.monotonic()
        if valid_lines and not resumable and progress.step % config.validate_.every_steps:
            yield from self._validated(valid_lines)
        if not valid_lines:
            yield self.save_best(None)
        yield self.save()
        yield Stopped(progress.step, reason, resumable)

    def _loader(self) -> Iterator[Batch]:
        workers = self.config.data.workers
        places = zip(self.sources, self.progress.positions, strict=True)
        start = [resume_place(source, place, workers) for source, place in places]
        weights = [source.weight for source in self.config.data.train]
        stream = TrainingStream(self.sources, weights, start)
        return iter(training_loader(stream, workers, self.device.type == "cuda"))

    def _limit_reached(self) -> str | None:
        settings = self.config.train
        if self.progress.step >= settings.max_steps:
            return f"{settings.max_steps} steps done"
        if settings.max_minutes and self.progress.minutes >= settings.max_minutes:
            return f"{settings.max_minutes:g} minutes done"
        return None

    def _share_done(self) -> float:
        settings = self.config.train
        by_time = self.progress.minutes / settings.max_minutes if settings.max_minutes else 0.0
        return max(self.progress.step / settings.max_steps, by_time)

    def _step(self, batch: Batch) -> tuple[float, float]:
        """One optimizer step; a loss or gradient that is not finite leaves the weights alone."""
        config = self.config
        self.module.train()
        share = rate_share(config.schedule, self.progress.step, self._share_done())
        for group in self.optimizer.param_groups:
            group["lr"] = config.optim.lr * share
        images = as_input(batch.images, self.device, config.precision.channels_last)
        total, parts = self.objective.loss(self.module, images, batch)
        loss = total / parts
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        limit = config.optim.clip_norm or float("inf")
        norm = float(nn.utils.clip_grad_norm_(self.module.parameters(), limit))
        if not np.isfinite(norm) and not self.scaler.is_enabled():
            self.progress.skipped += 1
            return float(loss.detach()), norm
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if np.isfinite(norm):
            self.average.update(self.module)
        else:
            self.progress.skipped += 1
        return float(loss.detach()), norm

    def _validated(self, lines: list[tuple[StoredSource, np.ndarray]]) -> Iterator[Event]:
        config, progress = self.config, self.progress
        self.averaged.load_state_dict(self.average.state)
        event = validate(
            self.averaged, lines, self.charset, self.objective, self.device, config.batch.pixels,
            config.precision.channels_last, progress.step, progress.best_cer,
        )  # fmt: skip
        yield event
        progress.without_better = 0 if event.best else progress.without_better + 1
        if event.best:
            progress.best_cer = event.cer
            yield self.save_best(event)

    def _summary(self, window: Window) -> StepDone:
        seconds = max(time.monotonic() - window.began, 1e-9)
        share = self._share_done()
        left = self.progress.minutes * 60 * (1 - share) / share if share > 0 else None
        steps = max(window.steps, 1)
        rate = self.optimizer.param_groups[0]["lr"]
        return StepDone(
            self.progress.step, self.progress.lines, window.loss / steps, rate,
            window.norm / steps, window.lines / seconds, window.waited / seconds, self.progress.skipped, left,
        )  # fmt: skip
