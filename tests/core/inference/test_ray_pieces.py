"""What actors of a Ray cluster are given: together, in order, the lines that the local engine reads."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
from conftest import line_image, line_png

from vocr_cli.core.data.lmdb.store import LineWriter, StoredLine
from vocr_cli.core.errors import DataError, VocrError
from vocr_cli.core.inference import LineResult, Reading
from vocr_cli.core.inference.inputs.sources import LineInput, find_lines
from vocr_cli.core.inference.ray import pieces as ray_pieces
from vocr_cli.core.inference.ray.pieces import pack, piece_lines, pieces, unpack


def loaded(lines: list[LineInput]) -> list[tuple[str, bytes | str]]:
    found: list[tuple[str, bytes | str]] = []
    for line in lines:
        try:
            name, image = line.load()
            found.append((name, image.tobytes()))
        except VocrError as error:
            found.append((line.path, error.problem))
    return found


def test_pieces_hold_every_line_in_order(
    tmp_path: Path, lines_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_pieces, "PIECE_LINES", 5)
    with LineWriter(tmp_path / "db") as writer:
        for number in range(12):
            writer.add(StoredLine(line_png(number), "abc", f"x/{number}.png"), 90, 30)
    with tarfile.open(tmp_path / "t.tar", "w") as archive:
        facts = tarfile.TarInfo("in.png")
        facts.size = len(line_png(3))
        archive.addfile(facts, io.BytesIO(line_png(3)))
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "data.mdb").write_bytes(b"nothing")
    names = (lines_folder, "t.tar", "db", "gone.png", "damaged")
    paths = [tmp_path / name for name in names]
    given = [json.loads(json.dumps(piece)) for piece in pieces(paths)]
    read = loaded([line for piece in given for line in piece_lines(piece)])
    assert read == loaded(list(find_lines(paths))) and len(read) == 12 + 1 + 12 + 2
    assert len(given) > 8


def test_results_survive_the_way_to_the_driver_with_every_digit() -> None:
    reading = Reading("Đường", 1 / 3, (0.1, 1 / 7), ("squeezed",), (("Đường", -0.25), ("Đương", -1 / 3)))
    for result in (
        LineResult("caf\udce9.png", reading, None, 90, 30),
        LineResult("a", None, DataError("a: empty.", "Copy it again.")),
    ):
        back = unpack(json.loads(pack(result)))
        assert (back.path, back.reading, back.width_px) == (result.path, result.reading, result.width_px)
        assert str(back.error) == str(result.error)


def test_parquet_of_hugging_face_and_of_paths(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")
    (tmp_path / "f.png").write_bytes(line_png(7))
    images = [
        {"bytes": line_png(number), "path": f"{number}.png" if number % 2 else None} for number in range(5)
    ]
    tables = {
        "hf.parquet": {"text": ["a"] * 5, "image": [*images[:4], None]},
        "bytes.parquet": {"id": ["x", "y"], "jpg": [line_png(1), line_png(2)]},
        "paths.parquet": {"path": [str(tmp_path / "f.png")], "label": ["a"]},
    }
    for name, columns in tables.items():
        parquet.write_table(pyarrow.table(columns), tmp_path / name, row_group_size=2)
    given = list(pieces([tmp_path / name for name in tables]))
    assert len(given) == 3 + 1 + 1
    read = loaded([line for piece in given for line in piece_lines(piece)])
    hf = tmp_path / "hf.parquet"
    assert [name for name, _ in read] == [
        f"{hf}, row 0", "1.png", f"{hf}, row 2", "3.png", f"{hf}, row 4", "x", "y", str(tmp_path / "f.png"),
    ]  # fmt: skip
    pictures = [line_image(seed).tobytes() for seed in (0, 1, 2, 3)]
    assert [content for _, content in read[:4]] == pictures and "no image" in read[4][1]
    assert read[7][1] == line_image(7).tobytes()
    parquet.write_table(pyarrow.table({"text": ["a"]}), tmp_path / "none.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"nothing")
    for name in ("none.parquet", "bad.parquet", "gone.parquet"):
        with pytest.raises(DataError, match=name):
            list(pieces([tmp_path / name]))
