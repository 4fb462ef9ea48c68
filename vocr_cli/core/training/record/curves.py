"""curves.png: how a run went, from its events.jsonl, over all the times that it was resumed."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vocr_cli.core.machine.atomic_write import atomic_write
from vocr_cli.core.training.record.plot import Panel, Points, Series, draw_panels

_WIDTH_PX, _HEIGHT_PX = 1280, 860
_BLUE, _PALE, _RED, _GREEN, _LIGHT, _GREY = (
    "#2563eb", "#bfd3fb", "#dc2626", "#16a34a", "#bbe7cb", "#9ca3af",
)  # fmt: skip
_FEWEST = 5  # points that are smoothed together
_DRAWN = {
    "StepDone": ("loss", "learning_rate", "lines_per_s"),
    "Validated": ("loss", "cer", "train_cer"),
}


def draw_curves(events: Path, picture: Path) -> None:
    """Draws the losses, the CER, the learning rate and the speed over the steps of a run.

    Args:
        events: The run's events.jsonl.
        picture: A PNG, replaced in one go.

    Raises:
        OSError: One cannot be read, or the other not be written.
    """
    curves = read_curves(events)
    training, speed = curves["StepDone.loss"], curves["StepDone.lines_per_s"]
    cer = [Series("validation", curves["Validated.cer"], _RED, dots=True)]
    if curves["quick.cer"]:
        cer.append(Series("quick look", curves["quick.cer"], _GREY, dots=True))
    trained = curves["Validated.train_cer"]  # of one batch each time: now hard lines, now easy ones
    shown = smoothed(trained, log=True)
    cer += [Series("", trained, _PALE, faint=True), Series("lines trained on", shown, _BLUE)]
    panels = [
        Panel(
            "Loss",
            (
                Series("", training, _PALE, faint=True),
                Series("training", smoothed(training, log=True), _BLUE),
                Series("validation", curves["Validated.loss"], _RED, dots=True),
            ),
            "{:g}".format,
            log=True,
        ),
        Panel("CER", tuple(cer), _percent, log=True),
        Panel("Learning rate", (Series("", curves["StepDone.learning_rate"], _GREEN),), _power),
        Panel(
            "Lines/s",
            (Series("", speed, _LIGHT, faint=True), Series("", smoothed(speed), _GREEN)),
            "{:g}".format,
            from_zero=True,
        ),
    ]
    with atomic_write(picture, only_writer=True) as temporary:
        draw_panels(panels, 2, _WIDTH_PX, _HEIGHT_PX).save(temporary, "PNG")


def read_curves(events: Path) -> dict[str, Points]:
    """The points of every curve, named EVENT.FIELD, by step; `quick.cer`: of quick validations.

    Where a run went back to a checkpoint, what it did twice is taken from the last time.
    """
    curves: dict[str, Points] = defaultdict(list)
    for event in _events(events):
        name, step = str(event.get("event")), event.get("step")
        if not isinstance(step, int):
            continue
        if name == "Started":
            for points in curves.values():
                while points and points[-1][0] > step:
                    points.pop()
        quick = event.get("full") is False
        for key in _DRAWN.get(name, ()) if event.get("lines") else ():
            value = event.get(key)
            if isinstance(value, int | float) and not (quick and key == "loss"):
                curve = "quick.cer" if quick and key == "cer" else f"{name}.{key}"
                curves[curve].append((step, value))
    return curves


def _events(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a file; a line that a killed run left half written is none."""
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                yield event


def smoothed(points: Points, log: bool = False) -> Points:
    """A straight line through each point's neighbours, a twelfth of all (Cleveland, 1979, unweighted).

    Unlike a running mean it does not lag behind a curve that falls, nor at the ends.

    Args:
        points: Of any distance from each other.
        log: Fits logarithms, of what is above 0, for a logarithmic axis.
    """
    points = [point for point in points if point[1] > 0 or not log]
    if len(points) < _FEWEST:
        return points
    values = np.array([value for _, value in points])
    values = np.log(values) if log else values
    index = np.arange(len(values), dtype=float)
    span = max(_FEWEST, len(values) // 12)
    start = np.clip(index.astype(int) - span // 2, 0, len(values) - span)

    def mean(of: np.ndarray) -> np.ndarray:
        sums: np.ndarray = np.concatenate(([0.0], of.cumsum()))
        return (sums[start + span] - sums[start]) / span

    centre = start + (span - 1) / 2
    slope = (mean(index * values) - centre * mean(values)) / ((span**2 - 1) / 12)
    fitted = mean(values) + slope * (index - centre)
    shown = np.exp(fitted) if log else fitted
    return [(step, float(value)) for (step, _), value in zip(points, shown, strict=True)]


def _percent(value: float) -> str:
    return f"{100 * value:.3g} %"


def _power(value: float) -> str:
    return f"{value:.1e}".replace("e-0", "e-") if value else "0"
