"""What a model is read with where nobody says it: the soonest done for so many lines, on this machine.

On a CPU that is a model's int8 file where it has one, in ONNX Runtime, which starts at once, or in OpenVINO,
which takes longer to start and on processors with AMX less for each line. Formats of floating-point numbers
are taken where there is no such file, on a GPU, or where the processor reads int8 slower.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from vocr_cli.core.errors import ConfigError
from vocr_cli.core.inference.backends.backend import Backend, RuntimeName
from vocr_cli.core.inference.backends.known_speeds import keep_speeds, kept_speeds, setting_of
from vocr_cli.core.inference.engines.onnx import RUNTIMES, installed_runtimes
from vocr_cli.core.inference.engines.onnx_format import BACKBONE, MEMORY
from vocr_cli.core.inference.int8_companion import has_current_int8
from vocr_cli.core.inference.model_source import ModelSource
from vocr_cli.core.inference.onnx_files import onnx_description, part_of, read_metadata
from vocr_cli.core.machine.hardware import processor
from vocr_cli.core.machine.precision import (
    PRECISIONS,
    DeviceName,
    PrecisionName,
    check_choice,
    choose_device,
    cpu_sums_int8_exactly,
    good_precisions,
    resolve_precision,
)

WORTH_TIMING_LINES = 6_000
"""Fewer lines are read before a better way could make good what finding it took."""

WORTH_IT = 1.03
"""A coarser format must be faster by this factor: less may be chance, and fp32 is the more exact."""

START_S: dict[RuntimeName, float] = {"onnxruntime": 0.0, "openvino": 1.0, "torch": 1.3}
"""Seconds from the start to the first line, beyond those of ONNX Runtime."""

WORTH_MEMORY = 1.05
"""ONNX Runtime is taken where another is sooner by no more: it takes a third of the memory."""

TYPICAL_LINES = 1_000
"""So many are thought to come where nobody knows."""

TYPICAL_LINE_S = 0.004
"""Of an embedded model on one processor, where nothing was timed."""

AMX_GAIN = 0.75
"""Time a line that OpenVINO takes of ONNX Runtime's, on processors with AMX for int8."""

NO_GAIN = 1.05
"""The same on others."""

SMALL_MODEL_BYTES = 4 << 20
"""An int8 file of at most this size: twice that of vi-small, which was measured."""


@dataclass(frozen=True)
class BackendChoice:
    """What a model is read with, and in a few words why."""

    backend: Backend
    reason: str


def choose_backend(
    source: ModelSource,
    device: DeviceName,
    precision: str = "auto",
    runtime: str = "auto",
    *,
    threads: int,
    count_lines: Callable[[], int | None] = lambda: None,
    time_lines: Callable[[Sequence[Backend]], dict[Backend, float]] | None = None,
    in_processes: bool = False,
) -> BackendChoice:
    """Chooses number format and runtime of a model; many lines are worth a timing where none is kept.

    Args:
        source: The model's file.
        device: Where it is to run.
        precision: auto, or what was asked for.
        runtime: auto, or what was asked for.
        threads: Processors to use.
        count_lines: Tells how many lines are to be read, None where nobody knows; asked where it matters.
        time_lines: Measures seconds a line of each way of reading; None: nothing is timed now.
        in_processes: Whether many lines are read by forked processes, which ONNX Runtime allows: with a small
            model two of them are faster than two threads of OpenVINO, even with AMX.

    Raises:
        ConfigError: fp16 on a CPU, int8 on a GPU, or a runtime that does not compute in that format.
        ModelError: An ONNX file that is damaged, or not one of vocr's.
        DependencyError: An ONNX file, and no runtime for such files is installed.
    """
    candidates = _candidates(source, device, precision, runtime)
    if len(candidates) == 1:
        return BackendChoice(candidates[0], _only_reason(source, device, precision, runtime, candidates[0]))
    if in_processes and candidates[0].runtime == "onnxruntime" and _is_small(source):
        return BackendChoice(candidates[0], f"it starts at once, and {threads} processes read with it")
    kept = kept_speeds(source.path, device, threads)
    known = set(candidates) <= set(kept)
    lines = count_lines()
    if not known and time_lines is not None and (lines or 0) >= WORTH_TIMING_LINES:
        setting = setting_of(source.path, device, threads)
        line_s = time_lines(candidates)
        stored = keep_speeds(setting, {**kept, **line_s})
        how = "timed just now" if stored else "timed just now (and not kept: no cache folder)"
        return _by_speed(line_s, lines, how)
    if known:
        line_s = {backend: kept[backend] for backend in candidates}
        return _by_speed(line_s, lines, "timed on this machine before")
    return _by_flags(candidates, lines, threads, device)


def device_for(device: str, precision: str, runtime: str, source: ModelSource) -> DeviceName:
    """Resolves a device: with `auto`, what runs on a CPU only does so beside a GPU, too.

    Raises:
        ConfigError: There is no such device, number format or runtime.
    """
    check_choice("precision", precision, PRECISIONS)
    check_choice("runtime", runtime, ("auto", "torch", *RUNTIMES))
    on_cpu = precision == "int8" or runtime in RUNTIMES or source.is_onnx
    return choose_device("cpu" if device == "auto" and on_cpu else device)


def _candidates(source: ModelSource, device: DeviceName, precision: str, runtime: str) -> list[Backend]:
    """The ways that may be best, the first of them where nothing is known."""
    in_onnx = source.is_onnx or precision == "int8" or (precision == "auto" and has_current_int8(source))
    if device == "cpu" and in_onnx and runtime != "torch":
        stored: PrecisionName = "int8" if precision == "auto" else resolve_precision(precision, device)
        if precision == "auto" and source.is_onnx:
            stored = onnx_description(source.path, read_metadata(source.path))["precision"]
        runtimes = [name for name in installed_runtimes() if runtime in ("auto", name)]
        if _has_vgg(source):
            runtimes = runtimes[-1:]  # OpenVINO is faster on a VGG by more than it takes to start
        elif runtime == "auto" and stored == "int8" and not cpu_sums_int8_exactly():
            runtimes = runtimes[:1]  # ONNX Runtime has kernels that do not saturate
        missing: RuntimeName = "openvino" if runtime == "openvino" else "onnxruntime"
        return [Backend(stored, name) for name in runtimes] or [Backend(stored, missing)]
    if runtime == "torch" and (source.is_onnx or precision == "int8"):
        raise ConfigError("torch reads neither int8 nor .onnx files.", "Use runtime auto.")
    if runtime not in ("auto", "torch"):
        raise ConfigError(
            f"{runtime} reads int8 and .onnx files on the CPU.",
            "Use runtime auto, or precision int8.",
        )
    if precision != "auto":
        return [Backend(resolve_precision(precision, device), "torch")]
    return [Backend(name, "torch") for name in reversed(good_precisions(device))]


def _is_small(source: ModelSource) -> bool:
    """Whether Python's share of the time for a line is such that processes pay."""
    file = source.path if source.is_onnx else source.int8_path
    return file.is_file() and file.stat().st_size <= SMALL_MODEL_BYTES


def _has_vgg(source: ModelSource) -> bool:
    """Whether an ONNX file, or the int8 file of a model, holds a VietOCR model or the backbone of one."""
    path = source.path if source.is_onnx else source.int8_path
    if source.spec.is_embedded or not path.is_file():
        return False
    return bool(installed_runtimes()) and part_of(path) in (BACKBONE, MEMORY)


def _only_reason(
    source: ModelSource, device: DeviceName, precision: str, runtime: str, backend: Backend
) -> str:
    """Why the only candidate was taken."""
    if backend.precision == "int8" and not cpu_sums_int8_exactly():
        if backend.runtime == "openvino":
            return "as asked for; without VNNI this CPU may read int8 worse"
        return "this CPU has no VNNI: int8 products are summed exactly, which is slower"
    if precision != "auto" or runtime != "auto":
        return "as asked for"
    if source.is_onnx:
        return "what the file holds"
    if backend.runtime == "torch":
        return f"the one that this {device} runs well"
    return "the runtime that is installed"


def _by_speed(line_s: Mapping[Backend, float], lines: int | None, how: str) -> BackendChoice:
    """Chooses what is done soonest, start-up included."""
    expected = TYPICAL_LINES if lines is None else lines

    def seconds(backend: Backend) -> float:
        coarse = 1 if backend.precision == "fp32" else WORTH_IT
        return START_S[backend.runtime] + expected * line_s[backend] * coarse

    best = min(line_s, key=seconds)
    first = next(iter(line_s))
    if first.runtime == "onnxruntime" and seconds(first) <= WORTH_MEMORY * seconds(best):
        best = first
    shown = ", ".join(f"{backend} {1000 * line_s[backend]:.3g}" for backend in line_s)
    return BackendChoice(best, f"{how}, ms a line: {shown}")


def _by_flags(
    candidates: Sequence[Backend], lines: int | None, threads: int, device: DeviceName
) -> BackendChoice:
    """Chooses where nothing was ever timed."""
    first = candidates[0]
    if first.runtime == "torch":
        return BackendChoice(first, f"by what this {device} can do; not timed")
    gain = AMX_GAIN if "amx_int8" in processor()[1] else NO_GAIN
    first_s = (TYPICAL_LINES if lines is None else lines) * TYPICAL_LINE_S / threads
    if first_s > WORTH_MEMORY * (START_S["openvino"] + gain * first_s):
        return BackendChoice(candidates[-1], "by the flags of this CPU, for so many lines; not timed")
    return BackendChoice(first, "it starts at once; not timed")
