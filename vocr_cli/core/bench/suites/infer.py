"""The suites of `vocr bench`. N lines."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from vocr_cli import __version__
from vocr_cli.core.bench.contestants.recognizer import Contestant, Facts, Pass, Task
from vocr_cli.core.bench.contestants.tesseract import Tesseract
from vocr_cli.core.bench.measure import Machine, Spread, describe_machine, percentile, pinned, spread
from vocr_cli.core.errors import DataError, VocrError
from vocr_cli.core.evaluation.metrics import Estimate, score
from vocr_cli.core.inference.inputs.sources import DataLine
from vocr_cli.core.inference.known_speeds import keep_speeds, setting_of
from vocr_cli.core.inference.loading import available_precisions
from vocr_cli.core.machine.precision import choose_device, good_precisions
from vocr_cli.core.models.spec import find_model, is_onnx

ROUNDS = 5
WARM_UP_PASSES = 2


@dataclass(frozen=True)
class InferSettings:
    """What `bench_infer` measures."""

    model: str
    device: str
    precisions: tuple[str, ...]
    threads: int
    batch_pixels: int | None
    against_tesseract: bool
    rounds: int = ROUNDS
    config: str | None = None


@dataclass(frozen=True)
class PrecisionResult:
    """One precision. Rates in lines/s: `end_to_end` from files to text, `model` from fitted lines to text.

    `first_pass` is the end-to-end rate of the very first pass, before anything was warm. `times_tesseract`
    compares with Tesseract's start-up taken off.
    """

    facts: Facts
    end_to_end: Spread
    model: Spread
    first_pass: float
    latency_ms_p50: float
    latency_ms_p95: float
    peak_memory_mb: float | None
    peak_cuda_mb: float | None
    cer: Estimate | None
    times_tesseract: float | None


@dataclass(frozen=True)
class TesseractResult:
    """Tesseract: lines/s with its start-up taken off, and as a whole; its start-up in s."""

    version: str
    lines_per_s: Spread
    whole_run: Spread
    start_s: float
    cer: Estimate | None


@dataclass(frozen=True)
class InferReport:
    """All of `vocr bench infer`."""

    vocr: str
    machine: Machine
    model: str
    data: str
    lines: int
    unreadable: tuple[str, ...]
    threads: int
    pinned: bool
    rounds: int
    warm_up_passes: int
    precisions: tuple[PrecisionResult, ...]
    tesseract: TesseractResult | None

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists, numbers and strings, ready for `json.dump`."""
        return asdict(self)


def bench_infer(
    data: Sequence[DataLine],
    data_name: str,
    settings: InferSettings,
    on_step: Callable[[str], None] = lambda step: None,
) -> InferReport:
    """Reads the same N lines in each precision, and with Tesseract, in alternation.

    All are held to `threads` processors. A round is one pass of each; before the rounds, each makes
    `WARM_UP_PASSES` passes, and Tesseract one. Images are in the system's file cache throughout.

    Args:
        data: N lines; CERs are given where all readable ones are labelled.
        data_name: What the report calls them.
        settings: Model, precisions, threads.
        on_step: Told what is being done.

    Raises:
        DataError: No line can be read.
        DependencyError: Tesseract is asked for but missing.
        VocrError: The model cannot be loaded.
    """
    readable, images, unreadable = _open(data, settings.against_tesseract)
    labels = [entry.label for entry in readable]
    precisions = settings.precisions or available_precisions(settings.model, settings.device)
    with ExitStack() as stack:
        held = stack.enter_context(pinned(settings.threads))
        peer = None
        if settings.against_tesseract:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            peer = Tesseract(images, folder, settings.threads)
        contestants: list[Contestant] = []
        for precision in precisions:
            on_step(f"loading {precision}")
            lines = tuple(entry.line for entry in readable)
            task = Task(
                settings.model, settings.config, settings.device, precision, settings.threads,
                settings.batch_pixels, lines,
            )  # fmt: skip
            contestants.append(stack.enter_context(Contestant(task)))
        passes, peer_seconds, peer_texts, starts = _rounds(contestants, peer, settings.rounds, on_step)
        tesseract = None
        if peer is not None:
            tesseract = _tesseract_result(peer.version, peer_seconds, starts, peer_texts, labels)
        results = tuple(
            _precision_result(contestant, made, labels, tesseract)
            for contestant, made in zip(contestants, passes, strict=True)
        )
    _keep_speeds(settings, results)
    return InferReport(
        __version__, describe_machine(), settings.model, data_name, len(readable), unreadable,
        settings.threads, held, settings.rounds, WARM_UP_PASSES, results, tesseract,
    )  # fmt: skip


def _keep_speeds(settings: InferSettings, results: Sequence[PrecisionResult]) -> None:
    """Keeps the speeds for `--precision auto`, where all that it may take was measured."""
    place = choose_device(settings.device)
    line_s = {row.facts.precision: 1 / row.model.median for row in results}
    whole = set(good_precisions(place)) <= set(line_s) and len(good_precisions(place)) > 1
    if whole and settings.batch_pixels is None and not is_onnx(settings.model):
        setting = setting_of(find_model(settings.model), place, settings.threads)
        keep_speeds(setting, {name: line_s[name] for name in good_precisions(place)})


def _open(data: Sequence[DataLine], keep_images: bool) -> tuple[list[DataLine], list[Any], tuple[str, ...]]:
    """The readable lines, their images where wanted, and why others are left out."""
    readable, images, unreadable = [], [], []
    for entry in data:
        try:
            image = entry.line.load()[1]
        except VocrError as error:
            unreadable.append(error.problem)
            continue
        readable.append(entry)
        if keep_images:
            images.append(image)
    if not readable:
        raise DataError(
            f"None of {len(unreadable)} lines can be read: {'; '.join(unreadable[:1])}",
            "Name other lines with --data.",
        )
    return readable, images, tuple(unreadable)


def _rounds(
    contestants: Sequence[Contestant], peer: Tesseract | None, rounds: int, on_step: Callable[[str], None]
) -> tuple[list[list[Pass]], list[float], list[str], list[float]]:
    """Passes of each contestant, those of the warm-up first; Tesseract's times, texts and start-ups."""
    passes: list[list[Pass]] = [[] for _ in contestants]
    for contestant, made in zip(contestants, passes, strict=True):
        on_step(f"warming up {contestant.facts.precision}")
        made += [contestant.read() for _ in range(WARM_UP_PASSES)]
    seconds: list[float] = []
    starts: list[float] = []
    texts: list[str] = []
    if peer is not None:
        on_step("warming up tesseract")
        peer.read()
    for number in range(1, rounds + 1):
        on_step(f"round {number} of {rounds}")
        for contestant, made in zip(contestants, passes, strict=True):
            made.append(contestant.read())
        if peer is not None:
            starts.append(peer.start())
            elapsed, texts = peer.read()
            seconds.append(elapsed)
    return passes, seconds, texts, starts


def _precision_result(
    contestant: Contestant,
    passes: Sequence[Pass],
    labels: Sequence[str | None],
    tesseract: TesseractResult | None,
) -> PrecisionResult:
    counted = passes[WARM_UP_PASSES:]
    latencies = contestant.latencies()
    peak = contestant.peak()
    end_to_end = spread([len(labels) / made.seconds for made in counted])
    return PrecisionResult(
        contestant.facts,
        end_to_end,
        spread([len(labels) / made.model_seconds for made in counted]),
        len(labels) / passes[0].seconds,
        percentile(latencies, 0.5),
        percentile(latencies, 0.95),
        peak.resident_mb,
        peak.cuda_mb,
        _cer(labels, counted[-1].texts),
        end_to_end.median / tesseract.lines_per_s.median if tesseract else None,
    )


def _tesseract_result(
    version: str,
    seconds: Sequence[float],
    starts: Sequence[float],
    texts: Sequence[str],
    labels: Sequence[str | None],
) -> TesseractResult:
    start = median(starts)
    without_start = [len(texts) / max(elapsed - start, 1e-9) for elapsed in seconds]
    whole = [len(texts) / elapsed for elapsed in seconds]
    return TesseractResult(version, spread(without_start), spread(whole), start, _cer(labels, texts))


def _cer(labels: Sequence[str | None], texts: Sequence[str]) -> Estimate | None:
    known = [label for label in labels if label is not None]
    return score(known, texts).cer if len(known) == len(labels) else None
