"""A model trained and read the way VietOCR 0.3 does it: what the promises are measured against. B lines.

Training: fp32, batches of a fixed number of lines of one exact width, one process that decodes, plain
attention, the norm of gradients clipped at 1, OneCycle. Reading: line by line, the decoder going over its
whole prefix at every step. Model, loss, image settings and torch's threads are those of the other side.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from vocr_cli.core.config.tree import COLUMN_PX, Config
from vocr_cli.core.data.images.images import fit_line
from vocr_cli.core.data.loader.batching import batches_of_one_width
from vocr_cli.core.data.loader.dataset import Batch, Sample, StoredSource, collate, padding_px
from vocr_cli.core.decoding.ctc import ctc_greedy
from vocr_cli.core.decoding.greedy import DecodeOptions, greedy
from vocr_cli.core.decoding.incremental import make_incremental_decoder
from vocr_cli.core.errors import DataError
from vocr_cli.core.machine.memory import keep_heap
from vocr_cli.core.machine.precision import choose_device
from vocr_cli.core.models.files import ModelFile, build_module
from vocr_cli.core.models.layers.attention import set_attention
from vocr_cli.core.models.layers.recompute import set_recompute
from vocr_cli.core.models.vietocr.constants import EOS, SOS
from vocr_cli.core.models.vietocr.convseq2seq import ConvSeq2Seq
from vocr_cli.core.models.vietocr.language_transformer import LanguageTransformer
from vocr_cli.core.models.vietocr.recognizer import VietocrRecognizer
from vocr_cli.core.models.vietocr.seq2seq import Seq2Seq
from vocr_cli.core.training.initial_weights import choose_dtype, load_init, transfer
from vocr_cli.core.training.sources import open_run_lines
from vocr_cli.core.training.step.objective import autocast, make_objective, to_model_input

VIETOCR_LINES = 32
"""Lines of a batch in VietOCR's configs."""


@dataclass(frozen=True)
class Means:
    """What is added to VietOCR's way; pre-scaled data are other data."""

    kept_memory: bool = False
    flushed: bool = False
    amp: bool = False
    channels_last: bool = False
    buckets: bool = False
    sdpa: bool = False
    recompute: bool = False
    workers: int = 0


@dataclass(frozen=True)
class Taken:
    """One training step: its lines, their widths in px together, seconds of waiting for data, its loss."""

    lines: int
    width_px: int
    waited_s: float
    loss: float


def cluster_batches(widths: np.ndarray, lines: int, seed: tuple[int, ...]) -> list[np.ndarray]:
    """An epoch as VietOCR's ClusterRandomSampler makes it: full batches of one width, the rest left out.

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
        same = rng.permutation(np.flatnonzero(widths == width))
        batches += [same[start : start + lines] for start in range(0, len(same) - lines + 1, lines)]
    if not batches:
        raise DataError(
            f"No {lines} lines have one width, so VietOCR's sampler makes no batch of them.",
            "Name more lines with --data.",
        )
    return [batches[place] for place in rng.permutation(len(batches))]


class BaselineTraining:
    """Trains VietOCR's way.

    Args:
        config: Model, image settings, data, `optim.lr`, seed, and `train.max_steps` for the schedule.
        lines: B.
        device: auto, cpu or cuda.
        init: A model to start from, or None.
        means: What is added to the way.
    """

    def __init__(
        self, config: Config, lines: int, device: str, init: str | None = None, means: Means | None = None
    ) -> None:
        means = means or Means()
        self.config, self.means, self.lines = config, means, lines
        torch.manual_seed(config.train.seed)
        place = choose_device(device)
        self.device = torch.device(place)
        if means.kept_memory and place == "cpu":
            keep_heap()
        torch.set_flush_denormal(means.flushed and place == "cpu")
        self.dtype = choose_dtype("auto", place) if means.amp else torch.float32
        opened = open_run_lines(config)
        source = opened.train[0]
        assert isinstance(source, StoredSource)
        self.source, self.charset = source, opened.charset
        self.module = build_module(config.model, config.image, self.charset)
        set_attention(self.module, "sdpa" if means.sdpa else "plain")
        set_recompute(self.module, ("all",) if means.recompute else ())
        if init is not None:
            transfer(load_init(init, config), self.module, self.charset, config)
        layout = torch.channels_last if means.channels_last else torch.contiguous_format
        self.module.to(self.device, memory_format=layout)  # type: ignore[call-overload]
        self.objective = make_objective(config, self.charset, self.device, self.dtype)
        self.optimizer = torch.optim.AdamW(
            self.module.parameters(), lr=config.optim.lr, betas=(0.9, 0.98), eps=1e-9
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, config.optim.lr, total_steps=config.train.max_steps + 1, pct_start=0.1
        )
        self._batches = self._loader()

    def step(self) -> Taken:
        """One step, in the order of VietOCR's Trainer."""
        asked = time.perf_counter()
        batch = next(self._batches)
        waited = time.perf_counter() - asked
        self.module.train()
        loss = self.loss(batch)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        return Taken(len(batch.texts), int(batch.columns.sum()) * COLUMN_PX, waited, loss.item())

    def loss(self, batch: Batch) -> Tensor:
        """Mean loss of a batch."""
        images = to_model_input(batch.images, self.device, self.means.channels_last)
        total, count = self.objective.loss(self.module, images, batch)
        return total / count

    def model(self) -> ModelFile:
        """What was trained so far."""
        return ModelFile(self.module.eval(), self.config.model, self.config.image, self.charset)

    def _loader(self) -> Iterator[Batch]:
        return iter(
            DataLoader(
                _Decoded(self.source),
                batch_sampler=_Epochs(self._epoch),
                collate_fn=partial(collate, bucket_px=padding_px(self.config)),
                num_workers=self.means.workers,
                generator=torch.Generator(),
            )
        )

    def _epoch(self, number: int) -> list[np.ndarray]:
        if self.means.buckets:
            return list(self.source.plan(number))
        return cluster_batches(self.source.widths, self.lines, (self.config.train.seed, number))


class _Decoded(Dataset[Sample]):
    """Each line decoded and resized when it is asked for."""

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


class LineByLine:
    """Reads VietOCR's way.

    Args:
        model: The model; it is put on the device.
        device: Where.
        options: Steps at most; lines are not stopped for repeating themselves.
        cached: Whether the decoder keeps what it computed instead of going over its prefix again.
        lines: Read together, of one width, at most; 1: as VietOCR's Predictor does.
        dtype: Of the forward pass.
    """

    def __init__(
        self,
        model: ModelFile,
        device: torch.device,
        options: DecodeOptions,
        cached: bool = False,
        lines: int = 1,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._model, self._device, self._options = model, device, options
        self._lines, self._dtype = lines, dtype
        self._module = model.module.eval().to(device)
        set_attention(self._module, "plain")
        self._stepper = None
        if cached and isinstance(self._module, VietocrRecognizer):
            self._stepper = make_incremental_decoder(self._module, dtype, options.max_steps)

    @torch.inference_mode()
    def read(self, images: Sequence[Image.Image]) -> list[str]:
        """Texts of images of any sizes, in their order."""
        fitted = [fit_line(image, self._model.image) for image in images]
        texts = [""] * len(fitted)
        widths = [line.shape[1] for line in fitted]
        for places in batches_of_one_width(widths, self._model.image.height_px, 1 << 40, self._lines):
            lines = torch.from_numpy(np.stack([fitted[place] for place in places]))
            with autocast(self._device, self._dtype):
                read = self._read(to_model_input(lines, self._device, channels_last=False))
            for place, classes in zip(places, read, strict=True):
                texts[place] = self._model.charset.decode(classes)
        return texts

    def _read(self, images: Tensor) -> list[list[int]]:
        module = self._module
        if not isinstance(module, VietocrRecognizer):
            return [path.classes for path in ctc_greedy(module(images))]
        features, specials = module.features(images), module.config.specials
        if self._stepper is not None:
            found = [path.classes for path in greedy(self._stepper, features, self._options)]
        else:
            found = [_until_end(row) for row in prefix_tokens(module, features, self._options).tolist()]
        return [[number - specials + 1 for number in row if number >= specials] for row in found]


def prefix_tokens(module: VietocrRecognizer, features: Tensor, options: DecodeOptions) -> Tensor:
    """(B, T) best tokens, everything before a token computed again for it, until all lines have ended.

    VietOCR keeps the state of its recurrent decoder, which is kept here, too.
    """
    following = _decoder(module, features)
    tokens = torch.full((features.shape[1], 1), SOS, device=features.device)
    ended = torch.zeros(features.shape[1], dtype=torch.bool, device=features.device)
    for _ in range(options.max_steps):
        best = following(tokens).argmax(-1)
        tokens = torch.cat((tokens, best[:, None]), dim=1)
        ended |= best == EOS
        if bool(ended.all()):
            break
    return tokens[:, 1:]


def _decoder(module: VietocrRecognizer, features: Tensor) -> Callable[[Tensor], Tensor]:
    """(B, L) tokens so far to (B, C) logits of the next."""
    sequence = module.transformer
    if isinstance(sequence, LanguageTransformer):
        memory = sequence.encode(features)
        return lambda tokens: sequence.decode(tokens, memory)[:, -1]
    if isinstance(sequence, ConvSeq2Seq):
        keys, values = sequence.encoder(features)
        return lambda tokens: sequence.decoder(tokens, keys, values)[:, -1]
    return _recurrent(sequence, features)


def _recurrent(sequence: Seq2Seq, features: Tensor) -> Callable[[Tensor], Tensor]:
    memory, state = sequence.encoder(features)
    keys = sequence.decoder.attention.keys(memory)

    def following(tokens: Tensor) -> Tensor:
        nonlocal state
        logits, state = sequence.decoder(tokens[:, -1], state, memory, keys)
        return logits

    return following


def _until_end(tokens: list[int]) -> list[int]:
    return tokens[: tokens.index(EOS)] if EOS in tokens else tokens
