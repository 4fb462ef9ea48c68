"""Readings kept for later runs: never a wrong one, and never too many."""

from __future__ import annotations

import io
import multiprocessing
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import line_image
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import vocr_cli
from vocr_cli.app import app
from vocr_cli.core.errors import DataError
from vocr_cli.core.inference import Reading, Recognizer, read_all
from vocr_cli.core.inference.cache.identity import reading_identity
from vocr_cli.core.inference.cache.result_cache import CachedLine, ResultCache
from vocr_cli.core.inference.inputs.sources import LineInput, find_lines
from vocr_cli.core.inference.model_source import find_source
from vocr_cli.core.inference.outputs.text_files import format_result
from vocr_cli.core.inference.prepare import LineResult

IDENTITY = {"model": "a", "beam": 1}
MEGABYTE = 1 << 20


SIZE_PX = (90, 30)


def reading(text: str, characters: int = 20) -> Reading:
    return Reading(text, 0.5, tuple(0.1 for _ in range(characters)), ("squeezed",))


def filled(folder: Path, texts: Sequence[str], **settings: object) -> None:
    cache = ResultCache(folder, IDENTITY, **settings)  # type: ignore[arg-type]
    for text in texts:
        cache.add(cache.content_key(text.encode()), cache.pixels_key(picture(text)), reading(text), SIZE_PX)
    cache.close()


def picture(text: str):  # type: ignore[no-untyped-def]
    return line_image(int.from_bytes(text.encode()[:4], "little"))


def kept(folder: Path, texts: Sequence[str], identity: dict[str, object] | None = None) -> list[str | None]:
    cache = ResultCache(folder, identity or IDENTITY)
    found = cache.find([cache.content_key(text.encode()) for text in texts])
    cache.close()
    return [None if entry is None else entry.reading.text for entry in found]


@given(
    text=st.text(max_size=9),
    confidences=st.lists(st.floats(0, 1), max_size=9),
    score=st.floats(-50, 0),
)
def test_a_record_gives_back_every_digit(text: str, confidences: list[float], score: float) -> None:
    made = Reading(text, 1 / 3, tuple(confidences), ("crowded",), ((text, score), ("b", -1.5)))
    stored = CachedLine(made, *SIZE_PX)
    assert CachedLine.unpack(stored.pack()) == stored


def read(
    model: Path, lines: list[LineInput], folder: Path, **options: object
) -> tuple[list[LineResult], int]:
    recognizer = Recognizer.load(model, "cpu", "fp32", threads=1, **options)  # type: ignore[arg-type]
    allow = str(options.get("allow", ""))
    cache = ResultCache(folder, reading_identity(recognizer, find_source(model), allow, ""))
    results = list(read_all(recognizer, lines, 1, cache=cache))
    cache.close()
    return results, cache.hits


def test_a_second_run_gives_identical_output_without_the_model(
    tiny_model: Path, lines_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad.png").write_bytes(b"nothing")
    line_image(1, 1500).save(tmp_path / "wide.png")
    lines = list(
        find_lines([lines_folder, tmp_path / "wide.png", tmp_path / "bad.png", tmp_path / "gone.png"])
    )
    first, hits = read(tiny_model, lines, tmp_path / "cache")
    assert hits == 0

    def refused(*_: object) -> None:
        raise AssertionError("the model was asked")

    monkeypatch.setattr(Recognizer, "read_fitted", refused)
    second, hits = read(tiny_model, lines, tmp_path / "cache")
    assert hits == 13
    assert [format_result(one, "jsonl") for one in second] == [format_result(one, "jsonl") for one in first]
    assert "squeezed" in format_result(second[12], "jsonl")


def test_the_same_pixels_in_another_file_format_are_found(tiny_model: Path, tmp_path: Path) -> None:
    def stored(kind: str) -> list[LineInput]:
        data = io.BytesIO()
        line_image(3).save(data, kind)
        return [LineInput(f"a.{kind}", data.getvalue())]

    first, _ = read(tiny_model, stored("PNG"), tmp_path)
    second, hits = read(tiny_model, stored("BMP"), tmp_path)
    assert hits == 1 and second[0].reading == first[0].reading and second[0].path == "a.BMP"
    assert read(tiny_model, stored("BMP"), tmp_path)[1] == 1


def test_another_model_or_option_reads_anew(tiny_model: Path, lines_folder: Path, tmp_path: Path) -> None:
    lines = list(find_lines([lines_folder]))
    read(tiny_model, lines, tmp_path)
    limited, hits = read(tiny_model, lines, tmp_path, allow="ab")
    assert hits == 0 and all(set(one.reading.text) <= set("ab") for one in limited if one.reading)
    assert read(tiny_model, lines, tmp_path, beam=2)[1] == 0
    other = tmp_path / "other.safetensors"
    other.write_bytes(tiny_model.read_bytes())
    assert read(other, lines, tmp_path)[1] == 12  # the same weights under another name
    assert kept(tmp_path, ["a"], {**IDENTITY, "beam": 2}) == [None]


def test_the_least_recently_used_goes_first_and_the_file_keeps_its_limit(tmp_path: Path) -> None:
    filled(tmp_path, ["old", "used"])
    big = [f"{number:04}" for number in range(2500)]
    cache = ResultCache(tmp_path, IDENTITY, 4 * MEGABYTE, refresh_seconds=0)
    for start in range(0, len(big), 100):
        for text in big[start : start + 100]:
            keys = cache.content_key(text.encode()), cache.content_key(b"pixels" + text.encode())
            cache.add(*keys, reading(text, 300), SIZE_PX)
        cache.find([cache.content_key(b"used")])
        cache.flush()
    cache.close()
    assert (tmp_path / "data.mdb").stat().st_size <= 4 * MEGABYTE
    found = kept(tmp_path, ["old", "used", *big])
    assert found[0] is None and found[1] == "used" and found[-1] == big[-1]
    present = [entry is not None for entry in found[2:]]
    assert present == sorted(present) and 200 < sum(present) < 2500


def test_a_flipped_bit_is_no_reading(tmp_path: Path) -> None:
    filled(tmp_path, ["unmistakable"])
    file = tmp_path / "data.mdb"
    data = file.read_bytes()
    assert data.count(b"unmistakable") >= 1
    file.write_bytes(data.replace(b"unmistakable", b"unmistakably"))
    assert kept(tmp_path, ["unmistakable"]) == [None]


@pytest.mark.parametrize("damage", [lambda data: b"nothing" * 2000, lambda data: data[: len(data) // 2]])
def test_a_damaged_file_is_begun_anew_with_a_note(tmp_path: Path, damage) -> None:  # type: ignore[no-untyped-def]
    filled(tmp_path, [str(number) for number in range(300)])
    file = tmp_path / "data.mdb"
    file.write_bytes(damage(file.read_bytes()))
    cache = ResultCache(tmp_path, IDENTITY)
    assert len(cache.notes) == 1 and str(tmp_path) in cache.notes[0] and len(cache) == 0
    cache.close()
    filled(tmp_path, ["new"])
    assert kept(tmp_path, ["new", "1"]) == ["new", None]


def test_an_impossible_folder_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError) as problem:
        ResultCache(tmp_path / "file", IDENTITY)
    assert problem.value.fix
    with pytest.raises(DataError, match="next to nothing"):
        ResultCache(tmp_path / "cache", IDENTITY, 1000)


def test_two_processes_add_to_one_cache(tmp_path: Path) -> None:
    texts = [[f"{who}{number}" for number in range(400)] for who in "ab"]
    quickest = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(quickest)
    other = context.Process(target=filled, args=(tmp_path, texts[1]))
    other.start()
    while other.is_alive():
        filled(tmp_path, texts[0])
    assert other.exitcode == 0
    assert kept(tmp_path, texts[0] + texts[1]) == texts[0] + texts[1]


def test_a_cached_line_never_borrows_the_name_of_another(tiny_model: Path, tmp_path: Path) -> None:
    data = io.BytesIO()
    line_image(3).save(data, "PNG")
    twins = [LineInput(name, data.getvalue()) for name in ("one", "two")]
    read(tiny_model, twins, tmp_path)
    results, hits = read(tiny_model, twins, tmp_path)
    assert hits == 2 and [one.path for one in results] == ["one", "two"]
    assert replace(results[0].reading or Reading("", 0, ())) == results[1].reading


def test_later_runs_read_as_the_cache_was_begun(tmp_path: Path) -> None:
    """Another runtime, which many lines would be read in, would find none of the readings."""
    pytest.importorskip("openvino")
    lines = Path(vocr_cli.__file__).parent / "assets" / "lines" / "images"
    read = ["infer", str(lines), "--out", str(tmp_path / "o.tsv"), "--cache", str(tmp_path / "cache")]
    first = CliRunner().invoke(app, [*read, "--runtime", "openvino"])
    assert first.exit_code == 0 and "openvino" in first.stderr
    (tmp_path / "o.tsv").unlink()
    again = CliRunner().invoke(app, read)
    assert again.exit_code == 0 and "as the readings in the cache" in again.stderr
    assert f"Found in the cache: {len(list(lines.iterdir()))} lines." in again.stderr
    (tmp_path / "o.tsv").unlink()
    (tmp_path / "cache" / "backends.json").write_bytes(b"{")  # damaged: as if nobody knew
    assert "as the readings" not in CliRunner().invoke(app, read).stderr
