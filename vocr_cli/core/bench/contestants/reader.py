"""Reading measured in a process of its own: VietOCR's way, or the real pipeline."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch

from vocr_cli.core.bench.contestants.process import Remote
from vocr_cli.core.bench.contestants.vietocr_baseline import VIETOCR_LINES, LineByLine
from vocr_cli.core.bench.inputs import choose_candidate
from vocr_cli.core.data.images.images import open_line
from vocr_cli.core.data.lmdb.store import LineStore
from vocr_cli.core.decoding.greedy import DecodeOptions
from vocr_cli.core.decoding.reading_options import reading_options
from vocr_cli.core.inference.engines.vietocr import Seq2SeqEngine
from vocr_cli.core.inference.inputs.sources import LineInput
from vocr_cli.core.inference.pipeline import read_all
from vocr_cli.core.inference.recognizer import Recognizer
from vocr_cli.core.machine.memory import set_loaded_aside
from vocr_cli.core.machine.precision import TORCH_DTYPES, choose_device, good_precisions
from vocr_cli.core.models.files import ModelFile, build_module, load_model
from vocr_cli.core.models.vietocr.constants import EOS
from vocr_cli.core.models.vietocr.recognizer import VietocrRecognizer
from vocr_cli.core.text import Charset
from vocr_cli.core.training.record.usage import cpu_seconds

_NEVER = -1e9
_LAST_BIASES = ("fc.bias", "decoder.fc_out.bias")


@dataclass(frozen=True)
class ReadMeans:
    """What is added to VietOCR's way of reading."""

    cached: bool = False
    batched: bool = False
    amp: bool = False


@dataclass(frozen=True)
class ReadTask:
    """What is read, and how.

    Attributes:
        model: As `choose_candidate` takes it. One without trained weights never ends a line, so that all ways
            write as many characters: those of the mean label.
        data: A database.
        lines: How many of its first lines.
        means: What is added to VietOCR's way; None: the real pipeline in the fastest good precision.
        device: auto, cpu or cuda.
        threads: Processors.
    """

    model: str
    data: Path
    lines: int
    means: ReadMeans | None
    device: str
    threads: int


@dataclass(frozen=True)
class ReadRound:
    """One reading of all lines, from stored bytes to text."""

    seconds: float
    cpu_s: float
    texts: tuple[str, ...]


class ReadContestant(Remote):
    """The process of one way to read.

    Raises:
        VocrError: Model or data cannot be used.
    """

    def __init__(self, name: str, task: ReadTask) -> None:
        self.name = name
        super().__init__(_Reading, task)

    def read(self) -> ReadRound:
        """Reads all lines once."""
        return cast(ReadRound, self.ask("read"))


class _Reading:
    """A way to read, within the process."""

    def __init__(self, task: ReadTask) -> None:
        torch.set_num_threads(task.threads)
        self._task = task
        self._store = LineStore(task.data)
        self._numbers = range(min(task.lines, len(self._store)))
        labels = [self._store.text(number) for number in self._numbers]
        model, trained = _model(task.model)
        place = choose_device(task.device)
        options = reading_options(model.charset, model.config.special_classes)
        if not trained:
            steps = round(sum(map(len, labels)) / len(labels)) + 1
            options = options.model_copy(update={"max_steps": steps, "repetition_steps": 0})
        if task.means is None:
            self._recognizer = Recognizer.of(model, task.device, "auto", task.threads)
            if isinstance(self._recognizer.engine, Seq2SeqEngine):
                self._recognizer.engine.options = options
        else:
            self._baseline = _by_means(model, task.means, torch.device(place), options)
        set_loaded_aside()
        self.facts = None

    def read(self) -> ReadRound:
        cpu_s, began = cpu_seconds(), time.perf_counter()
        texts = self._pipeline() if self._task.means is None else self._line_by_line()
        return ReadRound(time.perf_counter() - began, cpu_seconds() - cpu_s, tuple(texts))

    def _pipeline(self) -> list[str]:
        lines = [LineInput(str(number), (self._store, number)) for number in self._numbers]
        results = read_all(self._recognizer, lines, workers=None if self._task.threads > 1 else 0)
        return [result.reading.text if result.reading else "" for result in results]

    def _line_by_line(self) -> list[str]:
        if self._task.means and self._task.means.batched:
            return self._baseline.read([open_line(self._store[number].image) for number in self._numbers])
        return [self._baseline.read([open_line(self._store[number].image)])[0] for number in self._numbers]


def _by_means(model: ModelFile, means: ReadMeans, device: torch.device, options: DecodeOptions) -> LineByLine:
    dtype = torch.float32
    if means.amp:
        best = good_precisions("cuda" if device.type == "cuda" else "cpu")[-1]
        dtype = TORCH_DTYPES[best]
    lines = VIETOCR_LINES if means.batched else 1
    return LineByLine(model, device, options, means.cached, lines, dtype)


def _model(name: str) -> tuple[ModelFile, bool]:
    """The model, and whether its weights were trained."""
    chosen = choose_candidate(name)
    if chosen.init is not None:
        return load_model(chosen.init), True
    config, charset = chosen.config, Charset(chosen.config.charset.characters)
    torch.manual_seed(0)
    module = build_module(config.model, config.image, charset).eval()
    if isinstance(module, VietocrRecognizer):
        for key, value in module.transformer.named_parameters():
            if key in _LAST_BIASES:
                value.data[EOS] = _NEVER
    return ModelFile(module, config.model, config.image, charset), False
