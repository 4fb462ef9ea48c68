"""CTC prefix beam search with a language model."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vocr_cli.core.decoding.ctc_beam import ctc_beam, fused_beam, is_unsure
from vocr_cli.core.language_model.ngram import NgramModel, open_language_model
from vocr_cli.core.text import Charset

CHARSET = Charset()


@pytest.fixture(scope="module")
def lm() -> NgramModel:
    return open_language_model("vi")


def columns(*choices: dict[str, float]) -> np.ndarray:
    """Log-probabilities of columns, a blank after each; what is left over goes to the blank."""
    probabilities = np.full((2 * len(choices), CHARSET.classes), 1e-9)
    probabilities[1::2, 0] = 1
    for row, choice in zip(probabilities[::2], choices, strict=True):
        row[0] = max(1 - sum(choice.values()), 1e-9)
        for character, probability in choice.items():
            row[CHARSET.encode(character)] = probability
    return np.log(probabilities / probabilities.sum(1, keepdims=True))


def word(text: str) -> list[dict[str, float]]:
    return [{character: 0.999} for character in text]


def read(logs: np.ndarray, lm: NgramModel, **options: float) -> str:
    return CHARSET.decode(fused_beam(logs, lm, CHARSET, **options)[0].classes)


@settings(max_examples=40, deadline=None)
@given(length=st.integers(1, 8), seed=st.integers(0, 10_000), beam=st.integers(1, 9))
def test_without_weight_and_bonus_it_is_the_beam_of_ctc(
    lm: NgramModel, length: int, seed: int, beam: int
) -> None:
    logits = np.random.default_rng(seed).normal(0, 3, (length, CHARSET.classes))
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    fused = fused_beam(logs, lm, CHARSET, beam, 0, 0, classes_per_column=16, least=-12, gap=math.inf)
    plain = ctc_beam(logs, beam)
    assert [item.classes for item in fused] == [item.classes for item in plain]
    assert [item.score for item in fused] == pytest.approx([item.score for item in plain])


def test_a_doubtful_letter_becomes_the_likely_one(lm: NgramModel) -> None:
    logs = columns(*word("cộng h"), {"o": 0.55, "ò": 0.44}, *word("a xã hội"))
    assert CHARSET.decode(ctc_beam(logs, 8)[0].classes) == "cộng hoa xã hội"
    assert read(logs, lm) == "cộng hòa xã hội"
    assert read(logs, lm) == read(logs, lm)


def test_a_letter_that_the_columns_rule_out_is_never_read(lm: NgramModel) -> None:
    logs = columns(*word("cộng h"), {"o": 0.994, "ò": 0.006}, *word("a xã hội"))
    assert read(logs, lm) == "cộng hoa xã hội"


@pytest.mark.parametrize("before", ["51F-1", "số HĐ-12", "ngày ", "giá 1"])
def test_digits_are_left_to_ctc(lm: NgramModel, before: str) -> None:
    for one, other in (("3", "8"), ("8", "3")):
        logs = columns(*word(before), {one: 0.5, other: 0.49}, *word("7 và"))
        assert read(logs, lm) == f"{before}{one}7 và"


def test_a_foreign_name_is_not_bent(lm: NgramModel) -> None:
    logs = columns(*({letter: 0.9, "a": 0.05, "n": 0.04} for letter in "Schwrzegger"))
    assert read(logs, lm) == "Schwrzegger"


def test_a_lost_letter_comes_back_for_the_bonus(lm: NgramModel) -> None:
    logs = columns(*word("Việt Na"), {"m": 0.4})
    assert CHARSET.decode(ctc_beam(logs, 8)[0].classes) == "Việt Na"
    assert read(logs, lm) == "Việt Nam"


@dataclass(frozen=True)
class Reading:
    confidences: list[float]


def test_a_line_is_unsure_when_one_character_is() -> None:
    assert is_unsure(Reading([0.99, 0.4, 0.99])) and is_unsure(Reading([0.9]), threshold=0.95)
    assert not is_unsure(Reading([0.9, 0.95])) and not is_unsure(Reading([]))


def test_torch_is_not_imported() -> None:
    code = "import sys, vocr_cli.core.decoding.ctc_beam; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
