"""Reading measured in a process to itself: VietOCR's way, or the real pipeline."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch

from vocr_cli.core.bench.contestants.process import MeasuredProcess
from vocr_cli.core.bench.contestants.vietocr_reading import LineByLine
from vocr_cli.core.bench.contestants.vietocr_settings import VIETOCR_LINES
from vocr_cli.core.bench.inputs import choose_model
from vocr_cli.core.data.images.open_image import open_line
from vocr_cli.core.data.lmdb.store import LineStore
from vocr_cli.core.decoding.decode_options import DecodeOptions, reading_options
from vocr_cli.core.inference.inputs.sources import LineInput
from vocr_cli.core.inference.pipeline import read_all
from vocr_cli.core.inference.recognizer import Recognizer
from vocr_cli.core.machine.memory import freeze_loaded_objects
from vocr_cli.core.machine.precision import choose_device, good_precisions
from vocr_cli.core.machine.torch_dtypes import TORCH_DTYPES
from vocr_cli.core.models.files import ModelFile, build_module, load_model
from vocr_cli.core.models.vietocr.constants import EOS
from vocr_cli.core.models.vietocr.recognizer import VietocrRecognizer
from vocr_cli.core.text import Charset
from vocr_cli.core.training.record.usage import cpu_seconds, cpu_seconds_since

_NEVER = -1e9
_LAST_BIASES = ("fc.bias", "decoder.fc_out.bias")


@dataclass(frozen=True, kw_only=True)
class ReadOptimizations:
    """What is added to VietOCR's way of reading."""

    cached: bool = False
    batched: bool = False
    amp: bool = False


@dataclass(frozen=True, kw_only=True)
class ReadingTask:
    """What is read, and how.

    Attributes:
        model: As `choose_model` takes it. One without trained weights never ends a line, so that all ways
            write as many characters: those of the mean label.
        data: A database.
        lines: How many of its first lines.
        optimizations: What is added to VietOCR's way; None: the real pipeline in the fastest good precision.
        device: auto, cpu or cuda.
        threads: Processors.
    """

    model: str
    data: Path
    lines: int
    optimizations: ReadOptimizations | None
    device: str
    threads: int


@dataclass(frozen=True)
class ReadingFacts:
    """Where and how a contestant reads.

    Attributes:
        device: cpu or cuda.
        dtype: Number format of the forward pass.
    """

    device: str
    dtype: str


@dataclass(frozen=True)
class ReadingRound:
    """One reading of all lines, from stored bytes to text.

    Attributes:
        seconds: By the clock.
        cpu_s: Of all processes; None: the system does not tell.
        texts: One a line.
    """

    seconds: float
    cpu_s: float | None
    texts: tuple[str, ...]


class ReadingProcess(MeasuredProcess):
    """The process of one way to read.

    Raises:
        VocrError: Model or data cannot be used.
    """

    facts: ReadingFacts

    def __init__(self, name: str, task: ReadingTask) -> None:
        super().__init__(_Reading, task, name)

    def read(self) -> ReadingRound:
        """Read all lines once."""
        return cast(ReadingRound, self.ask("read"))


class _Reading:
    """A way to read, within the process."""

    def __init__(self, task: ReadingTask) -> None:
        torch.set_num_threads(task.threads)
        self._task = task
        self._store = LineStore(task.data)
        self._indices = range(min(task.lines, len(self._store)))
        labels = [self._store.text(index) for index in self._indices]
        model, trained = reading_model(task.model)
        device = choose_device(task.device)
        options = options_of(model)
        if not trained:
            steps = round(sum(map(len, labels)) / len(labels)) + 1
            options = options.model_copy(update={"max_steps": steps, "repetition_steps": 0})
        if task.optimizations is None:
            self._recognizer = Recognizer.of(model, task.device, "auto", task.threads, decode_options=options)
            dtype = self._recognizer.engine.precision
        else:
            dtype = good_precisions(device)[-1] if task.optimizations.amp else "fp32"
            self._baseline = LineByLine(
                model,
                torch.device(device),
                options,
                cached=task.optimizations.cached,
                lines=VIETOCR_LINES if task.optimizations.batched else 1,
                dtype=TORCH_DTYPES[dtype],
            )
        freeze_loaded_objects()
        self.facts = ReadingFacts(device, dtype)

    def read(self) -> ReadingRound:
        cpu_s, began = cpu_seconds(), time.perf_counter()
        texts = self._pipeline() if self._task.optimizations is None else self._line_by_line()
        seconds = time.perf_counter() - began
        return ReadingRound(seconds, cpu_seconds_since(cpu_s), tuple(texts))

    def _pipeline(self) -> list[str]:
        lines = [LineInput(str(index), (self._store, index)) for index in self._indices]
        results = read_all(self._recognizer, lines, workers=None if self._task.threads > 1 else 0)
        return [result.reading.text if result.reading else "" for result in results]

    def _line_by_line(self) -> list[str]:
        images = (open_line(self._store[index].image) for index in self._indices)
        if self._task.optimizations and self._task.optimizations.batched:
            return self._baseline.read(list(images))
        return [self._baseline.read([image])[0] for image in images]


def options_of(model: ModelFile) -> DecodeOptions:
    """Return how models read that write step by step; CTC models have no use for it."""
    if model.config.HEAD == "ctc":
        return DecodeOptions()
    return reading_options(model.charset, model.config.special_classes)


def reading_model(name: str) -> tuple[ModelFile, bool]:
    """Return a model, and whether its weights were trained; random ones never end a line.

    Raises:
        VocrError: There is no such model.
    """
    choice = choose_model(name)
    if choice.init is not None:
        return load_model(choice.init), True
    config, charset = choice.config, Charset(choice.config.charset.characters)
    torch.manual_seed(0)
    module = build_module(config.model, config.image, charset).eval()
    if isinstance(module, VietocrRecognizer):
        for key, value in module.transformer.named_parameters():
            if key in _LAST_BIASES:
                value.data[EOS] = _NEVER
    return ModelFile(module, config.model, config.image, charset), False
