"""`--precision auto` for many lines: the number formats are tried on a few, once for a model and machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from vocr_cli.core.inference.known_speeds import (
    Choice,
    by_speed,
    keep_speeds,
    kept_speeds,
    setting_of,
    without_timing,
)
from vocr_cli.core.inference.recognizer import Recognizer
from vocr_cli.core.machine.hardware import read_hardware
from vocr_cli.core.machine.precision import PrecisionName, choose_device, good_precisions
from vocr_cli.core.models.spec import find_model, is_onnx

WORTH_TIMING_LINES = 2_000
"""Fewer are read sooner than a better format could make good what finding it took."""

BUDGET_S = 2.0
SAMPLE_LINES = 24
_WARM_UP_LINES = 4
_SAMPLE_TEXT = "Cong ty TNHH Minh Khai, so 47 pho Hang Bai, Ha Noi: 1.250.000 d/thang, tu 03/2024 "


def settle_precision(
    name_or_path: str | Path,
    device: str,
    requested: str,
    count_lines: Callable[[], int | None],
    config: str | None = None,
    threads: int | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Choice:
    """The precision that lines are best read in; many are worth a timing where none is kept.

    Args:
        name_or_path: The model, as for `Recognizer.load`.
        device: auto, cpu or cuda.
        requested: What was asked for; anything but `auto` is taken as it is.
        count_lines: Tells how many lines are to be read, None where nobody knows; asked only where a timing
            would tell more than is known.
        config: Of a VietOCR model.
        threads: Processors to use; None: all cores.
        clock: In seconds.

    Raises:
        VocrError: The model cannot be loaded.
    """
    if requested == "int8" and not read_hardware(torch_facts=False).cpu_int8:
        return Choice(requested, "as asked for; summed in 16 bits by this CPU, it reads somewhat worse")
    if requested != "auto":
        return Choice(requested, "as asked for")
    if is_onnx(name_or_path):
        return Choice("auto", "what the file holds")
    place = choose_device(device)
    threads = threads or read_hardware(torch_facts=False).cores
    file, candidates = find_model(name_or_path), good_precisions(place)
    setting = setting_of(file, place, threads)
    known = len(candidates) == 1 or set(candidates) <= set(kept_speeds(setting))
    if known or (count_lines() or 0) < WORTH_TIMING_LINES:
        return without_timing(file, place, threads)
    readers = {
        name: Recognizer.load(name_or_path, place, name, threads, config=config) for name in candidates
    }
    images = sample_lines()
    passes = {
        name: (lambda count, reader=reader: reader.read(images[:count])) for name, reader in readers.items()
    }
    line_s = seconds_a_line(passes, clock)
    kept = keep_speeds(setting, line_s)
    return by_speed(
        line_s, place, "timed just now" if kept else "timed just now (and not kept: no cache folder)"
    )


def seconds_a_line(
    passes: Mapping[PrecisionName, Callable[[int], object]],
    clock: Callable[[], float] = time.perf_counter,
    budget_s: float = BUDGET_S,
) -> dict[PrecisionName, float]:
    """Seconds a line of each pass, the least of several rounds: what else runs can only add to it.

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
    """`SAMPLE_LINES` lines of 20 to 43 printed characters, 36 px high, mode L; models read and end them."""
    font = ImageFont.load_default(26)
    images = []
    for number in range(SAMPLE_LINES):
        length = 20 + 7 * number % SAMPLE_LINES  # the first few are as long as all
        text = (_SAMPLE_TEXT * 2)[3 * number :][:length].strip()
        image = Image.new("L", (round(font.getlength(text)) + 12, 36), 250)
        ImageDraw.Draw(image).text((6, 2), text, 20, font)
        images.append(image)
    return images
