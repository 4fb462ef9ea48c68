"""A language model from text to file and back."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vocr_cli.core.errors import DataError, ModelError
from vocr_cli.core.language_model.build import build_language_model
from vocr_cli.core.language_model.ngram import (
    NgramModel,
    dequantized,
    open_language_model,
    quantized,
)

TEXT = """Cộng hòa xã hội chủ nghĩa Việt Nam
Độc lập - Tự do - Hạnh phúc
Căn cứ Luật số 91/2015/QH13 ngày 24 tháng 11 năm 2015;
Hà Nội, ngày 5 tháng 3 năm 2020
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lm")
    (folder / "text.txt").write_text(TEXT * 60, encoding="utf-8")
    build_language_model([folder / "text.txt"], folder / "a.lm", order=5, max_bytes=60_000, provenance="ours")
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> NgramModel:
    return open_language_model(str(folder / "a.lm"))


@settings(max_examples=200, deadline=None)
@given(context=st.lists(st.integers(1, 1_000), max_size=9))
def test_probabilities_sum_to_one_after_every_context(model: NgramModel, context: list[int]) -> None:
    symbols = bytes(number % len(model.alphabet) + 1 for number in context)
    after = model.probabilities(symbols)
    assert after.sum() == pytest.approx(1) and after.min() > 0
    longer = model.probabilities(b"\1" * 9 + symbols)
    assert np.array_equal(after, longer) or len(symbols) < model.order - 1


def test_every_context_of_the_text_sums_to_one_without_mending(model: NgramModel) -> None:
    """What is stored of a context leaves room for what is not; the final division is for rounding alone."""
    symbols = model.encode(" cộng hòa xã hội chủ nghĩa việt nam")
    for index in range(1, len(symbols)):
        after = model.probabilities(symbols[:index])
        assert after[symbols[index] - 1] > 0.5 / len(model.alphabet)


def test_the_embedded_model_knows_vietnamese() -> None:
    model = open_language_model("vi")
    after = dict(zip(model.alphabet, model.probabilities(model.encode(" cộng h")), strict=True))
    assert after["ò"] > 0.5 > after["o"] > after["x"]
    assert "CC BY-SA" in model.header.provenance and (model.header.held_out_bits or 9) < 1.6


@settings(max_examples=100, deadline=None)
@given(probability=st.floats(1e-6, 1 - 1e-9))
def test_a_quantised_probability_is_close_and_never_higher(probability: float) -> None:
    (stored,) = dequantized(quantized(np.array([probability])))
    assert stored <= probability * (1 + 1e-12)
    assert -math.log(stored) <= -math.log(probability) + 0.13


def test_counts_become_witten_bell_probabilities(tmp_path: Path) -> None:
    """After `a` come twice `b` and once the space: (2 + 2 p(b)) / (3 + 2)."""
    (tmp_path / "t.txt").write_text("ab\nab\na\n", encoding="utf-8")
    build_language_model([tmp_path / "t.txt"], tmp_path / "t.lm", order=2, max_bytes=50_000)
    model = open_language_model(str(tmp_path / "t.lm"))
    assert model.alphabet == " .#ab"
    counts = {" ": 7, ".": 1, "#": 1, "a": 4, "b": 3}  # each symbol once more than it is met
    single = {symbol: (count + 5 / 5) / (16 + 5) for symbol, count in counts.items()}
    after_a = dict(zip(model.alphabet, model.probabilities(model.encode("a")), strict=True))
    assert after_a["b"] == pytest.approx((2 + 2 * single["b"]) / 5, rel=0.05)
    assert after_a[" "] == pytest.approx((1 + 2 * single[" "]) / 5, rel=0.05)


def test_the_same_text_gives_the_same_bytes(folder: Path) -> None:
    build_language_model([folder / "text.txt"], folder / "b.lm", order=5, max_bytes=60_000, provenance="ours")
    assert (folder / "b.lm").read_bytes() == (folder / "a.lm").read_bytes()


@pytest.mark.parametrize("max_bytes", [4_480, 4_800, 5_300])
def test_a_model_fits_its_size_and_keeps_the_beginnings_of_what_it_keeps(
    folder: Path, max_bytes: int
) -> None:
    report = build_language_model([folder / "text.txt"], folder / "s.lm", order=6, max_bytes=max_bytes)
    assert report.size_bytes == (folder / "s.lm").stat().st_size <= max_bytes
    assert report.kept[0] == report.counted[0] and sum(report.kept) < sum(report.counted)
    open_language_model(str(folder / "s.lm"))  # would refuse n-grams that hang in the air


def test_a_text_without_letters_and_too_little_room_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "n.txt").write_text("12 34\n", encoding="utf-8")
    (tmp_path / "l.txt").write_bytes("é".encode("latin-1"))
    for text, size, words in (
        (tmp_path / "n.txt", 50_000, "no letters"),
        (folder / "text.txt", 4_100, "too few"),
        (tmp_path / "l.txt", 50_000, "not UTF-8"),
        (tmp_path / "none.txt", 50_000, "No text"),
    ):
        with pytest.raises(DataError, match=words) as caught:
            build_language_model([text], tmp_path / "x.lm", max_bytes=size)
        assert caught.value.fix and not (tmp_path / "x.lm").exists()


def flipped(content: bytes) -> bytes:
    return content[:-5] + bytes([content[-5] ^ 1]) + content[-4:]


def with_header(**changes: object) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        magic, length, rest = content.split(b"\n", 2)
        header = json.loads(rest[: int(length)]) | changes
        text = json.dumps(header, ensure_ascii=False).encode()
        return b"%b\n%d\n%b%b" % (magic, len(text), text, rest[int(length) :])

    return change


def hanging(content: bytes) -> bytes:
    """One n-gram claims a child more than there is, and the checksum agrees."""
    _, length, rest = content.split(b"\n", 2)
    body = bytearray(rest[int(length) :])
    first = json.loads(rest[: int(length)])["ngrams"][0]
    body[2 * first] += 1
    return with_header(crc32=zlib.crc32(body))(content[: -len(body)] + bytes(body))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda content: b"", "no language model"),
        (lambda content: b"PK" + content, "no language model"),
        (lambda content: content.replace(b"vocr-lm 1", b"vocr-lm 2", 1), "version '2'"),
        (lambda content: content[:-1], "bytes of n-grams"),
        (lambda content: content[:40], "damaged"),
        (flipped, "checksum"),
        (with_header(order=9), "order"),
        (with_header(order=4), "order 4"),
        (with_header(more=1), "more"),
        (hanging, "hang together"),
    ],
)
def test_a_damaged_file_is_refused(
    folder: Path, tmp_path: Path, damage: Callable[[bytes], bytes], words: str
) -> None:
    (tmp_path / "d.lm").write_bytes(damage((folder / "a.lm").read_bytes()))
    with pytest.raises(ModelError, match=words) as caught:
        open_language_model(str(tmp_path / "d.lm"))
    assert caught.value.fix and "d.lm" in caught.value.problem


def test_a_missing_file_is_named_with_the_embedded_one(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="No language model") as caught:
        open_language_model(str(tmp_path / "none.lm"))
    assert "vi" in caught.value.fix
