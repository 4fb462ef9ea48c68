"""How engines turn what a model computes into text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Decoding:
    """What may be read, and how it is searched for.

    Attributes:
        mask: (C,) float32 of the charset: 0 for what may be read (the first stands for nothing, or the end),
            -inf for the rest; None: all may be read.
        beam: Hypotheses kept; 1: greedy.
        n_best: Alternatives given from a beam; few are found sooner than many.
    """

    mask: np.ndarray | None = None
    beam: int = 1
    n_best: int = 1
