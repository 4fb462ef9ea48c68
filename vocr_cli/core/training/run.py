"""What a training run is made of."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vocr_cli.core.config.tree import Config
from vocr_cli.core.data.loader.batch import Batch
from vocr_cli.core.data.loader.dataset import RenderedSource
from vocr_cli.core.data.loader.order import START_POSITION, SourcePosition
from vocr_cli.core.data.loader.stream import BatchStream
from vocr_cli.core.data.progress import OnProgress
from vocr_cli.core.data.readers.labelled import BadLine
from vocr_cli.core.errors import ConfigError, ModelError
from vocr_cli.core.machine.memory import keep_heap, raise_onednn_cache
from vocr_cli.core.machine.precision import choose_device
from vocr_cli.core.models.files import build_module
from vocr_cli.core.models.layers.attention import set_attention
from vocr_cli.core.models.layers.recompute import set_recompute
from vocr_cli.core.models.recognition_model import RecognitionModel
from vocr_cli.core.text import Charset
from vocr_cli.core.training.augment.augmentation import Augmentation
from vocr_cli.core.training.checkpoint import CheckpointStore, random_states, set_random_states
from vocr_cli.core.training.determinism import explain_nondeterminism, set_deterministic
from vocr_cli.core.training.initial_weights import check_widths, choose_dtype, load_init, origin, transfer
from vocr_cli.core.training.loop_state import LoopState
from vocr_cli.core.training.optim.schedule import check_schedule
from vocr_cli.core.training.optim.stages import freeze
from vocr_cli.core.training.parallel.distributed import SINGLE_PROCESS, ProcessGroup, resumed_position
from vocr_cli.core.training.resume import resume_command
from vocr_cli.core.training.sources import RunLines, loader_workers, open_run_lines
from vocr_cli.core.training.step.distill import make_distillation_objective
from vocr_cli.core.training.step.objective import Objective, make_objective
from vocr_cli.core.training.step.step import StepResult, TrainStep
from vocr_cli.core.training.step.train_state import TrainState, make_train_state
from vocr_cli.core.training.validation.cadence import Cadence
from vocr_cli.core.training.validation.evaluator import Evaluator
from vocr_cli.core.training.validation.subsets import ValidationSubset, validation_subsets

# What torch warns of is for programmers; Python attributes it to torch, or to who calls it here.
warnings.filterwarnings("ignore", category=UserWarning, module=r"(torch|vocr_cli)\.")


@dataclass(frozen=True, kw_only=True)
class Validation:
    """How a run is validated.

    Attributes:
        evaluator: Reads and scores lines.
        full: All lines that count.
        quick: The lines of a quick look; none where all validations are full.
        cadence: When.
    """

    evaluator: Evaluator
    full: ValidationSubset
    quick: ValidationSubset
    cadence: Cadence


@dataclass(frozen=True, kw_only=True)
class Run:
    """Everything of one run; each rank has one.

    Attributes:
        config: The resolved settings.
        folder: The run folder.
        process_group: The ranks that train together.
        device: Where the model is.
        dtype: Number format of the forward pass.
        data: The lines to train and to be validated on, and the charset.
        objective: What the model learns by.
        train_state: The model, and what steps change besides its weights.
        augmentation: Makes the model's images out of a batch.
        train_step: Takes an optimizer step on batches at a learning rate.
        validation: None: nothing is validated.
        checkpoints: Of this run.
        state: Where the run stands.
        workers: Processes that make batches ahead: as the settings say, but no more than processors.
        notes: What is worth knowing of it.
    """

    config: Config
    folder: Path
    process_group: ProcessGroup
    device: torch.device
    dtype: torch.dtype
    data: RunLines
    objective: Objective
    train_state: TrainState
    augmentation: Augmentation
    train_step: Callable[[Sequence[Batch], float], StepResult]
    validation: Validation | None
    checkpoints: CheckpointStore
    state: LoopState
    workers: int
    notes: list[str]

    @property
    def module(self) -> RecognitionModel:
        """The model being trained."""
        return self.train_state.module

    def close(self) -> None:
        """Lets go of the databases, so that their folders can be removed where open files cannot be."""
        self.data.close()

    @property
    def left_out(self) -> list[BadLine]:
        """The lines to train on or to be validated on that could not be used, so far as it is known."""
        return [line for _, lines in self.data.bad for line in lines] + self.state.left_out_lines()

    @property
    def charset(self) -> Charset:
        """The characters of the model."""
        return self.data.charset

    @property
    def step(self) -> int:
        """Steps done."""
        return self.state.step

    @property
    def is_primary(self) -> bool:
        """Whether this process writes for all ranks."""
        return self.process_group.is_primary

    def batches(self) -> Iterator[Batch]:
        """Returns this rank's batches of the steps to come, without end."""
        weights = [source.weight for source in self.config.data.train]
        group = self.process_group
        positions = self.state.source_positions
        stream = BatchStream(self.data.train, weights, positions, group.rank, group.world_size)
        return stream.batches(self.workers, self.device.type == "cuda")

    def state_dict(self) -> dict[str, Any]:
        """Returns what a checkpoint holds; all ranks call it together, for it holds what each alone knows."""
        positions = [list(position) for position in self.state.source_positions]
        of_rank = {"source_positions": positions, "random": random_states()}
        ranks = self.process_group.all_gather_objects(of_rank)
        return {
            **self.train_state.state_dict(),
            "strength": self.augmentation.strength.state_dict(),
            "loop_state": self.state.counters(),
            "charset": self.charset.characters,
            **ranks[0],
            "other_ranks": ranks[1:],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from what `state_dict` gave, with as many ranks as then or not.

        Raises:
            ModelError: It is another run's.
            ConfigError: It is another optimizer's.
        """
        path, sources = self.checkpoints.last_path, self.data.train
        again = resume_command(self.folder)
        if state["charset"] != self.charset.characters or len(state["source_positions"]) != len(sources):
            raise ModelError(
                f"{path} belongs to another charset or other sources.", f"Go on with the run's own: {again}"
            )
        try:
            self.train_state.load_state_dict(state)
        except RuntimeError as error:
            raise ModelError(
                f"{path} belongs to another model: {error}", f"Go on with the run's own settings: {again}"
            ) from None
        except ValueError as error:
            raise ConfigError(
                f"{path} was written with another optimizer, or other weights were frozen: {error}",
                f"Go on with the run's own settings: {again}",
            ) from None
        ranks = [state, *state["other_ranks"]]  # of the run that saved it
        positions = []
        for index, source in enumerate(sources):
            saved = [SourcePosition(*rank["source_positions"][index]) for rank in ranks]
            rendered = isinstance(source, RenderedSource)
            positions.append(resumed_position(saved, rendered, self.process_group))
        self.state.load(state["loop_state"], positions)
        self.augmentation.strength.load_state_dict(state["strength"])
        if self.process_group.rank < len(ranks):
            set_random_states(ranks[self.process_group.rank]["random"])


def build_run(
    config: Config,
    folder: Path,
    *,
    init: str | None = None,
    device: str = "auto",
    process_group: ProcessGroup = SINGLE_PROCESS,
    progress: OnProgress = lambda count: None,
) -> Run:
    """Opens the data, builds the model and everything that trains it.

    Args:
        config: The resolved settings.
        folder: The run folder; nothing is written there yet.
        init: A model file or embedded name to start from.
        device: `auto`, `cpu`, `cuda` or `mps`.
        process_group: The ranks that train together.
        progress: Called with the number of image sizes read since the last call.

    Raises:
        ConfigError, DataError, FontError, ModelError: Something named there cannot be used.
    """
    _check(config)
    torch.manual_seed(config.train.seed)
    device_name = choose_device(device)
    torch_device, dtype = torch.device(device_name), choose_dtype(config.precision.amp, device_name)
    if device_name == "cpu":
        keep_heap()
        raise_onednn_cache()
        torch.set_flush_denormal(config.precision.flush_denormals)  # threads to come inherit it
    data = open_run_lines(config, progress)
    notes = [*data.notes, *set_deterministic(config, torch_device, process_group.world_size)]
    module = _build_model(config, data.charset, torch_device, init, notes)
    process_group.broadcast_(module.state_dict().values())
    objective = _build_objective(config, data.charset, torch_device, dtype)
    train_state = make_train_state(module, config.optim, device_name, dtype)
    augmentation = Augmentation(config, torch_device, len(data.charset))
    if process_group.world_size > 1:
        notes.append(f"{process_group.world_size} processes train together: a step takes the batches of all.")
    parts = train_state, objective, augmentation, process_group
    run = Run(
        config=config,
        folder=folder,
        process_group=process_group,
        device=torch_device,
        dtype=dtype,
        data=data,
        objective=objective,
        train_state=train_state,
        augmentation=augmentation,
        train_step=explain_nondeterminism(TrainStep(*parts, exact_widths=config.model.EXACT_WIDTHS)),
        validation=_build_validation(config, data, objective, torch_device, process_group),
        checkpoints=CheckpointStore(folder / "checkpoints", config.train.keep_checkpoints),
        state=LoopState(*origin(init, data.charset), source_positions=[START_POSITION] * len(data.train)),
        workers=loader_workers(config, notes),
        notes=notes,
    )
    if not process_group.is_primary:  # what is drawn from here on, as dropout is, differs from rank to rank
        torch.manual_seed(config.train.seed + process_group.rank)
    return run


def _check(config: Config) -> None:
    """Refuses settings that no run can be made of, before anything is opened."""
    if not config.data.train:
        raise ConfigError("The config names no training data.", "Set data.train, or pass --data LMDB.")
    check_widths(config)
    check_schedule(config)


def _build_model(
    config: Config, charset: Charset, device: torch.device, init: str | None, notes: list[str]
) -> RecognitionModel:
    """Builds the model, its weights drawn or taken over; `notes` gets what was taken over."""
    module = build_module(config.model, config.image, charset)
    set_attention(module, config.precision.attention)
    set_recompute(module, config.precision.recompute)
    if init is not None:
        notes.append(transfer(load_init(init, config), module, charset, config, init))
    freeze(module, config.optim.freeze)
    layout = torch.channels_last if config.precision.channels_last else torch.contiguous_format
    return module.to(device, memory_format=layout)  # type: ignore[call-overload]


def _build_objective(config: Config, charset: Charset, device: torch.device, dtype: torch.dtype) -> Objective:
    """Makes the objective of the family, or that of a student where the config names a teacher."""
    if config.train.teacher is None:
        return make_objective(config, charset, device, dtype)
    teacher = load_init(config.train.teacher, config)
    return make_distillation_objective(teacher, config, charset, device, dtype)


def _build_validation(
    config: Config, data: RunLines, objective: Objective, device: torch.device, process_group: ProcessGroup
) -> Validation | None:
    if not data.valid:
        return None
    full, quick = validation_subsets(data.valid, config.validate_)
    evaluator = Evaluator(
        objective=objective,
        charset=data.charset,
        device=device,
        channels_last=config.precision.channels_last,
        batch_pixels=config.batch.pixels,
        process_group=process_group,
    )
    cadence = Cadence(config.validate_, len(full), len(quick))
    return Validation(evaluator=evaluator, full=full, quick=quick, cadence=cadence)
