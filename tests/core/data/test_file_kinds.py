"""What one command takes for an image, another takes too, and neither takes a bomb into memory."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from vocr_cli.app import app
from vocr_cli.core.data.images.file_kinds import IMAGE_SUFFIXES, MAX_FILE_BYTES
from vocr_cli.core.data.images.open_image import open_line, read_image_file
from vocr_cli.core.data.lmdb.store import LineStore
from vocr_cli.core.data.readers.open_source import open_source
from vocr_cli.core.errors import ImageError

runner = CliRunner()
TOO_MANY = f"{MAX_FILE_BYTES + 1:,} bytes are too many for a line image."


class Zeros(io.RawIOBase):
    """A file of zeros without the memory for them."""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return bytes(size)


def run(command: str, *arguments: object) -> Result:
    return runner.invoke(app, [command, *map(str, arguments)])


def writable_suffixes() -> list[str]:
    """Those that Pillow can write with the libraries it has here."""
    Image.init()
    formats = Image.registered_extensions()
    return sorted(suffix for suffix in IMAGE_SUFFIXES if formats.get(suffix) in Image.SAVE)


def write_bomb(path: Path, name: str) -> None:
    """A packed tar: one member beyond the limit, then a good line."""
    good = io.BytesIO()
    Image.new("L", (60, 20), 200).save(good, "PNG")
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for member, size, content in (
            (name, MAX_FILE_BYTES + 1, Zeros()),
            ("0.txt", 5, io.BytesIO(b"first")),
            ("1.png", len(good.getvalue()), io.BytesIO(good.getvalue())),
            ("1.txt", 6, io.BytesIO(b"second")),
        ):
            facts = tarfile.TarInfo(member)
            facts.size = size
            archive.addfile(facts, content)


@pytest.mark.parametrize("suffix", [*writable_suffixes(), ".JFIF", ".svg", ".heic"])
def test_infer_and_build_lmdb_agree_on_what_is_an_image(
    tmp_path: Path, tiny_model: Path, suffix: str
) -> None:
    folder = tmp_path / "lines"
    folder.mkdir()
    kind = Image.registered_extensions().get(suffix.lower(), "PNG")
    Image.new("L", (60, 20), 200).save(folder / f"a{suffix}", kind)
    (folder / "a.gt.txt").write_text("chữ", encoding="utf-8")
    read = run("infer", folder, "--model", tiny_model, "--device", "cpu")
    built = run("build-lmdb", folder, tmp_path / "db", "--workers", "1")
    if suffix.lower() in IMAGE_SUFFIXES:
        assert read.exit_code == 0, read.output
        assert f"a{suffix}" in read.stdout
        assert built.exit_code == 0, built.output
        with LineStore(tmp_path / "db") as store:
            assert store[0].path == f"a{suffix}"
    else:
        assert "No image in" in str(read.exception)
        assert "no image beside it" in str(built.exception)


@pytest.mark.parametrize("suffix", writable_suffixes())
def test_build_lmdb_takes_the_same_kinds_out_of_a_tar(tmp_path: Path, suffix: str) -> None:
    image = io.BytesIO()
    Image.new("L", (60, 20), 200).save(image, Image.registered_extensions()[suffix])
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, content in ((f"0{suffix}", image.getvalue()), ("0.txt", b"one"), ("0.npy", b"others")):
            facts = tarfile.TarInfo(name)
            facts.size = len(content)
            archive.addfile(facts, io.BytesIO(content))
    (entry,) = open_source(tmp_path / "a.tar")
    assert (entry.fault, entry.label, entry.image) == ("", "one", image.getvalue())


def test_infer_and_build_lmdb_refuse_a_bomb_in_a_packed_tar_with_the_same_words(
    tmp_path: Path, tiny_model: Path
) -> None:
    bomb = tmp_path / "bomb.tar.gz"
    write_bomb(bomb, "0.png")
    assert bomb.stat().st_size < MAX_FILE_BYTES // 50
    read = run("infer", bomb, "--model", tiny_model, "--device", "cpu")
    built = run("build-lmdb", bomb, tmp_path / "db", "--workers", "1", "--bad-lines", tmp_path / "bad.tsv")
    assert read.exit_code == built.exit_code == 3, built.output
    assert TOO_MANY in " ".join(read.output.split())
    assert TOO_MANY in (tmp_path / "bad.tsv").read_text(encoding="utf-8")
    with LineStore(tmp_path / "db") as store:
        assert [store.text(number) for number in range(len(store))] == ["second"]


def test_a_bomb_among_the_labels_of_a_tar_is_no_more_read_than_one_among_its_images(tmp_path: Path) -> None:
    write_bomb(tmp_path / "bomb.tgz", "0.json")
    faults = [entry.fault for entry in open_source(tmp_path / "bomb.tgz")]
    assert TOO_MANY in faults[0] and faults[1] == ""


def test_a_huge_file_is_refused_by_its_size_before_it_is_read(tmp_path: Path, tiny_model: Path) -> None:
    with (tmp_path / "huge.png").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)  # a hole, which takes no room on the disk
    for open_it in (open_line, read_image_file):
        with pytest.raises(ImageError, match="bytes are too many"):
            open_it(tmp_path / "huge.png")
    (tmp_path / "labels.tsv").write_text("huge.png\tchữ\n", encoding="utf-8")
    read = run("infer", tmp_path / "huge.png", "--model", tiny_model, "--device", "cpu")
    built = run("build-lmdb", tmp_path / "labels.tsv", tmp_path / "db", "--workers", "1")
    assert TOO_MANY in " ".join(read.output.split())
    assert TOO_MANY in str(built.exception)


@pytest.mark.parametrize("pack", ["w", "w:gz", "w:bz2", "w:xz"])
def test_an_archive_that_lacks_its_end_is_not_taken_for_whole(tmp_path: Path, pack: str) -> None:
    path = tmp_path / "a.tar"
    write = tarfile.open(path, pack)
    for name in ("0.txt", "1.txt"):
        facts = tarfile.TarInfo(name)
        facts.size = 600
        write.addfile(facts, io.BytesIO(bytes(range(200)) * 3))
    write.close()
    whole = [entry.fault for entry in open_source(path)]
    assert len(whole) == 2 and not any("to its end" in fault for fault in whole)
    content = path.read_bytes()  # the plain one is cut between two members
    path.write_bytes(content[: 1536 if pack == "w" else len(content) // 2])
    assert "cannot be read to its end" in [entry.fault for entry in open_source(path)][-1]
