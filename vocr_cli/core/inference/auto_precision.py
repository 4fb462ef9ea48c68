"""`--precision auto` for many lines: the number formats are tried on a few, once for a model and machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from PIL import Image, ImageDraw, ImageFont

from vocr_cli.core.inference.known_speeds import (
    PrecisionChoice,
    by_speed,
    keep_speeds,
    kept_speeds,
    precision_without_timing,
    setting_of,
)
from vocr_cli.core.inference.model_source import ModelSource
from vocr_cli.core.inference.recognizer import Recognizer
from vocr_cli.core.machine.hardware import read_hardware
from vocr_cli.core.machine.precision import PrecisionName, choose_device, good_precisions

WORTH_TIMING_LINES = 2_000
"""Fewer lines are read before a better format could make good what finding it took."""

BUDGET_S = 2.0
SAMPLE_LINES = 24
_WARM_UP_LINES = 4
_SAMPLE_TEXT = "Cong ty TNHH Minh Khai, so 47 pho Hang Bai, Ha Noi: 1.250.000 d/thang, tu 03/2024 "


def choose_precision(
    source: ModelSource,
    device: str,
    requested: str,
    count_lines: Callable[[], int | None],
    *,
    threads: int | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> PrecisionChoice:
    """Chooses the precision that lines are best read in; many are worth a timing where none is kept.

    Args:
        source: The model's file.
        device: auto, cpu or cuda.
        requested: What was asked for; anything but `auto` is taken as it is.
        count_lines: Tells how many lines are to be read, None where nobody knows; asked only where a timing
            would tell more than is known.
        threads: Processors to use; None: all cores.
        clock: In seconds.

    Raises:
        VocrError: The model cannot be loaded.
    """
    if requested == "int8" and not read_hardware(torch_facts=False).cpu_int8:
        return PrecisionChoice(
            requested, "as asked for; summed in 16 bits by this CPU, it reads somewhat worse"
        )
    if requested != "auto":
        return PrecisionChoice(requested, "as asked for")
    if source.is_onnx:
        return PrecisionChoice("auto", "what the file holds")
    device_name = choose_device(device)
    threads = threads or read_hardware(torch_facts=False).cores
    candidates = good_precisions(device_name)
    setting = setting_of(source.path, device_name, threads)
    known = len(candidates) == 1 or set(candidates) <= set(kept_speeds(setting))
    if known or (count_lines() or 0) < WORTH_TIMING_LINES:
        return precision_without_timing(source.path, device_name, threads)
    readers = {name: Recognizer.load(source, device_name, name, threads) for name in candidates}
    images = sample_lines()
    passes = {
        name: (lambda count, reader=reader: reader.read(images[:count])) for name, reader in readers.items()
    }
    line_s = seconds_a_line(passes, clock)
    kept = keep_speeds(setting, line_s)
    return by_speed(
        line_s, device_name, "timed just now" if kept else "timed just now (and not kept: no cache folder)"
    )


def seconds_a_line(
    passes: Mapping[PrecisionName, Callable[[int], object]],
    clock: Callable[[], float] = time.perf_counter,
    budget_s: float = BUDGET_S,
) -> dict[PrecisionName, float]:
    """Times each pass: seconds a line, the least of several rounds, since what else runs only adds to it.

    The rounds come after a warm-up, alternate in order so that all meet the same load, and are of as many
    lines as leave time for two. One is made whatever it takes, others while the budget lasts.

    Args:
        passes: What reads so many lines, at most `SAMPLE_LINES`.
        clock: In seconds.
        budget_s: For all together, warm-up included.
    """
    end = clock() + budget_s
    slowest = max(_took(clock, run, _WARM_UP_LINES) for run in passes.values()) / _WARM_UP_LINES
    affordable = int((end - clock()) / max(2 * len(passes) * slowest, 1e-9))
    count = min(max(affordable, _WARM_UP_LINES), SAMPLE_LINES)
    taken: dict[PrecisionName, list[float]] = {name: [] for name in passes}
    order = list(passes)
    while not taken[order[0]] or clock() < end:
        for name in order:
            taken[name].append(_took(clock, passes[name], count))
        order.reverse()
    return {name: min(seconds) / count for name, seconds in taken.items()}


def _took(clock: Callable[[], float], run: Callable[[int], object], count: int) -> float:
    began = clock()
    run(count)
    return clock() - began


def sample_lines() -> list[Image.Image]:
    """Draws `SAMPLE_LINES` lines of 20 to 43 characters, 36 px high, mode L; models read and end them."""
    font = ImageFont.load_default(26)
    images = []
    for number in range(SAMPLE_LINES):
        length = 20 + 7 * number % SAMPLE_LINES  # the first few are as long as all
        text = (_SAMPLE_TEXT * 2)[3 * number :][:length].strip()
        image = Image.new("L", (round(font.getlength(text)) + 12, 36), 250)
        ImageDraw.Draw(image).text((6, 2), text, 20, font)
        images.append(image)
    return images
