"""CTC prefix beam search with a language model."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import dataclass
from functools import reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vocr_cli.core.decoding.ctc_beam import (
    LM_BONUS,
    LM_FLOOR,
    LM_WEIGHT,
    CtcPrefix,
    ctc_beam,
    fused_beam,
    is_unsure,
)
from vocr_cli.core.language_model.ngram import NgramModel, open_language_model
from vocr_cli.core.language_model.text_score import TextScorer
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


def plain_search(logs: np.ndarray, lm: NgramModel, beam: int, classes_per_column: int) -> list[CtcPrefix]:
    """The same search by its definition: nothing left out, texts in place of numbered prefixes."""
    scorer = TextScorer(lm, CHARSET, weight=LM_WEIGHT, bonus=LM_BONUS, floor=LM_FLOOR)

    def told(text: tuple[int, ...]) -> float:
        return reduce(scorer.advance, text, scorer.start).score

    ends: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, -math.inf)}
    for column in logs:
        grown: dict[tuple[int, ...], list[float]] = {}
        likely = [n for n in np.argsort(-column[1:])[:classes_per_column] + 1 if column[n] >= -5]
        for text, (blank, other) in ends.items():
            steps = [(text, np.logaddexp(blank, other) + column[0], -math.inf)]
            steps += [(text, -math.inf, other + column[text[-1]])] if text else []
            for n in likely:
                before = blank if text and text[-1] == n else np.logaddexp(blank, other)
                steps.append(((*text, int(n)), -math.inf, before + column[n]))
            for longer, with_blank, without in steps:
                known = grown.setdefault(longer, [-math.inf, -math.inf])
                known[:] = np.logaddexp(known, [with_blank, without])
        ranked = sorted(grown, key=lambda text: -np.logaddexp(*grown[text]) - told(text))[:beam]
        ends = {text: (grown[text][0], grown[text][1]) for text in ranked}
    found = [CtcPrefix(text, float(np.logaddexp(*both)) + told(text)) for text, both in ends.items()]
    return sorted(found, key=lambda prefix: -prefix.score)


@settings(max_examples=25, deadline=None)
@given(length=st.integers(1, 10), seed=st.integers(0, 10_000), beam=st.integers(1, 8))
def test_no_shortcut_changes_what_is_found(lm: NgramModel, length: int, seed: int, beam: int) -> None:
    dice = np.random.default_rng(seed)
    logits = dice.normal(0, 1, (length, CHARSET.classes))
    for row in logits:  # a blank and a few letters, spaces and digits, none of them sure
        row[[0, *(CHARSET.encode(character)[0] for character in dice.choice(list("aàhn 1"), 3))]] += 7
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    found = fused_beam(logs, lm, CHARSET, beam, classes_per_column=5, gap=math.inf)
    plain = plain_search(logs, lm, beam, 5)
    assert [item.classes for item in found] == [item.classes for item in plain]
    assert [item.score for item in found] == pytest.approx([item.score for item in plain])


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
