"""Scores, their intervals, and the Vietnamese breakdown."""

from __future__ import annotations

import json
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vocr_cli.core.errors import DataError
from vocr_cli.core.evaluation.edit_classes import EDIT_CLASSES, Edit, classify, edits, spans
from vocr_cli.core.evaluation.metrics import estimate_rate, score
from vocr_cli.core.text import VIETNAMESE_CHARSET, clean

text = st.one_of(
    st.text("aàáăằâầđdAĐ1.  ", max_size=12), st.text(VIETNAMESE_CHARSET, max_size=20), st.text(max_size=12)
)
pairs = st.lists(st.tuples(text, text), min_size=1, max_size=8)


def scored(lines, **settings):
    references, readings = zip(*lines, strict=True)
    return score(references, readings, resamples=200, **settings)


@given(pairs)
@settings(max_examples=60, deadline=None)
def test_every_edit_falls_in_exactly_one_class(lines):
    scores = scored(lines, top_confusions=10_000)
    assert [row.name for row in scores.breakdown] == list(EDIT_CLASSES)
    assert sum(row.edits for row in scores.breakdown) == scores.edits
    assert sum(item.count for item in scores.confusions) == scores.edits
    if scores.characters:
        assert sum(row.share for row in scores.breakdown) == pytest.approx(scores.cer.value)


@given(st.lists(text, min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_a_perfect_reading_scores_no_error(texts):
    scores = score(texts, texts, resamples=200)
    assert (scores.cer.value, scores.wer.value, scores.line_accuracy.value) == (0, 0, 1)
    assert scores.edits == scores.word_edits == 0 and not scores.worst and not scores.confusions


@given(pairs)
@settings(max_examples=40, deadline=None)
def test_decomposed_text_scores_like_composed_text(lines):
    decomposed = [(unicodedata.normalize("NFD", label), reading) for label, reading in lines]
    assert scored(decomposed) == scored(lines)


@given(pairs)
@settings(max_examples=40, deadline=None)
def test_edits_do_not_depend_on_which_side_is_the_reference(lines):
    forth, back = scored(lines), scored([(reading, label) for label, reading in lines])
    assert forth.edits == back.edits and forth.word_edits == back.word_edits
    assert forth.line_accuracy == back.line_accuracy


@given(pairs, st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_intervals_hold_the_value_and_repeat_with_the_seed(lines, seed):
    scores = scored(lines, seed=seed)
    for estimate in (scores.cer, scores.wer, scores.line_accuracy):
        assert 0 <= estimate.low <= estimate.value <= estimate.high
    assert scored(lines, seed=seed) == scores


@given(text, text)
def test_edits_turn_the_reference_into_the_reading(reference, reading):
    steps = edits(reference, reading)
    assert all(edit.reference != edit.reading for edit in steps)
    assert sum(len(e.reading) - len(e.reference) for e in steps) == len(reading) - len(reference)
    cut = spans(reference, reading)
    assert "".join(span.reference for span in cut) == reference
    assert "".join(span.reading for span in cut) == reading
    assert all(span.same == (span.reference == span.reading) for span in cut)


@pytest.mark.parametrize(
    ("reference", "reading", "expected"),
    [
        ("ế", "ề", "tone"),
        ("Á", "a", "tone"),
        ("y", "ỳ", "tone"),
        ("ă", "â", "vowel mark"),
        ("ấ", "á", "vowel mark"),
        ("đ", "d", "vowel mark"),
        ("Đ", "D", "vowel mark"),
        ("ữ", "u", "mark and tone"),
        ("ế", "e", "mark and tone"),
        ("Ế", "ế", "case"),
        ("Đ", "đ", "case"),
        ("ô", "ê", "base letter"),
        ("l", "I", "base letter"),
        ("a", "", "missing letter"),
        ("", "ộ", "extra letter"),
        ("0", "O", "digit"),
        ("l", "1", "digit"),
        ("7", "", "digit"),
        (".", ",", "punctuation"),
        ("l", "|", "punctuation"),
        ("", "…", "punctuation"),
        ("²", "", "punctuation"),
        (" ", "", "space"),
        ("", " ", "space"),
        (" ", ".", "space"),
    ],
)
def test_edits_are_named_as_a_vietnamese_reader_would(reference, reading, expected):
    assert classify(Edit(reference, reading)) == expected
    assert (scored([(f"xx{reference}xx", f"xx{reading}xx")]).edits) == 1


def test_rates_are_totals_over_totals_not_means_of_lines():
    scores = score(["phở bò", "a"], ["phở bo", ""])
    assert scores.cer.value == pytest.approx(2 / 7)
    assert scores.wer.value == pytest.approx(2 / 3)
    assert (scores.lines, scores.characters, scores.words, scores.exact_lines) == (2, 7, 3, 0)


def test_references_without_text_give_no_nan():
    assert score(["", " "], ["", ""]).cer.value == 0
    extra = score(["", ""], ["x", ""])
    assert (extra.cer.value, extra.wer.value, extra.line_accuracy.value) == (1, 1, 0.5)
    assert all(np.isfinite([extra.cer.low, extra.cer.high, extra.wer.low, extra.wer.high]))


def test_no_line_at_all_is_refused_rather_than_scored():
    with pytest.raises(DataError, match="no lines"):
        score([], [])


def test_readings_of_another_length_are_refused():
    with pytest.raises(ValueError):
        score(["a", "b"], ["a"])
    with pytest.raises(ValueError):
        score(["a", "b"], ["a", "c"], paths=["1.png"])


def test_confusions_and_worst_lines_come_most_first_with_their_origin():
    scores = score(
        ["tiến tiến", "quyết", "số"],
        ["tiền tiền", "quyet x", "số"],
        paths=["1.png", "2.png", "3.png"],
        confidences=[0.5, None, 1.0],
        worst_lines=2,
    )
    assert str(scores.confusions[0]) == "ế→ề" and scores.confusions[0].count == 2
    assert {str(item) for item in scores.confusions} == {"ế→ề", "ế→e", "∅→␣", "∅→x"}
    assert [(line.path, line.edits, line.confidence) for line in scores.worst] == [
        ("2.png", 3, None),
        ("1.png", 2, 0.5),
    ]


def test_scores_survive_json():
    document = json.loads(json.dumps(score(["ế"], ["ề"], paths=["1.png"]).to_json()))
    assert document["cer"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert document["worst"][0]["reference"] == "ế"
    assert document["breakdown"][0] == {"name": "tone", "edits": 1, "share": 1.0}


def test_the_interval_agrees_with_drawing_lines_one_by_one():
    generator = np.random.default_rng(3)
    totals = generator.integers(1, 60, 300)
    errors = generator.binomial(totals, 0.1)
    drawn = generator.integers(0, 300, (4000, 300))
    low, high = np.percentile(errors[drawn].sum(1) / totals[drawn].sum(1), [2.5, 97.5])
    ours = estimate_rate(errors, totals, resamples=4000)
    assert ours.low == pytest.approx(low, abs=0.002) and ours.high == pytest.approx(high, abs=0.002)
    assert ours.high - ours.low > 0.01


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(4)
    ones = np.ones(200, dtype=np.int64)
    held = 0
    for _ in range(200):
        estimate = estimate_rate(generator.binomial(1, 0.3, 200), ones, resamples=400)
        held += estimate.low <= 0.3 <= estimate.high
    assert 0.88 <= held / 200 <= 0.99


@given(text, text)
def test_a_line_is_exact_only_when_its_cleaned_texts_agree(reference, reading):
    assert bool(scored([(reference, reading)]).exact_lines) == (clean(reference) == clean(reading))
