"""Inputs of any number, in their order, in bounded memory."""

from __future__ import annotations

import gzip
import io
import tarfile
import time
import tracemalloc
from itertools import chain
from pathlib import Path

import pytest
from conftest import line_image, line_png
from hypothesis import given
from hypothesis import strategies as st

from vocr_cli.core.errors import VocrError
from vocr_cli.core.inference.inputs.inputs import Inputs
from vocr_cli.core.inference.inputs.natural_order import in_natural_order, natural_key
from vocr_cli.core.inference.inputs.sources import LineInput, count_lines, find_lines


def tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, data in members.items():
            facts = tarfile.TarInfo(name)
            facts.size = len(data)
            archive.addfile(facts, io.BytesIO(data))
    return path


names = st.text(st.characters(exclude_characters="\0/", exclude_categories=("Cs",)), min_size=1, max_size=6)


@given(st.lists(st.tuples(names, st.booleans())), st.integers(1, 5))
def test_order_does_not_depend_on_what_fits_in_memory(
    entries: list[tuple[str, bool]], run_names: int
) -> None:
    expected = [natural_key(name) for name, _ in sorted(entries, key=lambda entry: natural_key(entry[0]))]
    found = list(in_natural_order(iter(entries), run_names))
    assert [natural_key(name) for name, _ in found] == expected and sorted(found) == sorted(entries)


def test_names_of_a_great_folder_are_not_all_held() -> None:
    def entries(count: int):  # type: ignore[no-untyped-def]
        return ((f"page{number * 7919 % count:06}.png", False) for number in range(count))

    peaks = []
    for count in (4_000, 20_000):
        tracemalloc.start()
        assert sum(1 for _ in in_natural_order(entries(count), 2_000)) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2 * peaks[0]


@pytest.mark.parametrize("name", ["lines.tar", "lines.tar.gz"])
def test_images_of_an_archive_are_read_in_its_order(tmp_path: Path, name: str) -> None:
    path = tar(
        tmp_path / name, {"b/2.png": line_png(2), "1.txt": b"label", "a/1.PNG": line_png(1), ".x.png": b""}
    )
    lines = list(find_lines([path]))
    assert [line.path for line in lines] == [f"{path}/b/2.png", f"{path}/a/1.PNG"]
    assert [line.load()[1].tobytes() for line in lines] == [line_image(2).tobytes(), line_image(1).tobytes()]
    assert count_lines([path]) is None


def test_an_archive_cut_short_gives_what_it_has_and_one_problem(tmp_path: Path) -> None:
    whole = tar(
        tmp_path / "whole.tar", {f"{number}.png": line_png(number) for number in range(20)}
    ).read_bytes()
    packed = gzip.compress(whole)
    cuts = (whole[:9000], whole[:8192], packed[: len(packed) // 2], b"nothing", b"")
    for number, data in enumerate(cuts):
        cut = tmp_path / f"cut{number}.tar"
        cut.write_bytes(data)
        lines = list(find_lines([cut]))
        assert isinstance(lines[-1].source, VocrError) and str(cut) in lines[-1].source.problem
        assert all(isinstance(line.source, bytes) for line in lines[:-1])
        assert len(lines) > 1 or number > 1
    (missing,) = find_lines([tmp_path / "gone.tar"])
    assert isinstance(missing.source, VocrError) and "no such file" in missing.source.problem


def test_an_archive_is_read_in_constant_memory(tmp_path: Path) -> None:
    data = b"x" * 20_000
    path = tar(tmp_path / "many.tar", {f"{number}.png": data for number in range(500)})
    tracemalloc.start()
    for line in find_lines([path]):
        assert line.source == data
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 400_000


@given(count=st.integers(0, 30), shards=st.integers(1, 9))
def test_shards_hold_every_line_once(count: int, shards: int) -> None:
    paths = [Path(f"{number}.png") for number in range(count)]
    if not paths:
        return
    parts = [
        [line.path for line in Inputs(paths, None, index + 1, shards).lines()] for index in range(shards)
    ]
    assert sorted(chain(*parts)) == sorted(map(str, paths))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_list_names_files_folders_and_strange_names(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(line_png(1))
    listed = tmp_path / "list.txt"
    listed.write_bytes(f"{tmp_path}/in\r\n\n{tmp_path}/ Tiếng Việt.png\n".encode() + b"caf\xe9.png")
    lines = [line.path for line in Inputs([], listed).lines()]
    assert lines == [f"{tmp_path}/in/a.png", f"{tmp_path}/ Tiếng Việt.png", "caf\udce9.png"]
    told: list[int] = []
    inputs = Inputs([tmp_path / "in"], listed, 2, 2)
    inputs.count(told.append)
    for _ in range(500):
        if told:
            break
        time.sleep(0.01)
    assert told == [len(list(inputs.lines()))] == [2]


def test_a_list_that_is_not_there_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(VocrError) as problem:
        list(Inputs([], tmp_path / "gone.txt").lines())
    assert "gone.txt" in problem.value.problem and problem.value.fix


def test_bytes_and_files_load_alike(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(line_png(4))
    by_file, by_bytes = LineInput("a", file).load(), LineInput("a", file.read_bytes()).load()
    assert by_file[1].tobytes() == by_bytes[1].tobytes() and LineInput("a", file).encoded()[1] == line_png(4)
