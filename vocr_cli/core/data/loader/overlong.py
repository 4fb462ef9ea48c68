"""Lines whose labels are too long for them: no stretching within bounds makes room for their characters."""

from __future__ import annotations

import numpy as np

from vocr_cli.core.config.tree import COLUMN_PX, Config
from vocr_cli.core.data.images.fit import planned_widths
from vocr_cli.core.data.loader.lines import Lines
from vocr_cli.core.data.loader.sample import needed_columns
from vocr_cli.core.data.readers.labelled import BadLine
from vocr_cli.core.errors import DataError
from vocr_cli.core.text import clean

_MOST_STRETCH = 3
"""A line may become so many times as wide for its label, even if that is beyond `image.max_width_px`."""


def overlong_lines(lines: Lines, config: Config) -> dict[int, BadLine]:
    """Finds labels that CTC could align only with a line stretched beyond all measure.

    Few labels are read for it: those that may be too long by their number of characters.

    Args:
        lines: To be trained on.
        config: Image settings, and the family; there are none in families that stretch no line.

    Returns:
        What is wrong with each such line, by its number among `lines`.
    """
    if config.model.EXACT_WIDTHS:
        return {}
    widths = planned_widths(lines.widths, lines.heights, config.image)
    most = np.maximum(config.image.max_width_px, _MOST_STRETCH * widths)  # (n,) px
    found = {}
    for number in np.flatnonzero(2 * COLUMN_PX * lines.label_lengths.astype(np.int64) > most).tolist():
        try:
            label = clean(lines.text(number))
        except DataError:
            continue  # it is told when the line comes up
        if (needed := needed_columns(label) * COLUMN_PX) > most[number]:
            source, place, name = lines.place(number)
            reason = (
                f"a label of {len(label):,} characters, which need {needed:,} px of width; "
                f"the line has {widths[number]:,}, and image.max_width_px is {config.image.max_width_px:,}"
            )
            found[number] = BadLine(place, reason, f"{name}\t{label}", source, "Cut the line, or its label.")
    return found
