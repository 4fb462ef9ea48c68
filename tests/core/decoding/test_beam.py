"""Beam search against greedy search, brute force and rescoring.

What is a law, and tested: one beam is the greedy search; a beam that holds every reading ranks them as brute
force does (so its best is never below the greedy reading); each score is that of its reading; none is worse
than that of the beam as VietOCR has it. That a wider beam scores at least as much as a narrower one is no
law: it may drop what the narrower one followed.
"""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import tiny

from vocr_cli.core.decoding.beam import beam_search
from vocr_cli.core.decoding.decode_options import DecodeOptions
from vocr_cli.core.decoding.greedy import greedy
from vocr_cli.core.decoding.incremental import make_incremental_decoder

SEQUENCES = ("transformer", "seq2seq", "convseq2seq")
SOS, EOS = 1, 2
sequences, seeds = st.sampled_from(SEQUENCES), st.integers(0, 10_000)


def lines_of(count: int, seed: int) -> torch.Tensor:
    return torch.randn(5, count, 16, generator=torch.Generator().manual_seed(seed)) * 3


def sums_of(model, features, texts) -> list[float]:
    """Σ log p of texts of one length (start aside) for one line, each read whole."""
    tokens = torch.tensor(texts)
    before = torch.cat((torch.full((len(texts), 1), SOS), tokens[:, :-1]), dim=1)
    with torch.no_grad():
        logits = model.transformer(features.expand(-1, len(texts), -1), before)
    return logits.log_softmax(-1).gather(2, tokens[:, :, None]).sum((1, 2)).tolist()


def brute_force(model, features, limit, penalty):
    """Every reading of one line, ended or as long as the limit allows: (score, tokens), best first."""
    open_classes = [0, 1, 3, 4]
    scored = []
    for steps in range(1, limit + 1):
        texts = [(*text, EOS) for text in itertools.product(open_classes, repeat=steps - 1)]
        texts += itertools.product(open_classes, repeat=steps) if steps == limit else []
        scores = [total / steps**penalty for total in sums_of(model, features, texts)]
        scored += zip(scores, texts, strict=True)
    return sorted(scored, reverse=True)


@settings(max_examples=15, deadline=None)
@given(
    sequence=sequences,
    seed=seeds,
    limit=st.integers(1, 3),
    penalty=st.sampled_from([0.0, 0.6, 1.0, 1.5]),
    best=st.sampled_from([1, 2, 5, 100]),
)
def test_a_beam_that_holds_everything_is_brute_force(sequence, seed, limit, penalty, best):
    model = tiny(sequence, 5, seed)
    features = lines_of(2, seed)
    options = DecodeOptions(beam=100, n_best=best, max_steps=limit, length_penalty=penalty, specials=3)
    for line, hypotheses in enumerate(
        beam_search(make_incremental_decoder(model, torch.float32, 8), features, options)
    ):
        expected = brute_force(model, features[:, line : line + 1], limit, penalty)[:best]
        assert [hypothesis.score for hypothesis in hypotheses] == pytest.approx(
            [score for score, _ in expected], abs=1e-4
        )
        assert all(hypothesis.flags in ((), ("step-limit",)) for hypothesis in hypotheses)
        found = {(*hypothesis.classes, *([] if hypothesis.flags else [EOS])) for hypothesis in hypotheses}
        assert found == {text for _, text in expected}


def places_shared_with_endings(model, features, width, limit):
    """What a beam finishes whose K places are for open and just ended readings alike: (Σ log p, steps).

    As VietOCR's beam, written from its description: it ends when the best reading of a step is one that ends;
    where none has ended by the limit, the best open one is taken.
    """
    open_texts, finished = [((), 0.0)], []
    for steps in range(1, limit + 1):
        tokens = torch.tensor([(SOS, *text) for text, _ in open_texts])
        with torch.no_grad():
            logits = model.transformer(features.expand(-1, len(tokens), -1), tokens)[:, -1]
        every = [
            ((*text, token), total + log_prob)
            for (text, total), row in zip(open_texts, logits.log_softmax(-1).tolist(), strict=True)
            for token, log_prob in enumerate(row)
        ]
        best = sorted(every, key=lambda found: found[1], reverse=True)[:width]
        finished += [(total, steps) for text, total in best if text[-1] == EOS]
        open_texts = [(text, total) for text, total in best if text[-1] != EOS]
        if best[0][0][-1] == EOS:
            break
    return finished or [(open_texts[0][1], limit)]


@settings(max_examples=40, deadline=None)
@given(
    sequence=sequences,
    seed=seeds,
    width=st.integers(2, 5),
    limit=st.integers(1, 12),
    penalty=st.sampled_from([0.0, 1.0]),
)
def test_no_best_score_is_worse_than_that_of_a_beam_whose_endings_take_places(
    sequence, seed, width, limit, penalty
):
    model = tiny(sequence, 12, seed)
    features = lines_of(3, seed)
    options = DecodeOptions(
        beam=width, max_steps=limit, length_penalty=penalty, specials=3, repetition_steps=0
    )
    for line, hypotheses in enumerate(
        beam_search(make_incremental_decoder(model, torch.float32, 16), features, options)
    ):
        found = places_shared_with_endings(model, features[:, line : line + 1], width, limit)
        assert hypotheses[0].score >= max(total / steps**penalty for total, steps in found) - 1e-4


@settings(max_examples=20, deadline=None)
@given(sequence=sequences, seed=seeds, lines=st.integers(1, 5), limit=st.integers(1, 40))
def test_one_beam_is_the_greedy_search(sequence, seed, lines, limit):
    decoder = make_incremental_decoder(tiny(sequence, 12, seed), torch.float32, 64)
    features, options = lines_of(lines, seed), DecodeOptions(max_steps=limit)
    for hypothesis, hypotheses in zip(
        greedy(decoder, features, options), beam_search(decoder, features, options), strict=True
    ):
        assert len(hypotheses) == 1
        assert (hypotheses[0].classes, hypotheses[0].flags) == (hypothesis.classes, hypothesis.flags)
        assert hypotheses[0].confidences == pytest.approx(hypothesis.confidences, abs=1e-5)
        assert hypotheses[0].score == pytest.approx(hypothesis.score, abs=1e-5)


@settings(max_examples=10, deadline=None)
@given(sequence=sequences, seed=seeds, beam=st.integers(2, 5), penalty=st.sampled_from([0.0, 1.0]))
def test_a_batch_reads_as_its_lines_do_and_scores_are_those_of_the_readings(sequence, seed, beam, penalty):
    model = tiny(sequence, 12, seed)
    decoder = make_incremental_decoder(model, torch.float32, 16)
    features = lines_of(6, seed)
    options = DecodeOptions(beam=beam, n_best=beam, max_steps=10, length_penalty=penalty)
    for line, hypotheses in enumerate(beam_search(decoder, features, options)):
        own = features[:, line : line + 1]
        singly = beam_search(decoder, own, options)[0]
        assert [(p.classes, p.flags) for p in hypotheses] == [(p.classes, p.flags) for p in singly]
        assert [hypothesis.score for hypothesis in hypotheses] == sorted(
            (hypothesis.score for hypothesis in hypotheses), reverse=True
        )
        assert len({(tuple(hypothesis.classes), hypothesis.flags) for hypothesis in hypotheses}) == beam
        for hypothesis in hypotheses:
            tokens = hypothesis.classes if hypothesis.flags else [*hypothesis.classes, EOS]
            assert hypothesis.score == pytest.approx(
                sums_of(model, own, [tokens])[0] / len(tokens) ** penalty, abs=1e-4
            )


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_a_mask_holds_in_every_beam(sequence):
    mask = torch.zeros(12, dtype=torch.bool)
    mask[[0, 3, 5, 6]] = True
    decoder = make_incremental_decoder(tiny(sequence, 12, 3), torch.float32, 16)
    options = DecodeOptions(beam=4, n_best=4, max_steps=8)
    for hypotheses in beam_search(decoder, lines_of(3, 3), options, mask):
        assert len(hypotheses) == 4
        assert all(set(hypothesis.classes) <= {5, 6} for hypothesis in hypotheses)


class Script:
    """A decoder whose probabilities depend on the last token alone: `table[token]` (C,)."""

    max_steps = 1_000

    def __init__(self, table: dict[int, dict[int, float]], classes: int = 12) -> None:
        self.table, self.classes, self.steps = table, classes, 0

    def start(self, features, beams=1, lengths=None):
        self.steps = 0

    def step(self, tokens):
        self.steps += 1
        logits = torch.full((len(tokens), self.classes), 1e-9)
        for row, token in enumerate(tokens.tolist()):
            for follower, probability in self.table.get(token, {EOS: 1.0}).items():
                logits[row, follower] = probability
        return logits.log()

    def keep(self, rows):
        pass

    def reorder(self, rows):
        pass


def search(script, **options):
    return beam_search(script, torch.zeros(1, 1, 1), DecodeOptions(**options))[0]


def test_the_beam_finds_what_greed_misses():
    script = Script({SOS: {5: 0.6, 6: 0.4}, 5: {7: 0.4, 8: 0.3, 9: 0.3}, 6: {7: 1.0}})
    assert search(script, beam=1)[0].classes == [5, 7]
    best, second = search(script, beam=3, n_best=2)
    assert (best.classes, second.classes) == ([6, 7], [5, 7])
    assert best.confidences == pytest.approx([0.4, 1.0], abs=1e-5)


def test_a_poor_reading_that_ends_takes_no_place_of_a_better_one():
    script = Script({SOS: {5: 0.5, EOS: 0.5}, 5: {6: 0.9, EOS: 0.1}})
    best, second = search(script, beam=2, n_best=2, length_penalty=0.0)
    assert (best.classes, second.classes) == ([], [5, 6])


def test_endings_take_no_places_of_open_readings():
    script = Script({SOS: {5: 0.4, EOS: 0.35, 6: 0.25}, 5: {7: 0.5, 8: 0.4, EOS: 0.1}, 6: {10: 1.0}})
    best, second = search(script, beam=2, n_best=2, length_penalty=0.0)
    assert (best.classes, second.classes) == ([], [5, 7])
    script = Script({SOS: {5: 0.55, EOS: 0.3, 6: 0.15}, 5: {EOS: 0.1, **dict.fromkeys(range(6, 12), 0.15)}})
    found = search(script, beam=3, n_best=2, length_penalty=0.0)
    assert [hypothesis.classes for hypothesis in found] == [[], [6]]


def test_a_line_is_done_when_nothing_open_can_win():
    script = Script({SOS: {5: 0.99, 6: 0.005, 7: 0.005}, 6: {8: 1.0}, 7: {8: 1.0}, 8: {9: 1.0}, 9: {8: 1.0}})
    assert search(script, beam=3, length_penalty=0.0)[0].classes == [5]
    assert script.steps == 2
    assert len(search(script, beam=3, n_best=3, length_penalty=0.0, max_steps=20)) == 3
    assert script.steps == 20


def test_a_longer_reading_may_win_by_its_mean():
    script = Script({SOS: {5: 0.5, EOS: 0.5}, 5: {6: 1.0}, 6: {7: 1.0}})
    assert search(script, beam=2, length_penalty=1.0)[0].classes == [5, 6, 7]


def test_a_runaway_ranks_behind_every_other_reading():
    script = Script({SOS: {5: 0.9, 6: 0.1}, 5: {5: 1.0}, 6: {7: 0.5, 8: 0.5}})
    best, *_, last = search(script, beam=3, n_best=3)
    assert (best.classes, best.flags) == ([6, 7], ()) or (best.classes, best.flags) == ([6, 8], ())
    assert last.flags == ("repetition",)
    assert last.score > best.score
    assert search(script, beam=1)[0].flags == ("repetition",)
