"""A text is scored as it grows, as the whole text would be."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vocr_cli.core.language_model.folding import SPACE, Folder
from vocr_cli.core.language_model.ngram import NgramModel, open_language_model
from vocr_cli.core.language_model.text_score import TextScorer, TextState
from vocr_cli.core.text import Charset

CHARSET = Charset()


@pytest.fixture(scope="module")
def model() -> NgramModel:
    return open_language_model("vi")


def grown(scorer: TextScorer, text: str) -> TextState:
    state = scorer.start
    for number in CHARSET.encode(text):
        state = scorer.advance(state, number)
    return state


@settings(max_examples=300, deadline=None)
@given(text=st.text(st.sampled_from("aĂđệBc.,-/@(1 5"), max_size=24))
def test_the_context_is_what_folding_the_whole_text_gives(model: NgramModel, text: str) -> None:
    scorer = TextScorer(model, CHARSET, weight=1, bonus=0, floor=-5)
    state = grown(scorer, text)
    folded = Folder(model.alphabet[3:]).fold(text)
    ends_open = bool(text.strip()) and text.endswith(SPACE)
    symbols = model.encode(SPACE + folded + (SPACE if ends_open else ""))
    assert state.context == symbols[-(model.order - 1) :]


def test_the_score_of_letters_is_that_of_the_model(model: NgramModel) -> None:
    scorer = TextScorer(model, CHARSET, weight=0.5, bonus=0.25, floor=-math.inf)
    symbols = model.encode(" hà nội. và")
    judged = [*range(1, 8), 9, 10]  # not the space after a sign
    logs = [math.log(model.probabilities(symbols[:index])[symbols[index] - 1]) for index in judged]
    assert grown(scorer, "Hà Nội, và").score == pytest.approx(sum(0.5 * log + 0.25 for log in logs))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("51F-123.45", "51E-128.46"),
        ("12.500đ", "72.600d"),
        ("ngày 24/11", "ngày 21/17"),
        ("a@b.vn", "a@p.vm"),
    ],
)
def test_what_a_code_says_is_no_business_of_the_model(model: NgramModel, one: str, other: str) -> None:
    scorer = TextScorer(model, CHARSET, weight=0.5, bonus=0.5, floor=-5)
    assert grown(scorer, one).score == pytest.approx(grown(scorer, other).score)
    assert grown(scorer, f"{one} và").score == pytest.approx(grown(scorer, f"{other} và").score)


def test_case_and_the_choice_of_sign_are_no_business_of_the_model(model: NgramModel) -> None:
    scorer = TextScorer(model, CHARSET, weight=0.5, bonus=0.5, floor=-5)
    assert grown(scorer, "HÀ NỘI; số").score == grown(scorer, "hà nội, số").score


def test_a_digit_does_not_redeem_an_unlikely_word(model: NgramModel) -> None:
    scorer = TextScorer(model, CHARSET, weight=0.5, bonus=0.5, floor=-5)
    assert grown(scorer, "xqzkw").score < 0
    assert grown(scorer, "xqzkw7").score < grown(scorer, "xqzkw").score


def test_a_floor_bounds_what_a_foreign_name_costs(model: NgramModel) -> None:
    scorer = TextScorer(model, CHARSET, weight=0.4, bonus=1, floor=-5)
    name = "Wojciechowski"
    unbounded = TextScorer(model, CHARSET, weight=0.4, bonus=1, floor=-math.inf)
    assert grown(unbounded, name).score < grown(scorer, name).score
    assert grown(scorer, name).score >= len(name) * (0.4 * -5 + 1)
