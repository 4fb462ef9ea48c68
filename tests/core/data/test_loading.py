"""Opening, planning and reading large sets: what is quick must be what was slow."""

from __future__ import annotations

import json
import os
import pickle
import struct
from itertools import pairwise
from pathlib import Path

import lmdb
import numpy as np
import pytest
from conftest import line_png, write_database
from hypothesis import given
from hypothesis import strategies as st

from vocr_cli.core.config.tree import BatchConfig, Config, ImageConfig, parse_config
from vocr_cli.core.data.images.fit import fitted_width, planned_widths
from vocr_cli.core.data.lmdb.environments import read_settings
from vocr_cli.core.data.lmdb.store import LineStore, LineWriter, StoredLine
from vocr_cli.core.data.loader.batching import lines_that_fit, plan_epoch, plan_unpadded_epoch
from vocr_cli.core.data.loader.dataset import StoredSource
from vocr_cli.core.data.loader.line_cache import LineCache
from vocr_cli.core.data.loader.order import START_POSITION, Request
from vocr_cli.core.data.loader.stream import BatchStream
from vocr_cli.core.errors import DataError
from vocr_cli.core.training.sources import open_run_lines

HEIGHT = 40
LINES = st.lists(st.tuples(st.integers(1, 900), st.integers(1, 90)), max_size=400)
CONFIGS = st.builds(
    BatchConfig,
    pixels=st.integers(1_000, 90_000),
    max_lines=st.integers(1, 9),
    bucket_px=st.sampled_from([1, 32, 200]),
    tokens=st.sampled_from([0, 60, 400]),
)


def greedy_cut(widths: list[int], tokens: list[int], config: BatchConfig) -> list[int]:
    """Lengths of runs, line by line: each takes the next line while it fits under every budget."""
    lengths: list[int] = []
    run: list[int] = []
    for index, width in enumerate(widths):
        more = [*run, index]
        fits = (
            len(more) <= config.max_lines
            and len(more) * width * HEIGHT <= config.pixels
            and (not config.tokens or len(more) * max(tokens[line] for line in more) <= config.tokens)
        )
        if run and not fits:
            lengths.append(len(run))
            more = [index]
        run = more
    return [*lengths, len(run)] if run else lengths


@given(lines=LINES, config=CONFIGS)
def test_an_epoch_cut_in_arrays_is_the_one_cut_line_by_line(
    lines: list[tuple[int, int]], config: BatchConfig
) -> None:
    widths, tokens = np.array(lines, np.int32).reshape(-1, 2).T
    padded = -(-widths.astype(int) // config.bucket_px) * config.bucket_px
    rng = np.random.default_rng((3, 1))
    order = rng.permutation(len(widths))
    window = 64 * lines_that_fit(int(np.median(widths)), HEIGHT, config) if lines else 1
    slow: list[list[int]] = []
    for start in range(0, len(order), window):
        part = sorted(
            order[start : start + window].tolist(),
            key=lambda line: (padded[line], tokens[line] if config.tokens else 0),
        )
        lengths = greedy_cut(
            [int(padded[line]) for line in part], [int(tokens[line]) for line in part], config
        )
        slow += [part[begin:end] for begin, end in pairwise(np.cumsum([0, *lengths]).tolist())]
    expected = [slow[turn] for turn in rng.permutation(len(slow))]
    found = plan_epoch(widths, HEIGHT, config, (3, 1), tokens)
    assert [batch.tolist() for batch in found] == expected


@given(lines=LINES, config=CONFIGS)
def test_an_unpadded_epoch_fills_up_with_what_is_left_of_each_width(
    lines: list[tuple[int, int]], config: BatchConfig
) -> None:
    widths, tokens = np.array(lines, np.int32).reshape(-1, 2).T
    config = config.model_copy(update={"bucket_px": 1})
    expected, left = list[list[int]](), list[tuple[int, int]]()
    for width in sorted(set(widths.tolist())):
        same = sorted(tokens[widths == width].tolist())
        lengths = greedy_cut([width] * len(same), same, config)
        one_more = greedy_cut([width] * (lengths[-1] + 1), same[-lengths[-1] :] + same[-1:], config)
        if one_more[0] == lengths[-1]:  # nothing fits beside the last ones
            lengths.append(0)
        expected += [[width] * length for length in lengths[:-1]]
        left += [(width, count) for count in same[len(same) - lengths[-1] :]]
    if not config.tokens:  # else the longest labels are left
        left = [(width, 1) for width, _ in left]
    lengths = greedy_cut([width for width, _ in left], [count for _, count in left], config)
    for begin, end in pairwise(np.cumsum([0, *lengths]).tolist()):
        expected.append([width for width, _ in left[begin:end]])
    batches = list(plan_unpadded_epoch(widths, HEIGHT, config, (3, 1), tokens))
    assert sorted(sorted(widths[batch].tolist()) for batch in batches) == sorted(expected)
    assert sorted(line for batch in batches for line in batch.tolist()) == list(range(len(widths)))


def test_rare_widths_make_no_steps_of_their_own() -> None:
    widths = np.array([100] * 70 + [10 * width for width in range(20, 50)])
    config = BatchConfig(max_lines=32, pixels=10_000_000)
    sizes = [len(batch) for batch in plan_unpadded_epoch(widths, HEIGHT, config, (0, 0))]
    assert sorted(sizes) == [4, 32, 32, 32]


def test_full_batches_of_one_width_are_not_taken_apart() -> None:
    widths = np.array([60] + [width for width in range(100, 132) for _ in range(32)])
    config = BatchConfig(max_lines=32, pixels=10_000_000)
    batches = plan_unpadded_epoch(widths, HEIGHT, config, (0, 0))
    assert all(len(set(widths[batch].tolist())) == 1 for batch in batches) and len(batches) == 33


def test_unpadded_epochs_differ() -> None:
    widths = np.full(300, 100)
    first, other = (
        np.concatenate(list(plan_unpadded_epoch(widths, HEIGHT, BatchConfig(), (0, n)))) for n in (0, 1)
    )
    assert not np.array_equal(first, other) and sorted(first) == sorted(other)


@given(
    sizes=st.lists(st.tuples(st.integers(1, 5000), st.integers(1, 300)), min_size=1, max_size=50),
    stretch=st.sampled_from([0.7, 1.0, 1.3]),
    multiple=st.sampled_from([1, 8, 10]),
)
def test_planned_widths_are_those_lines_get(
    sizes: list[tuple[int, int]], stretch: float, multiple: int
) -> None:
    image = ImageConfig(stretch=stretch, width_multiple_px=multiple)
    widths, heights = np.array(sizes, np.int32).T
    assert planned_widths(widths, heights, image).tolist() == [fitted_width(*size, image) for size in sizes]


def build(path: Path, texts: list[str]) -> Path:
    return write_database(path, texts, range(60, 130, 17))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return build(tmp_path / "db", ["nhãn", *(f"a{number}" for number in range(20))])


def config_of(database: Path, **data: object) -> Config:
    tree = {
        "data": {"train": [{"lmdb": str(database)}], "workers": 0} | data,
        "batch": {"pixels": 40_000, "max_lines": 4},
    }
    return parse_config(tree, "test")


def without(database: Path, *keys: bytes) -> None:
    with lmdb.open(str(database)) as environment, environment.begin(write=True) as transaction:
        assert all(transaction.delete(key) for key in keys)
    (database / "lock.mdb").unlink()


def forbidden(*_: object) -> str:
    raise AssertionError("a label was read")


def test_a_run_opens_without_reading_labels(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LineStore, "_text", forbidden)
    monkeypatch.setattr("vocr_cli.core.data.lmdb.store.stored_label", forbidden)
    monkeypatch.setattr("vocr_cli.core.data.lmdb.store.scan_index", forbidden)
    (source,) = open_run_lines(config_of(database)).train
    assert isinstance(source, StoredSource) and len(source) == 21
    assert sorted(line for batch in source.plan(0) for line in batch.tolist()) == list(range(21))
    with pytest.raises(AssertionError, match="a label was read"):
        source.sample(0)


def test_characters_are_recorded_and_found_without_the_record(database: Path) -> None:
    seen: list[int] = []
    with LineStore(database) as store:
        store.survey(seen.append)
        recorded = store.characters
    assert recorded == "".join(sorted(set("nhãna0123456789"))) and not seen
    without(database, b"vocr-characters")
    with LineStore(database) as store:
        assert store.has_index and store.characters == recorded
    without(database, b"vocr-index")
    with LineStore(database) as store:
        store.survey(seen.append)
        assert store.characters == recorded and sum(seen) == 21 and not store.has_index


def test_a_character_record_that_no_longer_fits_is_not_believed(database: Path) -> None:
    with lmdb.open(str(database)) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"image-000000021", line_png(0, 60))
        transaction.put(b"label-000000021", "ß".encode())
    with LineStore(database) as store:
        assert len(store) == 22 and "ß" in store.characters
    with pytest.raises(DataError, match=r"U\+00DF.*line 21"):
        open_run_lines(config_of(database))


def test_an_unknown_character_is_still_named_with_its_line(tmp_path: Path) -> None:
    database = build(tmp_path / "db", ["a", "ß", "b", "ßß"])
    with pytest.raises(DataError, match=r"U\+00DF .*3 ×, first in line 1 "):
        open_run_lines(config_of(database))


def test_a_missing_or_broken_label_is_named_when_a_run_opens(database: Path) -> None:
    without(database, b"label-000000007", b"vocr-index", b"vocr-characters")
    with pytest.raises(DataError, match="line 7 has no label"):
        open_run_lines(config_of(database))


def test_a_resumed_build_knows_the_characters_from_before(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), LineWriter(tmp_path / "db", fingerprint="x") as writer:
        writer.add(StoredLine(line_png(0, 60), "một", "0"), 60, 30)
        raise KeyboardInterrupt
    with LineWriter(tmp_path / "db", fingerprint="x", resume=True) as writer:
        writer.add(StoredLine(line_png(1, 60), "hai", "1"), 60, 30)
    environment = lmdb.open(str(tmp_path / "db"), readonly=True, lock=False)
    with environment.begin() as transaction:
        assert json.loads(transaction.get(b"vocr-characters")) == [2, "ahimtộ"]
    environment.close()


@pytest.mark.parametrize("family", ["ctc", "vietocr"])
@pytest.mark.parametrize("cache_mb", [0.0, 0.012, 5.0])
def test_cached_lines_are_the_lines(database: Path, family: str, cache_mb: float) -> None:
    config = config_of(database)
    if family == "vietocr":
        config = parse_config(
            {"model": {"family": family}, "data": {"train": [{"lmdb": str(database)}]}}, "t"
        )
    (plain,) = open_run_lines(config).train
    assert isinstance(plain, StoredSource)
    limit = int(cache_mb * 1e6)
    source = StoredSource(plain.store, config, plain.charset, plain.seed, cache_bytes=limit)
    for _ in range(3):
        for number in range(len(source)):
            found, expected = source.sample(number, True), plain.sample(number, True)
            assert np.array_equal(found.pixels, expected.pixels) and found.pixels.dtype == np.uint8
            assert (found.classes, found.text, found.name) == (expected.classes, expected.text, expected.name)
    assert (len(source._cache) == 0, len(source._cache) == 21) == (cache_mb == 0, cache_mb == 5)


def test_what_is_cached_is_not_decoded_again(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (source,) = open_run_lines(config_of(database, cache_mb=1)).train
    assert isinstance(source, StoredSource)
    first = source.fetch(Request(np.arange(5), START_POSITION))
    monkeypatch.setattr("vocr_cli.core.data.loader.dataset.open_line", forbidden)
    again = source.fetch(Request(np.arange(5), START_POSITION))
    assert again.images.equal(first.images) and again.texts == first.texts
    with pytest.raises(AssertionError):
        source.sample(5)


def test_a_line_stretched_for_its_label_is_not_cached_at_another_width(tmp_path: Path) -> None:
    database = build(tmp_path / "db", ["a" * 60, "b"])
    (source,) = open_run_lines(config_of(database, cache_mb=1)).train
    assert isinstance(source, StoredSource)
    first, again = source.sample(0), source.sample(0)
    assert first.width_px > source.widths[0] and np.array_equal(first.pixels, again.pixels)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_forked_workers_share_what_they_decode() -> None:
    cache = LineCache(np.full(4, 6), 18)
    assert len(cache) == 3
    child = os.fork()
    if child == 0:
        for number in range(4):
            cache.put(number, np.full((2, 3), 7 + number, np.uint8))
        os._exit(0)
    os.waitpid(child, 0)
    found = [cache.get(number) for number in range(4)]
    assert [None if one is None else one.tolist() for one in found] == [[7] * 6, [8] * 6, [9] * 6, None]


def test_a_pickled_cache_starts_empty_with_its_part_of_the_memory() -> None:
    cache = LineCache(np.full(8, 10), 80, processes=2)
    cache.put(0, np.ones(10, np.uint8))
    other = pickle.loads(pickle.dumps(cache))
    assert len(cache) == 8 and len(other) == 4 and other.get(0) is None


def test_batches_from_cached_and_pickled_sources_are_equal(database: Path) -> None:
    def texts(source: StoredSource) -> list[list[str]]:
        batches = BatchStream([source], [1], [START_POSITION]).batches(0, False)
        return [next(batches).texts for _ in range(20)]

    (source,) = open_run_lines(config_of(database, cache_mb=1)).train
    assert isinstance(source, StoredSource)
    first = texts(source)
    assert texts(source) == first == texts(pickle.loads(pickle.dumps(source)))


def test_readahead_is_for_files_that_fit_in_memory() -> None:
    assert read_settings(10, 100)["readahead"] and not read_settings(100, 99)["readahead"]
    assert read_settings(10**15, None)["readahead"]


@pytest.mark.usefixtures("without_root_rights")
def test_a_read_only_folder_can_be_read(database: Path) -> None:
    database.chmod(0o500)
    (database / "data.mdb").chmod(0o400)
    assert LineStore(database)[0].text == "nhãn" and os.listdir(database) == ["data.mdb"]


def test_a_damaged_page_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    """Inner pages overwritten: lmdb finds them unsound rather than reading nonsense."""
    database = build(tmp_path / "db", [f"a{number}" for number in range(200)])
    file = database / "data.mdb"
    content = bytearray(file.read_bytes())
    size = struct.unpack_from("<I", content, 40)[0]
    content[2 * size : -size] = b"\0" * (len(content) - 3 * size)
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"damaged|not of text lines|has no"):
        LineStore(database)[100]
