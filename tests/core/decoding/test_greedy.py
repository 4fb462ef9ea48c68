"""Greedy decoding: VietOCR's text, whatever the batch; guards that stop and say so."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tiny_models import tiny

from vocr_cli.core.decoding import greedy as module
from vocr_cli.core.decoding.decode_options import DecodeOptions
from vocr_cli.core.decoding.greedy import greedy
from vocr_cli.core.decoding.incremental import make_incremental_decoder

SEQUENCES = ("transformer", "seq2seq", "convseq2seq")
SOS, EOS = 1, 2
CLASSES = 12


class Script:
    """A decoder that says the same whatever it is told: for each line its tokens, over and over."""

    classes, max_steps = CLASSES, 1_000

    def __init__(self, *texts: list[int]) -> None:
        self.texts, self.rows_seen = texts, []

    def start(self, features, beams=1, lengths=None):
        self.rows, self.spot = list(range(features.shape[1])), 0

    def step(self, tokens):
        self.rows_seen.append(len(tokens))
        logits = torch.zeros(len(self.rows), CLASSES)
        for row, line in enumerate(self.rows):
            logits[row, self.texts[line][self.spot % len(self.texts[line])]] = 9
        self.spot += 1
        return logits

    def keep(self, rows):
        self.rows = [self.rows[row] for row in rows]

    def reorder(self, rows):
        raise AssertionError("greedy decoding has no beams")


def read(script: Script, mask=None, **options):
    return greedy(script, torch.zeros(1, len(script.texts), 1), DecodeOptions(**options), mask)


def step_by_step(model, features, limit, allowed=tuple(range(CLASSES))):
    """What VietOCR does for one line: the whole prefix anew, the best of all classes, until the end."""
    tokens, confidences = [SOS], []
    with torch.no_grad():
        while len(tokens) <= limit and EOS not in tokens:
            logits = model.transformer(features, torch.tensor([tokens]))[0, -1]
            last = logits[list(allowed)].softmax(0)
            tokens.append(allowed[int(last.argmax())])
            confidences.append(float(last.max()))
    return tokens[1:], confidences


@settings(max_examples=30, deadline=None)
@given(
    sequence=st.sampled_from(SEQUENCES),
    lines=st.integers(1, 5),
    limit=st.integers(1, 12),
    seed=st.integers(0, 10_000),
)
def test_reads_what_vietocr_reads_in_any_batch(sequence, lines, limit, seed):
    model = tiny(sequence, CLASSES, seed)
    features = torch.randn(5, lines, 16, generator=torch.Generator().manual_seed(seed)) * 3
    options = DecodeOptions(max_steps=limit)
    for line, hypothesis in enumerate(
        greedy(make_incremental_decoder(model, torch.float32, 64), features, options)
    ):
        tokens, confidences = step_by_step(model, features[:, line : line + 1], limit)
        ended = tokens[-1] == EOS
        assert hypothesis.classes == tokens[: len(tokens) - ended]
        assert hypothesis.confidences == pytest.approx(confidences[: len(hypothesis.classes)], abs=1e-4)
        assert hypothesis.score == pytest.approx(float(torch.tensor(confidences).log().mean()), abs=1e-4)
        assert hypothesis.flags == (() if ended else ("step-limit",))


@pytest.mark.parametrize(("sequence", "seed"), [("transformer", 10), ("seq2seq", 26), ("convseq2seq", 15)])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_lines_leaving_the_batch_change_nothing(monkeypatch, sequence, seed, share):
    model = tiny(sequence, CLASSES, seed)
    features = torch.randn(5, 24, 16, generator=torch.Generator().manual_seed(1)) * 3
    options = DecodeOptions(max_steps=20)
    decoder = make_incremental_decoder(model, torch.float32, 20)
    singly = [greedy(decoder, features[:, line : line + 1], options)[0] for line in range(24)]
    assert len({len(hypothesis.classes) for hypothesis in singly}) > 2, (
        "lines of several lengths are needed here"
    )
    monkeypatch.setattr(module, "LIVE_FRACTION", share)
    together = greedy(decoder, features, options)
    assert [hypothesis.classes for hypothesis in together] == [hypothesis.classes for hypothesis in singly]
    assert [hypothesis.flags for hypothesis in together] == [hypothesis.flags for hypothesis in singly]
    for first, second in zip(together, singly, strict=True):
        assert first.confidences == pytest.approx(second.confidences, abs=1e-5)


def test_lines_that_ended_are_not_computed_any_more():
    script = Script([5, EOS], [5, EOS], [6, 6, 6, EOS], [7, 7, EOS])
    assert [hypothesis.classes for hypothesis in read(script)] == [[5], [5], [6, 6, 6], [7, 7]]
    assert script.rows_seen == [4, 4, 2, 1]


def test_what_follows_the_end_never_counts():
    long, short = [*(4 + place * place % 7 * place % 8 for place in range(60)), EOS], [5, EOS]
    hypothesis, *others = read(Script(short, *[long] * 4), repetition_steps=40)
    assert all(len(other.classes) == 60 for other in others), "the short line has to wait, saying 5 and end"
    alone = read(Script(short))[0]
    assert hypothesis.classes == alone.classes == [5]
    assert (hypothesis.confidences, hypothesis.score, hypothesis.flags) == (
        alone.confidences,
        alone.score,
        (),
    )


def test_the_score_of_an_empty_reading_is_that_of_its_end():
    hypothesis = read(Script([EOS]))[0]
    log_prob = torch.tensor([9.0] + [0.0] * (CLASSES - 1)).log_softmax(0)[0]
    assert (hypothesis.classes, hypothesis.confidences, hypothesis.flags) == ([], [], ())
    assert hypothesis.score == pytest.approx(float(log_prob), abs=1e-5)


def test_the_length_penalty_weighs_the_score():
    log_prob = float(torch.tensor([9.0] + [0.0] * (CLASSES - 1)).log_softmax(0)[0])
    for penalty in (0.0, 0.5, 1.0):
        hypothesis = read(Script([5, 6, 7, EOS]), length_penalty=penalty)[0]
        assert hypothesis.score == pytest.approx(4 * log_prob / 4**penalty, abs=1e-5)


def test_a_line_without_end_is_flagged_and_as_long_as_vietocrs():
    hypothesis = read(Script([5, 6, 7, 8, 9, 10, 11, 5, 7, 9, 11]))[0]
    assert (len(hypothesis.classes), hypothesis.flags) == (129, ("step-limit",))


def test_an_end_in_the_last_step_is_an_end():
    assert read(Script([5, 6, EOS]), max_steps=3)[0].flags == ()
    assert read(Script([5, 6, EOS]), max_steps=2)[0].flags == ("step-limit",)


def test_specials_in_the_middle_stay_as_vietocr_prints_them():
    assert read(Script([0, 5, 3, SOS, 6, EOS]))[0].classes == [0, 5, 3, SOS, 6]


@given(cycle=st.lists(st.integers(4, CLASSES - 1), min_size=1, max_size=8), lead=st.integers(0, 20))
@settings(deadline=None)
def test_a_runaway_is_stopped_and_flagged(cycle, lead):
    start = [4 + place * place % 7 for place in range(lead)]
    stuck = Script((start + cycle * 200)[:200], [5, 6, EOS])
    hypothesis, other = read(stuck)
    assert hypothesis.flags == ("repetition",)
    assert len(hypothesis.classes) <= lead + 32 + 7
    assert len(hypothesis.confidences) == len(hypothesis.classes)
    assert (other.classes, other.flags) == ([5, 6], ())


@given(text=st.lists(st.integers(4, CLASSES - 1), min_size=1, max_size=60))
@settings(deadline=None)
def test_only_repetition_is_stopped(text):
    windows = [text[start : start + 32] for start in range(len(text) - 31)]
    if any(w[p:] == w[:-p] for w in windows for p in range(1, 9)):
        return
    assert read(Script([*text, EOS]))[0].classes == text


def test_a_repetition_shorter_than_the_limit_is_read():
    text = [5, 6] * 15
    assert read(Script([*text, EOS]))[0].classes == text


def test_dot_leaders_are_no_runaway():
    dots = [9] * 50 + [9, 4] * 20
    hypothesis = read(Script([5, *dots, 6, EOS]), leaders={9, 4})[0]
    assert (hypothesis.classes, hypothesis.flags) == ([5, *dots, 6], ())
    assert read(Script([5, *dots, 6, EOS]))[0].flags == ("repetition",)
    assert read(Script([9, 5] * 50 + [EOS]), leaders={9, 4})[0].flags == ("repetition",)


def test_the_guard_can_be_switched_off():
    assert read(Script([5] * 60 + [EOS]), repetition_steps=0)[0].classes == [5] * 60


@settings(max_examples=10, deadline=None)
@given(sequence=st.sampled_from(SEQUENCES), seed=st.integers(0, 10_000))
def test_a_mask_leaves_only_allowed_characters_and_counts_among_them(sequence, seed):
    model = tiny(sequence, CLASSES, seed)
    features = torch.randn(5, 3, 16, generator=torch.Generator().manual_seed(seed)) * 3
    mask = torch.zeros(CLASSES, dtype=torch.bool)
    mask[[0, 3, 5, 6]] = True  # the end is always allowed, the other specials never are
    options = DecodeOptions(max_steps=8)
    for line, hypothesis in enumerate(
        greedy(make_incremental_decoder(model, torch.float32, 8), features, options, mask)
    ):
        tokens, confidences = step_by_step(model, features[:, line : line + 1], 8, [EOS, 5, 6])
        assert hypothesis.classes == [token for token in tokens if token != EOS]
        assert hypothesis.confidences == pytest.approx(confidences[: len(hypothesis.classes)], abs=1e-4)


@pytest.mark.parametrize("mask", [torch.ones(3, dtype=torch.bool), torch.ones(CLASSES)])
def test_a_mask_of_another_kind_is_refused(mask):
    with pytest.raises(ValueError, match="the mask is"):
        read(Script([EOS]), mask)


@pytest.mark.parametrize("wrong", [{"n_best": 2}, {"length_penalty": -1}, {"repetition_steps": 10}])
def test_options_that_contradict_are_refused(wrong):
    with pytest.raises(ValidationError):
        DecodeOptions(**wrong)
