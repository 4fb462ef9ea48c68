"""Whether weights are numbers: of a damaged file, or after training that diverged, some are none."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

DIVERGED = "It is damaged, or its training diverged: get it anew, or take an earlier checkpoint."


def not_finite(weights: Mapping[str, Tensor]) -> str:
    """Names the first weight that is not finite, as a clause; empty: all are.

    Args:
        weights: By name; those that are no floating point numbers count as finite.
    """
    for name, weight in weights.items():
        if weight.is_floating_point() and not weight.isfinite().all():
            return f"{name} holds what is no number (NaN or infinite)"
    return ""
