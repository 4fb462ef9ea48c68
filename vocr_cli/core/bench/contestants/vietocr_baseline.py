"""A model trained the way VietOCR 0.3 does it: what the promises are measured against. B lines.

fp32, batches of a fixed number of lines of one exact width, the norm of gradients clipped at 1, OneCycle;
what else is like VietOCR's is in `vietocr_settings`. Model, loss, image settings and torch's threads are
those of the other side.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from vocr_cli.core.bench.contestants.vietocr_settings import VIETOCR_WORKERS
from vocr_cli.core.config.tree import Config
from vocr_cli.core.data.loader.batch import Batch, collate
from vocr_cli.core.data.loader.dataset import StoredSource, padding_px
from vocr_cli.core.data.loader.sample import Sample
from vocr_cli.core.errors import DataError
from vocr_cli.core.machine.memory import keep_heap
from vocr_cli.core.machine.precision import choose_device
from vocr_cli.core.models.files import ModelFile, build_module
from vocr_cli.core.models.layers.attention import set_attention
from vocr_cli.core.models.layers.recompute import set_recompute
from vocr_cli.core.training.initial_weights import choose_dtype, load_init, transfer
from vocr_cli.core.training.sources import open_run_lines
from vocr_cli.core.training.step.objective import make_objective, to_model_input


@dataclass(frozen=True, kw_only=True)
class Optimizations:
    """What is added to VietOCR's way; pre-scaled data are other data."""

    kept_memory: bool = False
    flushed: bool = False
    amp: bool = False
    channels_last: bool = False
    buckets: bool = False
    sdpa: bool = False
    recompute: bool = False
    workers: int = 0


VIETOCR_WAY = Optimizations(sdpa=True, workers=VIETOCR_WORKERS)
"""What VietOCR itself has: torch's SDPA, since its model is an nn.Transformer, and loader processes."""


@dataclass(frozen=True)
class TrainingFacts:
    """Where a training runs: cpu or cuda, and the number format of its forward pass."""

    device: str
    dtype: str


@dataclass(frozen=True, kw_only=True)
class StepStats:
    """One training step: its lines, their widths in px together, seconds of waiting for data, its loss."""

    lines: int
    width_px: int
    waited_s: float
    loss: float


def cluster_batches(widths: np.ndarray, lines: int, seed: tuple[int, ...]) -> list[np.ndarray]:
    """Plan an epoch as VietOCR's ClusterRandomSampler makes it: full batches of one width, the rest left out.

    Args:
        widths: (n,) int, W of every line.
        lines: B.
        seed: Names the epoch.

    Raises:
        DataError: No width has enough lines.
    """
    rng = np.random.default_rng(seed)
    batches: list[np.ndarray] = []
    for width in np.unique(widths):
        numbers = rng.permutation(np.flatnonzero(widths == width))
        batches += [numbers[start : start + lines] for start in range(0, len(numbers) - lines + 1, lines)]
    if not batches:
        raise DataError(
            f"No {lines} lines have one width, so VietOCR's sampler makes no batch of them.",
            "Name more lines with --data.",
        )
    return [batches[index] for index in rng.permutation(len(batches))]


class BaselineTraining:
    """Trains VietOCR's way.

    Args:
        config: Model, image settings, data, `optim.lr`, seed, and `train.max_steps` for the schedule.
        lines: B.
        device: auto, cpu or cuda.
        init: A model to start from, or None.
        optimizations: What is added to the way.
    """

    def __init__(
        self,
        config: Config,
        lines: int,
        device: str,
        init: str | None = None,
        optimizations: Optimizations | None = None,
    ) -> None:
        added = optimizations or Optimizations()
        self.config, self.optimizations, self.lines = config, added, lines
        torch.manual_seed(config.train.seed)
        device_name = choose_device(device)
        self.device = torch.device(device_name)
        if added.kept_memory and device_name == "cpu":
            keep_heap()
        torch.set_flush_denormal(added.flushed and device_name == "cpu")
        self.dtype = choose_dtype("auto", device_name) if added.amp else torch.float32
        self.facts = TrainingFacts(device_name, str(self.dtype).removeprefix("torch."))
        opened = open_run_lines(config)
        source = opened.train[0]
        assert isinstance(source, StoredSource)
        self.source, self.charset = source, opened.charset
        self.module = build_module(config.model, config.image, self.charset)
        set_attention(self.module, "sdpa" if added.sdpa else "plain")
        set_recompute(self.module, ("all",) if added.recompute else ())
        if init is not None:
            transfer(load_init(init, config), self.module, self.charset, config)
        layout = torch.channels_last if added.channels_last else torch.contiguous_format
        self.module.to(self.device, memory_format=layout)  # type: ignore[call-overload]
        self.objective = make_objective(config, self.charset, self.device, self.dtype)
        self.optimizer = torch.optim.AdamW(
            self.module.parameters(), lr=config.optim.lr, betas=(0.9, 0.98), eps=1e-9
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, config.optim.lr, total_steps=config.train.max_steps + 1, pct_start=0.1
        )
        self._batches = self._loader()

    def step(self) -> StepStats:
        """Take one step, in the order of VietOCR's Trainer."""
        asked = time.perf_counter()
        batch = next(self._batches)
        waited_s = time.perf_counter() - asked
        self.module.train()
        loss = self.loss(batch)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        width_px = int(batch.widths.sum())
        return StepStats(lines=len(batch.texts), width_px=width_px, waited_s=waited_s, loss=loss.item())

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean loss of a batch, whose widths are taken apart where nothing may be padded."""
        pieces = batch.of_one_width() if self.config.model.EXACT_WIDTHS else [batch]
        losses = []
        for piece in pieces:
            images = to_model_input(piece.images, self.device, self.optimizations.channels_last)
            losses.append(self.objective.loss(self.module, images, piece))
        totals, counts = zip(*losses, strict=True)
        return torch.stack(totals).sum() / sum(counts)

    def model(self) -> ModelFile:
        """Return what was trained so far."""
        return ModelFile(self.module.eval(), self.config.model, self.config.image, self.charset)

    def _loader(self) -> Iterator[Batch]:
        # VietOCR's workers may be more than the processors that a bench holds it to: that is measured.
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        return iter(
            DataLoader(
                _DecodedLines(self.source),
                batch_sampler=_Epochs(self._epoch),
                collate_fn=partial(collate, bucket_px=padding_px(self.config)),
                num_workers=self.optimizations.workers,
                pin_memory=self.device.type == "cuda",
                generator=torch.Generator(),
            )
        )

    def _epoch(self, number: int) -> list[np.ndarray]:
        if self.optimizations.buckets:
            return list(self.source.plan(number))
        return cluster_batches(self.source.widths, self.lines, (self.config.train.seed, number))


class _DecodedLines(Dataset[Sample]):
    """Lines that are each decoded and resized when they are asked for."""

    def __init__(self, source: StoredSource) -> None:
        self._source = source

    def __getitem__(self, number: int) -> Sample:
        return self._source.sample(number, as_planned=True)


class _Epochs:
    """Epoch after epoch, without end."""

    def __init__(self, epoch: Callable[[int], list[np.ndarray]]) -> None:
        self._epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        number = 0
        while True:
            yield from (batch.tolist() for batch in self._epoch(number))
            number += 1
