"""curves.png: how a run went, from its events.jsonl, over all the times that it was resumed."""

from __future__ import annotations

import json
import math
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vocr_cli.core.training.plot import Panel, Points, Series, draw_panels

_WIDTH_PX, _HEIGHT_PX = 1280, 860
_BLUE, _PALE, _RED, _GREEN, _LIGHT, _GREY = (
    "#2563eb", "#bfd3fb", "#dc2626", "#16a34a", "#bbe7cb", "#9ca3af",
)  # fmt: skip
_SMOOTHED, _FEW_SMOOTHED = 0.9, 0.7
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
    shown = _smoothed(trained, _FEW_SMOOTHED, log=True)
    cer += [Series("", trained, _PALE, faint=True), Series("lines trained on", shown, _BLUE)]
    panels = [
        Panel(
            "Loss",
            (
                Series("", training, _PALE, faint=True),
                Series("training", _smoothed(training, log=True), _BLUE),
                Series("validation", curves["Validated.loss"], _RED, dots=True),
            ),
            "{:g}".format,
            log=True,
        ),
        Panel("CER", tuple(cer), _percent, log=True),
        Panel("Learning rate", (Series("", curves["StepDone.learning_rate"], _GREEN),), _power),
        Panel(
            "Lines/s",
            (Series("", speed, _LIGHT, faint=True), Series("", _smoothed(speed), _GREEN)),
            "{:g}".format,
            from_zero=True,
        ),
    ]
    temporary = picture.with_name(f".{picture.name}.tmp")
    draw_panels(panels, 2, _WIDTH_PX, _HEIGHT_PX).save(temporary, "PNG")
    os.replace(temporary, picture)


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


def _smoothed(points: Points, keep: float = _SMOOTHED, log: bool = False) -> Points:
    """Moving average, exponential, that starts as a plain mean; `log`: geometric, of what is above 0.

    On a logarithmic axis a plain mean would stay far above a curve that falls.
    """
    mean = 0.0
    smooth: Points = []
    for step, value in points:
        if log and value <= 0:
            continue
        mean += ((math.log(value) if log else value) - mean) * max(1 - keep, 1 / (len(smooth) + 1))
        smooth.append((step, math.exp(mean) if log else mean))
    return smooth


def _percent(value: float) -> str:
    return f"{100 * value:.3g} %"


def _power(value: float) -> str:
    return f"{value:.1e}".replace("e-0", "e-") if value else "0"
