"""What folders and lists hold by accident or ill will: each is named, nothing hangs, and the rest is read."""

from __future__ import annotations

import gzip
import io
import json
import os
import socket
import struct
import tarfile
from pathlib import Path

import pytest
from conftest import line_image, line_png
from typer.testing import CliRunner, Result

from vocr_cli.app import app
from vocr_cli.core.data.lmdb.store import LineStore
from vocr_cli.core.errors import ConfigError, DataError
from vocr_cli.core.machine.files import input_file

runner = CliRunner()
pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="special files as POSIX has them")


def infer(*arguments: object, model: Path) -> Result:
    return runner.invoke(app, ["infer", *map(str, arguments), "--model", str(model), "--precision", "fp32"])


def build(source: Path, out: Path, *options: str) -> tuple[Result, list[str]]:
    """Builds a database; what came of it, and the labels in it."""
    result = runner.invoke(app, ["build-lmdb", str(source), str(out), "--workers", "1", *options])
    if not (out / "data.mdb").exists():
        return result, []
    with LineStore(out) as store:
        return result, [line.text for line in store]


def special_files(folder: Path) -> dict[str, str]:
    """A pipe, a socket, a device, links that lead nowhere and in a circle; what is said of each."""
    os.mkfifo(folder / "pipe.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket.png"))
    (folder / "device.png").symlink_to("/dev/zero")
    (folder / "gone.png").symlink_to("nowhere.png")
    (folder / "circle.png").symlink_to("circle.png")
    return {
        "pipe.png": "a pipe",
        "socket.png": "a socket",
        "device.png": "a device",
        "gone.png": "a link to nowhere.png, which is not there",
        "circle.png": "a link that leads to itself",
    }


@pytest.mark.parametrize("cached", [False, True])
def test_special_files_in_a_folder_are_named_and_the_rest_is_read(
    tmp_path: Path, tiny_model: Path, cached: bool
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", "z.png"):
        line_image(1).save(folder / name)
    (folder / "._a.png").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")  # AppleDouble
    told = special_files(folder)
    result = infer(folder, *(["--cache", tmp_path / "cache"] if cached else []), model=tiny_model)
    assert result.exit_code == 3 and len(result.stdout.splitlines()) == 2, result.output
    assert "Read 2 of 7 lines" in result.stderr
    for name, reason in told.items():
        assert f"{folder / name}: {reason}." in result.stderr


def test_special_files_in_a_list_are_named_and_the_rest_is_stored(tmp_path: Path) -> None:
    line_image(1).save(tmp_path / "a.png")
    told = special_files(tmp_path)
    rows = [f"{name}\tchữ {index}\n" for index, name in enumerate(["a.png", *told, "a.png"])]
    (tmp_path / "labels.tsv").write_text("".join(rows), encoding="utf-8")
    result, labels = build(tmp_path / "labels.tsv", tmp_path / "db", "--bad-lines", str(tmp_path / "bad.tsv"))
    assert result.exit_code == 3 and labels == ["chữ 0", "chữ 6"], result.output
    bad = (tmp_path / "bad.tsv").read_text(encoding="utf-8")
    assert all(reason in bad for reason in told.values())


def test_special_files_among_pairs_are_named_and_links_to_folders_followed(tmp_path: Path) -> None:
    folder = tmp_path / "pairs"
    (tmp_path / "more").mkdir()
    (folder / ".hidden").mkdir(parents=True)
    for place in (folder, tmp_path / "more", folder / ".hidden"):
        line_image(1).save(place / "a.png")
        (place / "a.gt.txt").write_text("chữ", encoding="utf-8")
    (folder / "linked").symlink_to("../more")
    (tmp_path / "more" / "back").symlink_to("../pairs")
    (folder / "._a.png").write_bytes(b"AppleDouble")
    (folder / "._a.gt.txt").write_bytes(b"\0\5")
    line_image(1).save(folder / "b.png")
    (folder / "b.gt.txt").symlink_to("nowhere")
    line_image(1).save(folder / "c.png")
    os.mkfifo(folder / "c.gt.txt")
    result, labels = build(folder, tmp_path / "db", "--bad-lines", str(tmp_path / "bad.tsv"))
    assert result.exit_code == 3 and labels == ["chữ", "chữ"], result.output
    bad = (tmp_path / "bad.tsv").read_text(encoding="utf-8")
    assert "which is not there" in bad and "a pipe" in bad and bad.count("\n") == 2


def test_a_pipe_that_nobody_writes_to_is_not_waited_for_for_ever(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(input_file, "_WRITER_S", 0.1)
    os.mkfifo(tmp_path / "pipe.png")
    result = infer(tmp_path / "pipe.png", model=tiny_model)
    assert result.exit_code == 3 and "a pipe that nobody writes to" in result.stderr


@pytest.mark.parametrize("name", ["labels.tsv", "labels.csv", "labels.jsonl", "config.yaml"])
def test_a_device_or_a_huge_file_in_place_of_a_text_is_refused_at_once(tmp_path: Path, name: str) -> None:
    command = ["inspect"] if name == "config.yaml" else ["build-lmdb"]
    out = [] if name == "config.yaml" else [str(tmp_path / "db")]
    (tmp_path / name).symlink_to("/dev/zero")
    result = runner.invoke(app, [*command, str(tmp_path / name), *out])
    assert isinstance(result.exception, DataError | ConfigError) and "device" in str(result.exception)
    (tmp_path / name).unlink()
    with (tmp_path / name).open("wb") as stream:
        stream.truncate(1 << 40)
    result = runner.invoke(app, [*command, str(tmp_path / name), *out])
    assert isinstance(result.exception, DataError | ConfigError), result.output


CSV_ROWS = [f"a.png,nhãn {number}" for number in range(40)]


@pytest.mark.parametrize(
    "changed",
    [
        {10: 'a.png,"Nhà nước'},  # a quotation mark that nobody closes
        {10: 'a.png,"Cộng hoà', 17: 'a.png,Tự do"'},  # one that another row closes
        {10: 'a.png,"Nhà" nước'},  # one that closes before the text ends
        {10: 'a.png,"a""', 11: 'a.png,""b"'},
    ],
)
def test_quotation_marks_in_csv_neither_merge_nor_lose_rows(tmp_path: Path, changed: dict[int, str]) -> None:
    line_image(1).save(tmp_path / "a.png")
    rows = [changed.get(number, row) for number, row in enumerate(CSV_ROWS)]
    (tmp_path / "l.csv").write_text("file_name,text\n" + "\n".join(rows) + "\n", encoding="utf-8")
    bad = tmp_path / "bad.tsv"
    _, labels = build(tmp_path / "l.csv", tmp_path / "db", "--bad-lines", str(bad))
    left_out = bad.read_text(encoding="utf-8").count("\n") if bad.exists() else 0
    assert len(labels) + left_out == len(rows) and left_out <= len(changed)
    assert not [label for label in labels if ".png" in label]
    assert {f"nhãn {number}" for number in range(40) if number not in changed} <= set(labels)


def test_quotation_marks_in_another_column_swallow_no_rows(tmp_path: Path) -> None:
    line_image(1).save(tmp_path / "a.png")
    rows = ['a.png,một,"ghi', "a.png,hai,chú", 'a.png,ba,chú"', 'a.png,bốn,"hai', 'dòng"']
    (tmp_path / "l.csv").write_text("file_name,text,note\n" + "\n".join(rows) + "\n", encoding="utf-8")
    result, labels = build(tmp_path / "l.csv", tmp_path / "db")
    assert labels == ["hai", "ba", "bốn"]
    assert result.exit_code == 3 and "line 2 left out" in result.stderr  # its quotation mark stays open


@pytest.mark.parametrize("row", ["[" * 100_000, '{"file_name": "a.png", "text": "a\\ud800"}', "9" * 5000])
def test_json_that_cannot_be_is_one_bad_line(tmp_path: Path, row: str) -> None:
    line_image(1).save(tmp_path / "a.png")
    rows = [json.dumps({"file_name": "a.png", "text": f"nhãn {number}"}) for number in range(5)]
    (tmp_path / "l.jsonl").write_text("\n".join([*rows, row, rows[0]]), encoding="utf-8")
    result, labels = build(tmp_path / "l.jsonl", tmp_path / "db", "--valid-share", "0.0001")
    if not labels:
        result, labels = build(tmp_path / "l.jsonl", tmp_path / "db")
    assert result.exit_code == 3 and len(labels) == 6, result.output


def test_half_a_character_in_a_name_is_a_bad_line(tmp_path: Path) -> None:
    line_image(1).save(tmp_path / "a.png")
    rows = ['{"file_name": "a.png", "text": "a"}', '{"file_name": "b\\ud800.png", "text": "b"}']
    (tmp_path / "l.jsonl").write_text("\n".join(rows), encoding="utf-8")
    result, labels = build(tmp_path / "l.jsonl", tmp_path / "db")
    assert result.exit_code == 3 and labels == ["a"] and "half of a character" in result.stderr


def zeros(stream: tarfile.TarFile, name: str, size: int, kind: bytes = tarfile.REGTYPE) -> None:
    """Adds a member of so many zeros."""
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind

    class Zeros(io.RawIOBase):
        def read(self, count: int = -1) -> bytes:
            return bytes(count)

    stream.addfile(member, Zeros())  # type: ignore[arg-type]


@pytest.mark.parametrize("command", ["infer", "build-lmdb"])
def test_a_member_that_inflates_beyond_all_images_is_not_taken_into_memory(
    tmp_path: Path, tiny_model: Path, command: str
) -> None:
    path = tmp_path / "lines.tar.gz"
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, data in (("a.png", line_png(1)), ("a.txt", b"a"), ("c.png", line_png(1)), ("c.txt", b"c")):
            if name == "c.png":
                zeros(archive, "b.png", 130 << 20)
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    if command == "infer":
        result = infer(path, model=tiny_model)
        assert len(result.stdout.splitlines()) == 2
    else:
        result, labels = build(path, tmp_path / "db")
        assert labels == ["a", "c"]
    assert result.exit_code == 3 and "bytes are too many for a line image" in result.stderr


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_tar_with_a_header_of_gigabytes_is_not_taken_into_memory(
    tmp_path: Path, tiny_model: Path, kind: bytes
) -> None:
    head = tarfile.TarInfo("header")
    head.size, head.type = 7 << 30, kind
    with gzip.open(tmp_path / "a.tar.gz", "wb", compresslevel=1) as stream:
        stream.write(head.tobuf() + bytes(4 << 20))
    result = infer(tmp_path / "a.tar.gz", model=tiny_model)
    assert result.exit_code == 3 and "a header of 7,516,192,768 bytes" in result.stderr


def test_an_image_that_would_be_scaled_beyond_all_bounds_is_a_bad_line(tmp_path: Path) -> None:
    line_image(1).save(tmp_path / "a.png")
    line_image(1, 100).resize((3_000_000, 1)).save(tmp_path / "w.png")
    (tmp_path / "l.txt").write_text("a.png\tmột\nw.png\thai\n", encoding="utf-8")
    result, labels = build(tmp_path / "l.txt", tmp_path / "db", "--height", "64")
    assert result.exit_code == 3 and labels == ["một"] and "beyond the limit" in result.stderr


@pytest.mark.parametrize(
    "text",
    [
        "train: {max_steps: 2024-13-45}",
        "train: {max_steps: !!int x}",
        "a: !!timestamp x",
        "vocab: abc\ndataset: {data_root: [1]}",
        f"a: {'[' * 20_000}",
        "a: &a [x]\nb: &b [*a, *b]",
        "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)),
    ],
)
def test_yaml_that_cannot_be_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.yaml").write_text(text, encoding="utf-8")
    result = runner.invoke(app, ["inspect", str(tmp_path / "c.yaml")])
    assert isinstance(result.exception, ConfigError), result.output
    assert str(tmp_path / "c.yaml") in result.exception.problem and len(str(result.exception)) < 1000


def test_a_parquet_file_with_a_damaged_row_group_keeps_the_others(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    images = [line_png(number) for number in range(30)]
    table = pyarrow.table({"image": images, "text": [f"nhãn {number}" for number in range(30)]})
    path = tmp_path / "a.parquet"
    parquet.write_table(table, path, row_group_size=10, compression="zstd", use_dictionary=False)
    start = parquet.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + 40] = struct.pack("<40s", b"\xff" * 40)
    path.write_bytes(data)
    result, labels = build(path, tmp_path / "db")
    assert result.exit_code == 3 and "row group 1 cannot be read" in result.stderr
    assert labels == [f"nhãn {number}" for number in (*range(10), *range(20, 30))]
    path.write_bytes(data[: len(data) // 2])
    result, _ = build(path, tmp_path / "other")
    assert isinstance(result.exception, DataError) and "not Parquet" in result.exception.problem
