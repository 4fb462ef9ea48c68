"""Stepping token by token against reading the whole prefix anew."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import tiny

from vocr_cli.core.decoding.incremental import make_incremental_decoder
from vocr_cli.core.errors import ModelError

SEQUENCES = ("transformer", "seq2seq", "convseq2seq")
every_sequence = pytest.mark.parametrize("sequence", SEQUENCES)


def steps(decoder, tokens):
    """(R, T) tokens to (R, T, C) logits, one step after the other."""
    return torch.stack([decoder.step(column) for column in tokens.T], dim=1)


def decoded(model, features, tokens, dtype=torch.float32, max_steps=20):
    decoder = make_incremental_decoder(model, dtype, max_steps)
    decoder.start(features)
    return steps(decoder, tokens)


def expected(model, features, tokens):
    with torch.no_grad():
        return model.transformer(features, tokens)


def close(first, second):
    torch.testing.assert_close(first, second, rtol=1e-5, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(
    sequence=st.sampled_from(SEQUENCES),
    lines=st.integers(1, 4),
    columns=st.integers(1, 9),
    length=st.integers(1, 12),
    seed=st.integers(0, 10_000),
)
def test_a_step_gives_what_the_whole_prefix_gives(sequence, lines, columns, length, seed):
    model = tiny(sequence, seed=seed)
    features, tokens = torch.randn(columns, lines, 16), torch.randint(0, 12, (lines, length))
    close(decoded(model, features, tokens, max_steps=20), expected(model, features, tokens))


@every_sequence
def test_the_caches_grow_without_losing_anything(sequence):
    model = tiny(sequence, seed=1)
    features, tokens = torch.randn(5, 2, 16), torch.randint(0, 12, (2, 50))
    close(decoded(model, features, tokens, max_steps=50), expected(model, features, tokens))


@settings(max_examples=20, deadline=None)
@given(
    sequence=st.sampled_from(SEQUENCES), beams=st.integers(1, 3), seed=st.integers(0, 10_000), data=st.data()
)
def test_lines_leave_and_beams_follow_their_back_pointers(sequence, beams, seed, data):
    model = tiny(sequence, seed=seed)
    lines = 3
    features, tokens = torch.randn(6, lines, 16), torch.randint(0, 12, (lines * beams, 5))
    decoder = make_incremental_decoder(model, torch.float32, 20)
    decoder.start(features, beams)
    steps(decoder, tokens)
    places = data.draw(st.lists(st.integers(0, beams - 1), min_size=len(tokens), max_size=len(tokens)))
    pointers = torch.tensor([row // beams * beams + place for row, place in enumerate(places)])
    decoder.reorder(pointers)
    kept = data.draw(st.lists(st.integers(0, lines - 1), min_size=1, max_size=lines, unique=True))
    rows = torch.tensor([line * beams + beam for line in kept for beam in range(beams)])
    decoder.keep(rows)
    more = torch.randint(0, 12, (len(rows), 3))
    histories = torch.cat((tokens[pointers][rows], more), dim=1)
    of_rows = features[:, kept].repeat_interleave(beams, dim=1)
    close(steps(decoder, more), expected(model, of_rows, histories)[:, -3:])


@settings(max_examples=40, deadline=None)
@given(
    sequence=st.sampled_from(SEQUENCES),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    more=st.integers(0, 3),
    beams=st.integers(1, 2),
    seed=st.integers(0, 10_000),
    data=st.data(),
)
def test_nothing_behind_the_end_of_a_line_is_looked_at(sequence, lengths, more, beams, seed, data):
    model = tiny(sequence, seed=seed)
    features = torch.randn(max(lengths) + more, len(lengths), 16)
    tokens = torch.randint(0, 12, (len(lengths) * beams, 6))
    decoder = make_incremental_decoder(model, torch.float32, 20)
    decoder.start(features, beams, torch.tensor(lengths))
    together = steps(decoder, tokens[:, :3])
    kept = data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, unique=True))
    rows = torch.tensor([line * beams + beam for line in kept for beam in range(beams)])
    decoder.keep(rows)
    later = steps(decoder, tokens[rows, 3:])
    for line, length in enumerate(lengths):
        own = slice(line * beams, (line + 1) * beams)
        alone = expected(model, features[:length, line : line + 1].expand(-1, beams, -1), tokens[own])
        close(together[own], alone[:, :3])
        if line in kept:
            place = kept.index(line) * beams
            close(later[place : place + beams], alone[:, 3:])


@every_sequence
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_padded_lines_stay_near_in_either_precision(sequence, dtype):
    model = tiny(sequence, seed=4)
    features, tokens = torch.randn(9, 2, 16), torch.randint(0, 12, (2, 6))
    decoder = make_incremental_decoder(model, dtype, 20)
    decoder.start(features, lengths=torch.tensor([4, 9]))
    logits, exact = steps(decoder, tokens), expected(model, features[:4, :1], tokens[:1])
    assert (logits[:1] - exact).abs().max() < 0.1 * exact.abs().max()


def test_a_gru_of_torch_leaves_padding_out_as_ours_does():
    """GPUs take torch's; it runs on CPUs, too."""
    model = tiny("seq2seq", seed=8)
    weights = {name: value.detach() for name, value in model.transformer.state_dict().items()}
    decoder = make_incremental_decoder(model, torch.float32, 20)
    features, lengths = torch.randn(7, 3, 16), torch.tensor([3, 7, 5])
    tokens = torch.randint(0, 12, (3, 4))
    decoder.start(features, lengths=lengths)
    ours = steps(decoder, tokens)
    gru = torch.nn.GRU(16, 8, bidirectional=True)
    gru.load_state_dict(
        {key.removeprefix("encoder.rnn."): value for key, value in weights.items() if "encoder.rnn." in key}
    )
    decoder._encoder = gru.requires_grad_(False)
    decoder.start(features, lengths=lengths)
    close(steps(decoder, tokens), ours)


@every_sequence
@pytest.mark.parametrize("lengths", [[4], [0, 4], [4, 5]])
def test_lengths_that_do_not_fit_are_refused(sequence, lengths):
    decoder = make_incremental_decoder(tiny(sequence), torch.float32, 20)
    with pytest.raises(ValueError, match="lengths"):
        decoder.start(torch.randn(4, 2, 16), lengths=torch.tensor(lengths))


@every_sequence
def test_a_start_forgets_the_batch_before(sequence):
    decoder = make_incremental_decoder(tiny(sequence, seed=3), torch.float32, 20)
    features, tokens = torch.randn(4, 2, 16), torch.randint(0, 12, (2, 3))
    decoder.start(features)
    fresh = steps(decoder, tokens)
    decoder.start(torch.randn(7, 3, 16), beams=2)
    steps(decoder, torch.randint(0, 12, (6, 4)))
    decoder.start(features)
    assert torch.equal(steps(decoder, tokens), fresh)


@every_sequence
def test_copies_read_batches_of_their_own(sequence):
    decoder = make_incremental_decoder(tiny(sequence, seed=6), torch.float32, 20)
    batches = [(torch.randn(4, 2, 16), torch.randint(0, 12, (2, 5))) for _ in range(2)]
    alone = []
    for features, tokens in batches:
        decoder.start(features)
        alone.append(steps(decoder, tokens))
    copies = [copy.copy(decoder), copy.copy(decoder)]
    for each, (features, _) in zip(copies, batches, strict=True):
        each.start(features)
    in_turn = [
        torch.stack([each.step(tokens[:, step]) for each, (_, tokens) in zip(copies, batches, strict=True)])
        for step in range(5)
    ]
    assert torch.equal(torch.stack(in_turn, dim=2), torch.stack(alone))


@every_sequence
def test_bf16_stays_near_and_gives_float32_logits(sequence):
    model = tiny(sequence, seed=4)
    features, tokens = torch.randn(4, 2, 16), torch.randint(0, 12, (2, 6))
    logits = decoded(model, features, tokens, torch.bfloat16)
    exact = expected(model, features, tokens)
    assert logits.dtype == torch.float32
    assert 0 < (logits - exact).abs().max() < 0.1 * exact.abs().max()


@every_sequence
def test_a_stepper_leaves_the_model_as_it_is(sequence):
    model = tiny(sequence, seed=5)
    before = {name: value.clone() for name, value in model.transformer.state_dict().items()}
    decoder = make_incremental_decoder(model, torch.float32, 20)
    decoder.start(torch.randn(4, 2, 16))
    steps(decoder, torch.randint(0, 12, (2, 4)))
    assert all(torch.equal(value, before[name]) for name, value in model.transformer.state_dict().items())


@pytest.mark.parametrize(("sequence", "columns"), [("transformer", 65), ("convseq2seq", 21)])
def test_a_line_beyond_the_table_of_positions_is_refused(sequence, columns):
    decoder = make_incremental_decoder(tiny(sequence), torch.float32, 20)
    with pytest.raises(ModelError, match=f"{columns} columns"):
        decoder.start(torch.randn(columns, 1, 16))


@pytest.mark.parametrize("sequence", ["transformer", "convseq2seq"])
def test_steps_end_where_the_table_of_positions_ends(sequence):
    decoder = make_incremental_decoder(tiny(sequence), torch.float32, 1_000)
    assert decoder.max_steps == 64
    decoder.start(torch.randn(3, 1, 16))
    steps(decoder, torch.ones(1, 64, dtype=torch.int64))
    with pytest.raises(ValueError, match="at most 64 steps"):
        decoder.step(torch.tensor([1]))
