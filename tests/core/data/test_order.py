"""The order of steps: nothing dropped or repeated, and the same whoever makes the batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from conftest import FONTS, line_image
from hypothesis import given
from hypothesis import strategies as st

from vocr_cli.core.config.tree import BatchConfig, Config, SynthConfig, parse_config
from vocr_cli.core.data.loader.batch import Batch
from vocr_cli.core.data.loader.batching import plan_epoch, plan_unpadded_epoch
from vocr_cli.core.data.loader.buckets import Buckets
from vocr_cli.core.data.loader.dataset import RenderedSource, StoredSource
from vocr_cli.core.data.loader.order import (
    GROUP_LINES,
    START_POSITION,
    Request,
    SourcePosition,
    epoch_requests,
    group_requests,
    schedule,
)
from vocr_cli.core.data.loader.sample import Sample
from vocr_cli.core.data.loader.stream import BatchStream
from vocr_cli.core.synth.source import LineSource
from vocr_cli.core.training.sources import open_run_lines

WIDTHS = st.lists(st.integers(8, 900), min_size=1, max_size=60)
BATCHES = st.builds(BatchConfig, pixels=st.integers(1_000, 90_000), max_lines=st.integers(1, 9))


@given(widths=WIDTHS, config=BATCHES, world=st.integers(1, 5), exact=st.booleans())
def test_over_all_ranks_every_line_comes_once_an_epoch(
    widths: list[int], config: BatchConfig, world: int, exact: bool
) -> None:
    def plan(epoch: int) -> list[np.ndarray]:
        return (plan_unpadded_epoch if exact else plan_epoch)(np.array(widths), 32, config, (3, epoch))

    total = sum(len(plan(epoch)) for epoch in range(3))
    ranks = [epoch_requests(plan, START_POSITION, rank, world) for rank in range(world)]
    rounds = [[next(rank) for rank in ranks] for _ in range(-(-total // world))]
    row = [number for turn in rounds for asked in turn for number in asked.numbers.tolist()]
    for epoch in range(3):
        part = row[epoch * len(widths) : (epoch + 1) * len(widths)]
        assert sorted(part) == list(range(len(widths)))
    assert all(
        len({asked.position for asked in turn}) == 1 for turn in rounds
    )  # ranks agree where they stand


@given(
    widths=WIDTHS, config=BATCHES, world=st.integers(1, 4), then=st.integers(1, 4), stop=st.integers(1, 40)
)
def test_ranks_may_be_more_or_fewer_after_a_restart(
    widths: list[int], config: BatchConfig, world: int, then: int, stop: int
) -> None:
    def plan(epoch: int) -> list[np.ndarray]:
        return plan_epoch(np.array(widths), 32, config, (0, epoch))

    def rounds(start: SourcePosition, count: int, of: int) -> list[Request]:
        ranks = [epoch_requests(plan, start, rank, of) for rank in range(of)]
        return [next(rank) for _ in range(count) for rank in ranks]

    before = rounds(START_POSITION, stop, world)
    after = rounds(before[-1].position, 10, then)
    straight = rounds(START_POSITION, len(before + after), 1)
    assert [asked.numbers.tolist() for asked in before + after] == [
        asked.numbers.tolist() for asked in straight
    ]


@given(
    widths=st.lists(st.integers(8, 300), min_size=1, max_size=150),
    config=BATCHES,
    tokens=st.integers(0, 60),
    world=st.integers(1, 3),
    stop=st.integers(0, 60),
)
def test_rendered_lines_wait_for_batches_and_none_is_lost_by_a_restart(
    widths: list[int], config: BatchConfig, tokens: int, world: int, stop: int
) -> None:
    whole = Config(batch=config.model_copy(update={"tokens": tokens}))

    def samples(numbers: np.ndarray) -> list[Sample]:
        return [
            Sample(
                np.zeros((40, widths[number % len(widths)], 1), np.uint8), [1] * (number % 7), "", str(number)
            )
            for number in numbers.tolist()
        ]

    def batches(start: SourcePosition) -> Iterator[Batch]:
        buckets = Buckets(whole)
        for asked in group_requests(start, world - 1, world):
            yield from buckets.add(asked, samples(asked.numbers))

    straight = list(islice(batches(START_POSITION), stop + 20))
    for batch in straight:
        assert len(batch.names) <= max(1, min(config.max_lines, config.pixels // (batch.images[0].numel())))
        assert (
            len(batch.names) == 1 or not tokens or len(batch.names) * (int(batch.lengths.max()) + 1) <= tokens
        )
    start = straight[stop].position
    had = [int(name) for batch in straight[: stop + 1] for name in batch.names]
    groups = group_requests(START_POSITION, world - 1, world)
    lines = [number for _ in range(start.epoch + 1) for number in next(groups).numbers.tolist()]
    assert sorted([*had, *start.waiting]) == lines[: start.epoch * GROUP_LINES + start.batch]
    rest = islice(batches(start), 19)
    assert [(b.names, b.position) for b in rest] == [(b.names, b.position) for b in straight[stop + 1 :]]


@given(shares=st.lists(st.floats(0.05, 20), min_size=1, max_size=4), steps=st.integers(0, 200))
def test_sources_keep_their_shares_and_go_on_where_they_were(shares: list[float], steps: int) -> None:
    straight = list(islice(schedule(shares, [0] * len(shares)), steps + 50))
    counts = Counter(straight[:steps])
    taken = [counts[source] for source in range(len(shares))]
    assert list(islice(schedule(shares, taken), 50)) == straight[steps:]
    for source, share in enumerate(shares):
        assert abs(taken[source] - steps * share / sum(shares)) < len(shares)


def config_of(annotations: Path) -> Config:
    tree = {
        "data": {"train": [{"annotations": str(annotations)}]},
        "batch": {"pixels": 40_000, "max_lines": 4},
        "charset": {"characters": "abcdefghijklmnopqrstuvwxyz "},
    }
    return parse_config(tree, "test")


@pytest.fixture(scope="module")
def annotations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lines")
    for number in range(23):
        line_image(number, 60 + 17 * (number % 7)).save(folder / f"{number}.png")
    labels = "".join(f"{number}.png\t{chr(97 + number)}\n" for number in range(23))
    (folder / "train.txt").write_text(labels, encoding="utf-8")
    return folder / "train.txt"


def two_sources(annotations: Path) -> list[StoredSource | RenderedSource]:
    config = config_of(annotations)
    run = open_run_lines(config)
    config = config.model_copy(update={"batch": config.batch.model_copy(update={"max_lines": 2})})
    rendered = LineSource(SynthConfig(fonts=(FONTS,), strength=0), run.charset, 1)
    return [*run.train, RenderedSource(rendered, config, run.charset)]


def content(batch: Batch) -> tuple[object, ...]:
    return batch.source, batch.position, batch.texts, batch.names, batch.images.numpy().tobytes()


def test_workers_change_nothing_and_a_position_is_enough_to_go_on(annotations: Path) -> None:
    sources, weights = two_sources(annotations), [1.0, 2.0]
    alone = list(
        islice(BatchStream(sources, weights, [START_POSITION, START_POSITION]).batches(0, False), 70)
    )
    assert max(batch.position.epoch for batch in alone if batch.source == 1) >= 2  # groups
    made = islice(BatchStream(sources, weights, [START_POSITION, START_POSITION]).batches(2, False), 70)
    assert list(map(content, made)) == list(map(content, alone))
    for stop in (1, 9, 40):
        positions = [START_POSITION, START_POSITION]
        for batch in alone[:stop]:
            positions[batch.source] = batch.position
        rest = islice(BatchStream(sources, weights, positions).batches(0, False), 70 - stop)
        assert list(map(content, rest)) == list(map(content, alone[stop:]))


def test_an_epoch_holds_every_line_once_whatever_the_world(annotations: Path) -> None:
    (source,) = open_run_lines(config_of(annotations)).train
    assert isinstance(source, StoredSource)
    count = len(source.plan(0))
    ranks = [BatchStream([source], [1.0], [START_POSITION], rank, 2).batches(0, False) for rank in range(2)]
    had = [next(ranks[turn % 2]) for turn in range(count)]
    assert sorted(text for batch in had for text in batch.texts) == [chr(97 + number) for number in range(23)]


def test_a_batch_in_pieces_is_the_batch(annotations: Path) -> None:
    (source,) = open_run_lines(config_of(annotations)).train
    batch = max(
        islice(BatchStream([source], [1.0], [START_POSITION]).batches(0, False), 8),
        key=lambda b: len(b.texts),
    )
    for parts in (1, 2, 3, 99):
        pieces = batch.split(parts)
        assert len(pieces) == min(parts, len(batch.texts)) and {p.position for p in pieces} == {
            batch.position
        }
        assert [text for piece in pieces for text in piece.texts] == batch.texts
        assert np.array_equal(np.concatenate([piece.images for piece in pieces]), batch.images)
        assert np.array_equal(np.concatenate([piece.targets for piece in pieces]), batch.targets)
        assert all(len(piece.targets) == piece.lengths.sum() for piece in pieces)
