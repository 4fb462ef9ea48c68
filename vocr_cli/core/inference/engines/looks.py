"""How often a line is looked at: once, or, if it is worth it, a second time, stretched.

B lines, H and W px, T columns, C classes.
"""

from __future__ import annotations

import math
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
    empty_probability,
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
    wide = {
        index: stretched
        for index, hypothesis in enumerate(hypotheses)
        if hypothesis.look is not None
        and (stretched := stretch_line(lines[index], image, LOOK_STRETCH)) is not None
    }
    if not wide:
        return
    again = _read_widths(engine, list(wide.values()), replace(decoding, looks="second"))
    for index, second in zip(wide, again, strict=True):
        hypotheses[index] = joint_hypothesis(hypotheses[index], second, decoding)


def joint_hypothesis(first: LineHypothesis, second: LineHypothesis, decoding: Decoding) -> LineHypothesis:
    """Makes one hypothesis of two looks at a line, the second of them wider: test-time augmentation.

    Of the texts that either look finds, it takes the one that is likeliest by the mean of both looks'
    log-probabilities and the language model. A look at which characters stood too close to be told apart does
    not count beside a wider one.

    Args:
        first: That at the line's own width.
        second: That of the line stretched.
        decoding: With which both were made, but for `looks`.
    """
    if first.look is None or second.look is None or np.isnan(second.look.log_probs).any():
        return first
    texts = list(dict.fromkeys(first.look.texts + second.look.texts))
    looks = (second.look,) if CROWDED in first.flags else (first.look, second.look)
    by_look = np.stack([ctc_log_likelihoods(look.log_probs, texts) for look in looks])  # (looks, texts)
    scores = by_look.mean(axis=0)
    if decoding.language_model is not None:
        scores = scores + decoding.language_model.text_scores(texts)
    ranked = np.argsort(-scores, kind="stable")
    best = int(ranked[0])
    if not math.isfinite(scores[best]):
        return first
    spelled = texts[best]
    seen = seen_spaces(spelled, decoding.space)
    aligned = aligned_confidences(looks[int(by_look[:, best].argmax())].log_probs, spelled)
    prefixes = [CtcPrefix(texts[index], float(scores[index])) for index in ranked]
    alternatives = told_apart(prefixes, decoding.space)
    certainty = None
    if decoding.language_model is not None:
        certainty = certainty_of([score for _, score in alternatives], by_look.mean(axis=0))
    return LineHypothesis(
        [spelled[at] for at in seen],
        [aligned[at] for at in seen],
        0.0 if seen else empty_probability(first.look.log_probs),
        tuple(flag for flag in first.flags if flag in second.flags),
        [(list(text), score) for text, score in alternatives[: decoding.n_best]] if decoding.beam > 1 else [],
        certainty,
    )
