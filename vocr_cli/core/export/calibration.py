"""The lines that set the ranges of int8 activations: those of the user, or rendered ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from vocr_cli.core.config.tree import SynthConfig
from vocr_cli.core.data.images.fit import fit_line
from vocr_cli.core.errors import DataError, VocrError
from vocr_cli.core.inference.inputs.sources import load_data
from vocr_cli.core.models.files import ModelFile
from vocr_cli.core.synth.source import LineSource

CALIBRATION_LINES = 300


def rendered_lines(model: ModelFile) -> Iterator[np.ndarray]:
    """Rendered lines of the model's characters, each (H, W, channels) uint8."""
    source = LineSource(SynthConfig(), model.charset, model.image.channels)
    for index in range(CALIBRATION_LINES):
        yield fit_line(source.line(index).image, model.image)


def read_lines(model: ModelFile, data: Path, on_unreadable: Callable[[VocrError], None]) -> list[np.ndarray]:
    """The first lines of an annotation file, a folder or a database, each (H, W, channels) uint8.

    Args:
        model: Its image settings size the lines.
        data: Where they are.
        on_unreadable: Called for each line that is left out.

    Raises:
        DataError: None can be read.
    """
    lines = []
    for entry in load_data(data, CALIBRATION_LINES):
        try:
            lines.append(fit_line(entry.line.load()[1], model.image))
        except VocrError as error:
            on_unreadable(error)
    if not lines:
        raise DataError(f"No line of {data} can be read.", "Name other lines with --calibrate.")
    return lines
