"""A run of `vocr infer`, from the request to the written readings."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vocr_cli.core.inference.backends.auto_backend import choose_backend, device_for
from vocr_cli.core.inference.backends.backend import Backend
from vocr_cli.core.inference.inputs.inputs import Inputs
from vocr_cli.core.inference.int8_companion import digest_of
from vocr_cli.core.inference.model_source import ModelSource
from vocr_cli.core.inference.outputs.journal import begun_backend
from vocr_cli.core.inference.outputs.output import Output, OutputFormat
from vocr_cli.core.inference.pipeline import LineResult, read_all, section_lines
from vocr_cli.core.inference.prepare import without_page
from vocr_cli.core.inference.recognizer_options import RecognizerOptions as RecognizerOptions
from vocr_cli.core.inference.single_lines import WORTH_PROCESSES_LINES, reading_processes
from vocr_cli.core.machine.hardware import usable_cores
from vocr_cli.core.machine.memory import freeze_loaded_objects
from vocr_cli.core.machine.precision import DeviceName
from vocr_cli.core.machine.threads import may_fork
from vocr_cli.core.models.calibration import calibration_path

if TYPE_CHECKING:
    from vocr_cli.core.inference.cache.result_cache import ResultCache
    from vocr_cli.core.inference.recognizer import Recognizer
    from vocr_cli.core.inference.single_lines import ReadingProcesses

_KILLED_REMEDY = "Give fewer of them with --threads; a run with --out goes on with --resume."

OnCount = Callable[[int], None]
"""Told a number of lines."""

OnNote = Callable[[str], None]
"""Told a sentence for the user."""


@dataclass(frozen=True, kw_only=True)
class ReadRequest:
    """What is to be read, with what, and where the readings go.

    Attributes:
        inputs: The lines, or the shard of them that this run reads.
        recognizer: The model and how it reads.
        device: auto, cpu or cuda.
        workers: Threads that open images ahead, or recognisers of a Ray cluster; 0: as suits the machine.
        output_format: Of the readings.
        out: The file that the readings are written to; None: the caller shows them.
        errors: The file that lists unreadable inputs; None: none does.
        resume: Whether to go on where an interrupted run with this `out` was.
        cache: The folder of a result cache; None: there is none.
        cache_bytes: The cache's size, at most.
        engine: What reads: this process, or a Ray cluster. The latter takes no `resume` and no `cache`.
    """

    inputs: Inputs
    recognizer: RecognizerOptions = field(default_factory=RecognizerOptions)
    device: str = "auto"
    workers: int = 0
    output_format: OutputFormat = "tsv"
    out: Path | None = None
    errors: Path | None = None
    resume: bool = False
    cache: Path | None = None
    cache_bytes: int = 1 << 30
    engine: Literal["local", "ray"] = "local"


class ReadRun:
    """A run that is ready to read: the model is loaded, the output files are open.

    Args:
        inputs: The lines.
        output: Takes the results.
        read: Gives the results, in the order of the inputs; it is handed what to tell how many are done.
        cache: Closed at the end.
        processes: Closed at the end.
        empty_is_error: Whether no line at all is an error that only shows at the end.

    Attributes:
        output: What went through, and what was done before.
    """

    def __init__(
        self,
        inputs: Inputs,
        output: Output,
        read: Callable[[OnCount], Iterator[LineResult]],
        *,
        cache: ResultCache | None = None,
        processes: ReadingProcesses | None = None,
        empty_is_error: bool = False,
    ) -> None:
        self.output = output
        self._processes = processes
        self._inputs, self._read, self._cache = inputs, read, cache
        self._empty_is_error = empty_is_error

    def results(self, on_total: OnCount, on_done: OnCount) -> Generator[LineResult, None, None]:
        """Reads, writes and yields the results in the order of the inputs.

        Where it is closed or interrupted, what was written so far stays in FILE.partial.

        Args:
            on_total: Told, from another thread, how many lines are to be read, where that can be known.
            on_done: Told, as it goes, how many more lines are done.

        Raises:
            DataError: There is no line, or a file cannot be written.
        """
        with ExitStack() as at_end:
            for each in (self._cache, self._processes, self.output):
                if each is not None:
                    at_end.callback(each.close)
            if self.output.complete:
                return
            self._inputs.count(lambda total: on_total(total - self.output.resumed))
            for result in map(without_page, self._read(on_done)):
                self.output.add(result)
                yield result
            self.output.finish()
        if self._empty_is_error and not self.output.tally.lines:
            raise self._inputs.nothing()

    @property
    def cached_lines(self) -> int | None:
        """How many lines were found in the cache; None: there is none."""
        return None if self._cache is None else self._cache.hits

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know about the cache, after the run."""
        return () if self._cache is None else tuple(self._cache.notes)


def start_reading(request: ReadRequest, on_note: OnNote) -> ReadRun:
    """Loads the model and opens the output files.

    Args:
        request: What is to be read.
        on_note: Told what the user should know before the lines are read.

    Raises:
        VocrError: The model cannot be loaded, the inputs hold no line, a file cannot be written, or nothing
            that fits can be resumed.
    """
    return _read_on_ray(request) if request.engine == "ray" else _read_locally(request, on_note)


def _read_locally(request: ReadRequest, on_note: OnNote) -> ReadRun:
    """Reads in this process, and in others that it forks."""
    options, inputs = request.recognizer, request.inputs
    lines = inputs.lines()
    source = options.source()
    threads = usable_cores() if options.threads is None else options.threads
    precision, runtime, why = _asked_or_begun(request, source)
    device = device_for(request.device, precision, runtime, source)
    forks = False
    if threads > 1 and not (request.cache or request.workers or inputs.come_by_stream) and may_fork():
        first = list(islice(lines, WORTH_PROCESSES_LINES))
        forks, lines = len(first) == WORTH_PROCESSES_LINES, chain(first, lines)
    choice = choose_backend(
        source,
        device,
        precision,
        runtime,
        threads=threads,
        count_lines=inputs.known_count,
        time_lines=lambda backends: _timed(options, source, device, backends),
        in_processes=forks,
    )
    chosen = replace(options, precision=choice.backend.precision, runtime=choice.backend.runtime)
    recognizer = chosen.load(source, device)
    engine = recognizer.engine
    on_note(f"Precision {engine.precision} in {engine.runtime}: {why or choice.reason}.")
    for text in recognizer.notes:
        on_note(text)
    if recognizer.calibration is None and (unused := calibration_path(source.path)).is_file():
        on_note(f"Confidences are not calibrated: {unused} was fitted to other weights.")
    freeze_loaded_objects()
    cache, identity = _cache_and_identity(request, recognizer, source, choice.backend)
    section = section_lines(recognizer)
    output = Output(
        request.out,
        request.output_format,
        request.errors,
        {**identity, "section": section},
        section=section,
        reads_singly=engine.reads_singly,
        log_at_once=cache is not None or engine.device == "cpu",
        resume=request.resume,
    )
    if output.taken_over:
        on_note(f"Resumed: {output.taken_over:,} lines were done before.")
    # At last, since nothing may fail between this and the end of the run; before the run has threads.
    processes = reading_processes(recognizer, _KILLED_REMEDY) if forks else None

    def read(on_done: OnCount) -> Iterator[LineResult]:
        return read_all(
            recognizer,
            output.inputs(lines),
            request.workers or None,
            cache=cache,
            on_done=on_done,
            log=output.log,
            processes=processes,
        )

    return ReadRun(inputs, output, read, cache=cache, processes=processes)


def _cache_and_identity(
    request: ReadRequest, recognizer: Recognizer, source: ModelSource, backend: Backend
) -> tuple[ResultCache | None, dict[str, str | int]]:
    """Opens the cache, if one was asked for, and tells what readings depend on, where anything keeps them."""
    if not (request.cache or request.out):
        return None, {}
    from vocr_cli.core.inference.cache.identity import reading_identity

    options = request.recognizer
    identity = reading_identity(recognizer, source, options.allow, options.deny)
    if not request.cache:
        return None, identity
    from vocr_cli.core.inference.cache.kept_backend import keep_backend
    from vocr_cli.core.inference.cache.result_cache import ResultCache

    cache = ResultCache(request.cache, identity, request.cache_bytes)
    keep_backend(request.cache, digest_of(source.path), backend)
    return cache, identity


def _asked_or_begun(request: ReadRequest, source: ModelSource) -> tuple[str, str, str]:
    """What is to be read with: as asked for, or else as what there is already was read.

    Returns:
        Precision and runtime, `auto` where both are open, and why they are what they are; "": as asked for.
    """
    asked = request.recognizer.precision, request.recognizer.runtime
    if request.resume and request.out and (begun := begun_backend(request.out)):
        precision, runtime = (
            before if wanted == "auto" else wanted for before, wanted in zip(begun, asked, strict=True)
        )
        return precision, runtime, "" if (precision, runtime) == asked else "as the interrupted run"
    if request.cache and asked == ("auto", "auto"):
        from vocr_cli.core.inference.cache.kept_backend import kept_backend

        if (kept := kept_backend(request.cache, digest_of(source.path))) is not None:
            return kept.precision, kept.runtime, "as the readings in the cache"
    return *asked, ""


def _timed(
    options: RecognizerOptions, source: ModelSource, device: DeviceName, backends: Sequence[Backend]
) -> dict[Backend, float]:
    """Times ways of reading, by what few runs need to load."""
    from vocr_cli.core.inference.backends.backend_timing import time_backends

    return time_backends(options, source, device, backends)


def _read_on_ray(request: ReadRequest) -> ReadRun:
    """Reads on a Ray cluster."""
    from vocr_cli.core.inference.ray.engine import need_ray, read_with_ray

    need_ray()
    output = Output(request.out, request.output_format, request.errors, None)

    def read(on_done: OnCount) -> Iterator[LineResult]:
        paths = request.inputs.paths()
        return read_with_ray(paths, request.recognizer, request.workers, request.device, on_done)

    return ReadRun(request.inputs, output, read, empty_is_error=True)
