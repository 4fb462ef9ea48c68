"""Ways of reading are tried on a few drawn lines: how long each takes for a line."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import cycle, islice

from PIL import Image, ImageDraw, ImageFont

from vocr_cli.core.data.images.fit import fit_line
from vocr_cli.core.inference.backends.backend import Backend
from vocr_cli.core.inference.model_source import ModelSource
from vocr_cli.core.inference.recognizer import Recognizer
from vocr_cli.core.inference.recognizer_options import RecognizerOptions
from vocr_cli.core.machine.precision import DeviceName

BUDGET_S = 2.0
SAMPLE_LINES = 24
_WARM_UP_LINES = 4
_SAMPLE_TEXT = "Cong ty TNHH Minh Khai, so 47 pho Hang Bai, Ha Noi: 1.250.000 d/thang, tu 03/2024 "


def time_backends(
    options: RecognizerOptions,
    source: ModelSource,
    device: DeviceName,
    backends: Sequence[Backend],
    clock: Callable[[], float] = time.perf_counter,
) -> dict[Backend, float]:
    """Loads a model in each way, and measures seconds a line, on a GPU of full batches.

    Args:
        options: How it reads.
        source: Its file.
        device: Where it runs.
        backends: What is to be timed.
        clock: In seconds.

    Raises:
        VocrError: The model cannot be loaded.
    """
    readers = {
        backend: replace(options, precision=backend.precision, runtime=backend.runtime).load(source, device)
        for backend in backends
    }
    images = sample_lines()
    if device != "cpu":
        return _time_full_batches(readers, images, clock)
    passes = {
        backend: (lambda count, reader=reader: reader.read(images[:count]))
        for backend, reader in readers.items()
    }
    return seconds_a_line(passes, clock)


def _time_full_batches(
    readers: Mapping[Backend, Recognizer], images: Sequence[Image.Image], clock: Callable[[], float]
) -> dict[Backend, float]:
    """Times batches as a GPU gets them, their lines scaled before.

    Of a few lines all formats take as long: the time that it takes to ask for them.
    """
    some = next(iter(readers.values()))
    lines = [fit_line(image, some.image) for image in images]
    mean_px = sum(line.shape[0] * line.shape[1] for line in lines) / len(lines)
    count = max(len(lines), *(int(reader.batch_pixels / mean_px) for reader in readers.values()))
    batch = list(islice(cycle(lines), count))
    passes = {
        backend: (lambda count, reader=reader: reader.read_fitted(batch[:count]))
        for backend, reader in readers.items()
    }
    return seconds_a_line(passes, clock, full_lines=count)


def seconds_a_line(
    passes: Mapping[Backend, Callable[[int], object]],
    clock: Callable[[], float] = time.perf_counter,
    budget_s: float = BUDGET_S,
    full_lines: int | None = None,
) -> dict[Backend, float]:
    """Times each pass: seconds a line, the least of several rounds, since what else runs only adds to it.

    The rounds come after a warm-up, alternate in order so that all meet the same load, and are of as many
    lines as leave time for two. One is made whatever it takes, others while the budget lasts.

    Args:
        passes: What reads so many lines.
        clock: In seconds.
        budget_s: For all together, warm-up included.
        full_lines: Lines of a full batch, which every pass then is, one of warm-up included; None: as many as
            the time allows, at most `SAMPLE_LINES`.
    """
    end = clock() + budget_s
    slowest = max(_took(clock, run, full_lines or _WARM_UP_LINES) for run in passes.values()) / _WARM_UP_LINES
    affordable = int((end - clock()) / max(2 * len(passes) * slowest, 1e-9))
    count = full_lines or min(max(affordable, _WARM_UP_LINES), SAMPLE_LINES)
    taken: dict[Backend, list[float]] = {name: [] for name in passes}
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
