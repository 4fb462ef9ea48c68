"""How often a line is looked at: once, or, if it is worth it, a second time, stretched.

B lines, H and W px, T columns, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np

from vocr_cli.core.config.image import ImageConfig
from vocr_cli.core.data.images.fit import stretch_line
from vocr_cli.core.decoding.ctc import ctc_log_likelihoods, is_surer, seen_spaces
from vocr_cli.core.decoding.ctc_beam import CtcPrefix, aligned_confidences
from vocr_cli.core.errors import ConfigError
from vocr_cli.core.inference.engines.base import CtcEngine, Engine
from vocr_cli.core.inference.engines.decoding import Decoding
from vocr_cli.core.inference.engines.post_processing import (
    CROWDED,
    LineHypothesis,
    certainty_of,
    told_apart,
)

LOOK_STRETCH = 1.4
"""Of the second look at a line, as `benchmarks/second_look.py` chose it on rendered lines."""


def wants_second_look(wanted: bool | None, engine: Engine, language_model: Path | None) -> bool:
    """Returns whether doubtful lines get a second look.

    Args:
        wanted: As asked for; None: where a CTC model has a language model.
        engine: Which reads.
        language_model: Its file, if there is one.

    Raises:
        ConfigError: A second look is asked of a model that writes step by step.
    """
    by_columns = isinstance(engine, CtcEngine)
    if wanted and not by_columns:
        raise ConfigError(
            "A second look is for CTC models, and this one writes step by step.", "Leave out --second-look."
        )
    return by_columns and language_model is not None if wanted is None else wanted


def read_lines(
    engine: Engine, lines: Sequence[np.ndarray], decoding: Decoding, image: ImageConfig
) -> list[LineHypothesis]:
    """Reads one batch of fitted lines, and those that are worth it a second time.

    Args:
        engine: Which reads.
        lines: B of them, each (H, W, channels) uint8.
        decoding: What may be read, and how it is searched for.
        image: Limits of the width.

    Raises:
        ModelError: The language model's file is none, or is damaged.
    """
    hypotheses = _read_widths(engine, lines, decoding)
    if decoding.looks == "first":
        _look_again(engine, lines, hypotheses, decoding, image)
        return hypotheses
    for index, hypothesis in enumerate(hypotheses):
        if CROWDED in hypothesis.flags:
            hypotheses[index] = _read_wider(engine, lines[index], hypothesis, decoding, image)
    return hypotheses


def _read_widths(engine: Engine, lines: Sequence[np.ndarray], decoding: Decoding) -> list[LineHypothesis]:
    """Reads lines of any widths together."""
    of_width: dict[int, list[int]] = {}  # indices of the lines
    for index, line in enumerate(lines):
        of_width.setdefault(line.shape[1], []).append(index)
    groups = [np.stack([lines[index] for index in indices]) for indices in of_width.values()]
    read = engine.read_groups(groups, decoding)
    hypotheses = dict(zip(chain(*of_width.values()), chain(*read), strict=True))
    return [hypotheses[index] for index in range(len(lines))]


def _read_wider(
    engine: Engine, line: np.ndarray, hypothesis: LineHypothesis, decoding: Decoding, image: ImageConfig
) -> LineHypothesis:
    """Reads a crowded line again, stretched, so that CTC has columns enough for each dot of a leader.

    The reading at the line's own width stays if its characters are the surer ones.
    """
    if (wide := stretch_line(line, image)) is None:
        return hypothesis
    (wider,) = engine.read(np.stack([wide]), decoding)
    return wider if is_surer(wider.confidences, hypothesis.confidences) else hypothesis


def _look_again(
    engine: Engine,
    lines: Sequence[np.ndarray],
    hypotheses: list[LineHypothesis],
    decoding: Decoding,
    image: ImageConfig,
) -> None:
    """Reads lines that are worth it again, stretched, and puts in place what both looks say together."""
    again = {index for index, hypothesis in enumerate(hypotheses) if hypothesis.look is not None}
    stretched = {index: stretch_line(lines[index], image, LOOK_STRETCH) for index in again}
    wide = {index: line for index, line in stretched.items() if line is not None}
    second = _read_widths(engine, list(wide.values()), replace(decoding, looks="second")) if wide else []
    seconds = dict(zip(wide, second, strict=True))
    for index in again:
        hypotheses[index] = joint_hypothesis(hypotheses[index], seconds.get(index), decoding)


def joint_hypothesis(
    first: LineHypothesis, second: LineHypothesis | None, decoding: Decoding
) -> LineHypothesis:
    """Makes one hypothesis of the looks at a line, the second of them wider: test-time augmentation.

    Of the texts that either look finds, it takes the one that is likeliest by the mean of both looks'
    log-probabilities and the language model. A look at which characters stood too close to be told apart does
    not count beside a wider one, nor does one that computed no number.

    Args:
        first: That at the line's own width.
        second: That of the line stretched; None: there was no room.
        decoding: With which they were made, but for `looks`.

    Raises:
        ModelError: The language model's file is none, or is damaged.
    """
    assert first.look is not None
    looks, flags = [first.look], first.flags
    if second is not None and second.look is not None and not np.isnan(second.look.log_probs).any():
        looks = [second.look] if CROWDED in flags else [first.look, second.look]
        flags = tuple(flag for flag in flags if flag in second.flags)
    texts = list(dict.fromkeys(text for look in (first.look, *looks) for text in look.texts))
    by_look = ctc_log_likelihoods([look.log_probs for look in looks], texts)  # (looks, texts)
    columns_say = by_look.mean(axis=0)
    scores = columns_say
    if decoding.language_model is not None:
        scores = scores + decoding.language_model.text_scores(texts)
    ranked = np.argsort(-scores, kind="stable")
    best = int(ranked[0])
    if len(looks) > 1 and not np.isfinite(scores[best]):  # they contradict each other beyond what floats hold
        return joint_hypothesis(first, None, decoding)
    spelled = texts[best]
    seen = seen_spaces(spelled, decoding.space)
    aligned = aligned_confidences(looks[int(by_look[:, best].argmax())].log_probs, spelled)
    alternatives = told_apart(
        [CtcPrefix(texts[index], float(scores[index])) for index in ranked], decoding.space
    )
    certainty = None
    if decoding.language_model is not None:
        certainty = certainty_of([score for _, score in alternatives], columns_say)
    return LineHypothesis(
        [spelled[at] for at in seen],
        [aligned[at] for at in seen],
        0.0 if seen else first.look.empty_probability,
        flags,
        [(list(text), score) for text, score in alternatives[: decoding.n_best]] if decoding.beam > 1 else [],
        certainty,
    )
