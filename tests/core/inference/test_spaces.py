"""Spaces that no line shows: CTC's readings have none of them, as labels have none."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vocr_cli.core.config.image import ImageConfig
from vocr_cli.core.decoding.ctc import seen_spaces
from vocr_cli.core.inference import Recognizer
from vocr_cli.core.inference.engines.base import CtcEngine
from vocr_cli.core.language_model.find import EMBEDDED_FILE
from vocr_cli.core.text import Charset, clean

CHARSET = Charset(" ạb1")


class GivenLogits(CtcEngine):
    """Computes what it is given, whatever the lines are."""

    device, precision, runtime = "cpu", "fp32", "test"

    def __init__(self, logits: np.ndarray) -> None:
        self._logits = logits

    def logits(self, lines: np.ndarray) -> np.ndarray:
        return self._logits


@given(text=st.text(" ab"))
def test_what_is_seen_of_a_text_is_the_text_cleaned(text: str) -> None:
    classes = ["_ ab".index(char) for char in text]
    seen = seen_spaces(classes, 1)
    assert "".join(text[at] for at in seen) == clean(text)
    assert seen_spaces(classes, 0) == list(range(len(text)))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), sure=st.sampled_from([1.0, 4.0]), columns=st.integers(1, 12))
@pytest.mark.parametrize(("beam", "lm"), [(1, None), (5, None), (1, EMBEDDED_FILE), (5, EMBEDDED_FILE)])
def test_readings_hold_no_space_that_is_not_seen(
    beam: int, lm: Path | None, seed: int, sure: float, columns: int
) -> None:
    logits = np.random.default_rng(seed).normal(0, sure, (1, columns, CHARSET.classes)).astype(np.float32)
    logits[..., 1] += 1  # many spaces
    recognizer = Recognizer(
        GivenLogits(logits),
        ImageConfig(),
        CHARSET,
        "test",
        beam=beam,
        n_best=beam,
        language_model=lm,
        threads=1,
    )
    (reading,) = recognizer.read_fitted([np.zeros((40, 64, 1), np.uint8)])
    assert reading.text == clean(reading.text)
    assert len(reading.char_confidences) == len(reading.text)
    shown = [text for text, _ in reading.alternatives]
    assert len(shown) == len(set(shown)) and all(text == clean(text) for text in shown)
    if beam == 1 and lm is None:
        best = [number for number, _ in itertools.groupby(logits[0].argmax(axis=1).tolist()) if number]
        assert reading.text == clean(CHARSET.decode(best))
