"""`vocr bench infer`: the same lines read in each precision, in turns, and by peers. N lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import cast

from PIL import Image

from vocr_cli.core.bench.contestants.peers.choice import installed_peers
from vocr_cli.core.bench.contestants.peers.vocr import Vocr
from vocr_cli.core.bench.contestants.recognizer import (
    ReadingPass,
    RecognizerFacts,
    RecognizerProcess,
    RecognizerTask,
)
from vocr_cli.core.bench.measure import (
    BenchReport,
    OnMessage,
    Spread,
    alternate,
    bench_setup,
    percentile,
    spread,
)
from vocr_cli.core.bench.suites.peers import PeersReport, cer_of, compare_peers
from vocr_cli.core.errors import DataError, VocrError
from vocr_cli.core.evaluation.metrics import Estimate
from vocr_cli.core.inference.backends.backend import Backend
from vocr_cli.core.inference.backends.known_speeds import keep_speeds, setting_of
from vocr_cli.core.inference.inputs.sources import DataLine
from vocr_cli.core.inference.loading import available_backends
from vocr_cli.core.machine.precision import PrecisionName, choose_device
from vocr_cli.core.models.spec import find_model

ROUNDS = 5
WARM_UP_PASSES = 2


@dataclass(frozen=True, kw_only=True)
class InferSettings:
    """What `bench_infer` measures.

    Attributes:
        model: An embedded model's name or a model file.
        device: auto, cpu or cuda.
        precisions: Those to measure; none: all that model and hardware allow.
        threads: Processors, for each side alike.
        against: Names of the peers that whole processes are compared with.
        install: Whether peers that are missing are installed.
        rounds: Rounds that count.
    """

    model: str
    device: str
    precisions: tuple[str, ...]
    threads: int
    against: tuple[str, ...] = ()
    install: bool = False
    rounds: int = ROUNDS


@dataclass(frozen=True, kw_only=True)
class PrecisionResult:
    """One precision. Rates in lines/s: `end_to_end` from files to text, `model` from fitted lines to text.

    `first_pass` is the end-to-end rate of the very first pass, before anything was warm.
    """

    facts: RecognizerFacts
    end_to_end: Spread
    model: Spread
    first_pass: float
    latency_ms_p50: float
    latency_ms_p95: float
    peak_memory_mb: float | None
    peak_cuda_mb: float | None
    cer: Estimate | None


@dataclass(frozen=True, kw_only=True)
class InferReport(BenchReport):
    """All of `vocr bench infer`.

    Attributes:
        data: What the lines are called.
        lines: N, without those that cannot be read.
        unreadable: Why others are left out.
        rounds: Rounds that count.
        warm_up_passes: Passes before them.
        precisions: One result each.
        peers: Whole processes, vocr's and the peers'; None: there was no peer to compare with.
    """

    data: str
    lines: int
    unreadable: tuple[str, ...]
    rounds: int
    warm_up_passes: int
    precisions: tuple[PrecisionResult, ...]
    peers: PeersReport | None


@dataclass(frozen=True)
class _Readable:
    """The lines that can be read, their images where they are wanted, and why others are left out."""

    lines: list[DataLine]
    images: list[Image.Image]
    unreadable: tuple[str, ...]


def bench_infer(
    data: Sequence[DataLine],
    data_name: str,
    settings: InferSettings,
    on_message: OnMessage = lambda message: None,
) -> InferReport:
    """Read the same N lines in each precision, in turns; then in whole processes, beside those of peers.

    All are held to `threads` processors. A round is one pass of each; before the rounds, each makes
    `WARM_UP_PASSES` passes. Images are in the system's file cache throughout.

    Args:
        data: N lines; CERs are given where all readable ones are labelled.
        data_name: What the report calls them.
        settings: Model, precisions, threads.
        on_message: Called with what is being done.

    Raises:
        DataError: No line can be read.
        DependencyError: A peer is asked for but missing.
        VocrError: The model cannot be loaded, or a peer failed.
    """
    peers = installed_peers(settings.against, settings.install, on_message)
    readable = _open(data, keep_images=bool(peers))
    labels = [entry.label for entry in readable.lines]
    with bench_setup(settings.model, settings.device, settings.threads) as setup:
        with ExitStack() as stack:
            processes = []
            for task in _tasks(settings, readable.lines):
                on_message(f"loading {task.precision}")
                processes.append(stack.enter_context(RecognizerProcess(task)))
            passes = _measure(processes, settings.rounds, on_message)
            results = tuple(
                _precision_result(process, its_passes, labels)
                for process, its_passes in zip(processes, passes, strict=True)
            )
        compared = None
        if peers:
            contestants = [Vocr(settings.model, settings.device), *peers]
            compared = compare_peers(contestants, readable.images, labels, settings.threads, on_message)
    _keep_speeds(settings, results)
    return InferReport(
        setup=setup,
        data=data_name,
        lines=len(labels),
        unreadable=readable.unreadable,
        rounds=settings.rounds,
        warm_up_passes=WARM_UP_PASSES,
        precisions=results,
        peers=compared,
    )


def _keep_speeds(settings: InferSettings, results: Sequence[PrecisionResult]) -> None:
    """Keep the speeds for `--precision auto`, where more than one way of reading was measured."""
    device = choose_device(settings.device)
    line_s = {
        Backend(row.facts.precision, row.facts.backend_runtime): 1 / row.model.median for row in results
    }
    if len(line_s) > 1:
        keep_speeds(setting_of(find_model(settings.model), device, settings.threads), line_s)


def _open(data: Sequence[DataLine], keep_images: bool) -> _Readable:
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
    return _Readable(readable, images, tuple(unreadable))


def _tasks(settings: InferSettings, lines: Sequence[DataLine]) -> Iterator[RecognizerTask]:
    for backend in _backends(settings):
        yield RecognizerTask(
            model=settings.model,
            device=settings.device,
            precision=backend.precision,
            runtime=backend.runtime,
            threads=settings.threads,
            lines=tuple(entry.line for entry in lines),
        )


def _backends(settings: InferSettings) -> list[Backend]:
    """What is to be measured: all that can be had, or of the precisions asked for what can."""
    backends = available_backends(settings.model, settings.device)
    chosen = [backend for backend in backends if backend.precision in settings.precisions]
    asked = [name for name in settings.precisions if name not in {backend.precision for backend in chosen}]
    missing = [  # loading them says why
        Backend(cast(PrecisionName, name), "onnxruntime" if name == "int8" else "torch") for name in asked
    ]
    return [*chosen, *missing] if settings.precisions else list(backends)


def _measure(
    processes: Sequence[RecognizerProcess], rounds: int, on_message: OnMessage
) -> list[list[ReadingPass]]:
    """Return the passes of each process, those of the warm-up first."""
    warm_up: list[list[ReadingPass]] = []
    for process in processes:
        on_message(f"warming up {process.name}")
        warm_up.append([process.read() for _ in range(WARM_UP_PASSES)])
    measured = alternate([process.read for process in processes], rounds, on_message)
    return [first + counted for first, counted in zip(warm_up, measured, strict=True)]


def _precision_result(
    process: RecognizerProcess, passes: Sequence[ReadingPass], labels: Sequence[str | None]
) -> PrecisionResult:
    counted = passes[WARM_UP_PASSES:]
    latencies = process.latencies()
    peak = process.peak()
    return PrecisionResult(
        facts=process.facts,
        end_to_end=spread([len(labels) / one.seconds for one in counted]),
        model=spread([len(labels) / one.model_seconds for one in counted]),
        first_pass=len(labels) / passes[0].seconds,
        latency_ms_p50=percentile(latencies, 0.5),
        latency_ms_p95=percentile(latencies, 0.95),
        peak_memory_mb=peak.resident_mb,
        peak_cuda_mb=peak.cuda_mb,
        cer=cer_of(labels, counted[-1].texts),
    )
