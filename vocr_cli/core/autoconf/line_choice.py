"""Chooses what the lines decide: sources, charset, widths. N lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vocr_cli.core.autoconf.draft import Draft
from vocr_cli.core.autoconf.facts import DataFacts, median_width
from vocr_cli.core.autoconf.fine_tuning import SYNTH_SEED
from vocr_cli.core.autoconf.reasons.base import Sentence
from vocr_cli.core.autoconf.reasons.lines import (
    CharactersJoin,
    HeldBack,
    LongestLine,
    TenthOfWidth,
    TrainingLines,
    UnknownCharacters,
)
from vocr_cli.core.autoconf.reasons.notes import (
    Crowded,
    NotInCharset,
    NoValidationLines,
    ScaledWhenLoaded,
    Squeezed,
    UnreadableImages,
)
from vocr_cli.core.config.families import parse_model
from vocr_cli.core.config.tree import COLUMN_PX

_WIDEST_PX = 6_400


def choose_data(draft: Draft, data: DataFacts | None, fonts: Sequence[Path], may_widen: bool) -> None:
    """Set sources, charset policy and widest line.

    Args:
        draft: What is chosen so far; its stretch counts.
        data: The lines; None: rendered ones.
        fonts: Of rendered lines; none: the system's.
        may_widen: Whether `image.max_width_px` may grow: for a new model, and for CTC weights to fine-tune.
    """
    synth: dict[str, Any] = {"fonts": [str(path) for path in fonts]} if fonts else {}
    if draft.fine_tuning is not None:
        synth["seed"] = SYNTH_SEED
    if data is None:
        draft.choose("data.train", [{"synth": synth}], Sentence.NO_DATA)
        return
    total, replay = data.lines, draft.replay
    sources: list[dict[str, Any]] = [{"lmdb": str(path), "weight": count} for path, count in data.sources]
    if replay:
        for source in sources:
            source["weight"] = float(f"{(1 - replay) * source['weight'] / total:.6g}")
        sources.append({"synth": synth, "weight": replay})
    draft.choose("data.train", sources, TrainingLines(total, len(data.sources), replay))
    if data.valid:
        paths = [str(path) for path, _ in data.valid]
        draft.choose("data.valid", paths, HeldBack(sum(count for _, count in data.valid)))
    else:
        draft.notes.append(NoValidationLines())
    if data.unreadable_lines:
        draft.notes.append(UnreadableImages(data.unreadable_lines))
    if data.scaled_lines > total / 2:
        draft.notes.append(ScaledWhenLoaded(data.scaled_lines))
    _choose_charset(draft, data)
    _choose_width(draft, data, may_widen)


def _choose_charset(draft: Draft, data: DataFacts) -> None:
    fine_tuned = draft.fine_tuning is not None
    if not data.unknown:
        policy, why = ("extend", Sentence.ALL_KNOWN_TO_MODEL) if fine_tuned else ("error", Sentence.ALL_KNOWN)
        draft.choose("charset.unknown", policy, why)
        return
    few = data.unknown_lines * 1_000 < data.lines
    policy = "skip-line" if few and not fine_tuned else "extend"
    characters = tuple(item.char for item in data.unknown)
    reason = CharactersJoin if fine_tuned else UnknownCharacters
    draft.choose("charset.unknown", policy, reason(data.unknown_lines, data.lines, characters, policy))
    draft.notes += [NotInCharset(item) for item in data.unknown[:6]]


def _choose_width(draft: Draft, data: DataFacts, may_widen: bool) -> None:
    widths = data.stretched_widths(draft.image)  # (N,) px
    longest = float(widths.max(initial=0))
    if may_widen and longest > draft.image.max_width_px:
        widest = min(math.ceil(longest / 64) * 64, _WIDEST_PX)
        draft.choose("image.max_width_px", widest, LongestLine(longest))
    image = draft.image
    if squeezed := int((widths > image.max_width_px).sum()):
        draft.notes.append(Squeezed(squeezed, image.max_width_px))
    columns = np.clip(widths, image.min_width_px, image.max_width_px) // COLUMN_PX
    crowded = int((columns < data.label_lengths).sum())
    if crowded and parse_model(draft.tree["model"]).HEAD == "ctc":
        draft.notes.append(Crowded(crowded))


def choose_bucket(draft: Draft, data: DataFacts | None) -> None:
    """Set what the widths of batches are multiples of."""
    median = median_width(data, draft.image)
    bucket = min(max(round(median / 80) * 8, 8), 64)
    draft.choose("batch.bucket_px", bucket, TenthOfWidth(median))
