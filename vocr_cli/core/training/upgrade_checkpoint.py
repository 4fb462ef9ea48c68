"""Checkpoints of older versions of vocr, in the words of this one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FORMAT = 3
"""What this version writes. 1: sources stood where their workers stood. 2: other names for the keys."""

_KEYS = {
    "average": "ema",
    "average_steps": "ema_steps",
    "progress": "loop_state",
    "places": "source_positions",
}
_LOOP_STATE = {
    "without_better": "evals_without_improvement",
    "lowest": "best_monitored",
    "full_step": "last_full_validation_step",
    "validated_minutes": "last_validation_minutes",
    "validation_line_s": "validation_s_per_line",
    "skipped": "skipped_steps",
    "bad_in_a_row": "consecutive_skips",
    "returns": "rollbacks",
    "rate_scale": "lr_backoff",
    "plateau": "plateau_multiplier",
    "plateau_waited": "plateau_bad_evals",
    "split": "micro_batches",
}
_PARAM_GROUP = {"rate_share": "lr_scale"}


def upgrade_checkpoint(state: dict[str, Any]) -> dict[str, Any]:
    """Returns the checkpoint with the keys that this version writes.

    Args:
        state: What a checkpoint file holds. It is left as it is.

    Returns:
        A checkpoint of format 2 as one of `FORMAT`; any other one as it is.
    """
    if state.get("format") != 2:
        return state
    renamed = _renamed(state, _KEYS)
    optimizer = renamed["optimizer"]
    groups = [_renamed(group, _PARAM_GROUP) for group in optimizer["param_groups"]]
    return {
        **renamed,
        "format": FORMAT,
        "loop_state": _renamed(renamed["loop_state"], _LOOP_STATE),
        "optimizer": {**optimizer, "param_groups": groups},
        "other_ranks": [_renamed(rank, _KEYS) for rank in renamed["other_ranks"]],
    }


def _renamed(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in values.items()}
