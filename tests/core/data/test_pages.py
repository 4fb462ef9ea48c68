"""Image files of several pages: each page is a picture of its own, and none is taken in silence."""

from __future__ import annotations

import struct
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from conftest import line_image
from PIL import Image
from typer.testing import CliRunner

from vocr_cli.app import app
from vocr_cli.core.data.images.open_image import first_page, open_line, read_image_file
from vocr_cli.core.data.images.pages import page_count
from vocr_cli.core.errors import ImageError

runner = CliRunner()
KINDS = [".tif", ".gif", ".webp", ".png"]


def pages(path: Path, count: int = 3) -> Path:
    """A file whose pages are lines of different widths of blocks."""
    first, *others = [line_image(seed).convert("RGB") for seed in range(count)]
    more = {"lossless": True} if path.suffix == ".webp" else {}
    first.save(path, save_all=True, append_images=others, **more)
    return path


def difference(left: Image.Image, right: Image.Image) -> float:
    pair = [np.asarray(image.convert("L")).astype(int) for image in (left, right)]
    return float(np.abs(pair[0] - pair[1]).mean())


@pytest.mark.parametrize("suffix", KINDS)
def test_every_page_is_named_and_opened_by_its_number(tmp_path: Path, suffix: str) -> None:
    path = pages(tmp_path / f"a{suffix}")
    assert page_count(path) == page_count(path.read_bytes()) == 3
    for number in range(1, 4):
        page = Path(f"{path}#{number}")
        assert difference(open_line(page), line_image(number - 1)) < 3
        assert difference(open_line(read_image_file(page)), line_image(number - 1)) < 3
    assert difference(open_line(first_page(path.read_bytes(), "a")), line_image(0)) < 3


@pytest.mark.parametrize("suffix", KINDS)
def test_a_file_of_several_pages_is_no_line_until_one_is_named(tmp_path: Path, suffix: str) -> None:
    path = pages(tmp_path / f"a{suffix}")
    for source, way in ((path, f"{path}#1 to {path}#3"), (path.read_bytes(), "a picture of its own")):
        with pytest.raises(ImageError, match="3 pages") as caught:
            open_line(source)
        assert way in caught.value.fix and "--first-page" in caught.value.fix
    with pytest.raises(ImageError, match="3 pages"):
        open_line(Path(f"{path}#4"))


def test_a_name_with_a_number_sign_is_that_of_a_file_where_there_is_one(tmp_path: Path) -> None:
    pages(tmp_path / "a.tif")
    line_image(7, 40).save(tmp_path / "a.tif#2", "PNG")
    assert open_line(tmp_path / "a.tif#2").size == (40, 30)
    with pytest.raises(ImageError, match="no such file"):
        open_line(tmp_path / "b.tif#2")
    with pytest.raises(ImageError, match="no such file"):
        open_line(tmp_path / "a.tif#0")


def test_thumbnails_and_masks_are_no_pages(tmp_path: Path) -> None:
    path = pages(tmp_path / "a.tif", 2)
    data = bytearray(path.read_bytes())
    (offset,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, offset)
    (second,) = struct.unpack_from("<I", data, offset + 2 + 12 * entries)
    # The tag for the smallest and simplest of the second page's entries becomes NewSubfileType: a thumbnail.
    struct.pack_into("<HHII", data, second + 2, 254, 4, 1, 1)
    path.write_bytes(data)
    assert page_count(path) == 1


def test_endless_and_countless_pages_are_refused(tmp_path: Path) -> None:
    path = pages(tmp_path / "a.tif", 2)
    data = bytearray(path.read_bytes())
    (offset,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, offset)
    struct.pack_into("<I", data, offset + 2 + 12 * entries, offset)  # the next page is the first again
    path.write_bytes(data)
    assert page_count(path) == 1
    directory = struct.pack("<H", 1) + struct.pack("<HHII", 256, 3, 1, 9)
    chain = b"II*\0" + struct.pack("<I", 8)
    for index in range(10_050):
        chain += directory + struct.pack("<I", 8 + (index + 1) * (len(directory) + 4))
    (tmp_path / "b.tif").write_bytes(chain)
    with pytest.raises(ImageError, match="more than 10,000 pages"):
        page_count(tmp_path / "b.tif")
    claims = pages(tmp_path / "c.png", 2).read_bytes()
    at = claims.index(b"acTL")
    body = b"acTL" + struct.pack(">II", 3_000_000, 0)
    forged = claims[:at] + body + struct.pack(">I", zlib.crc32(body)) + claims[at + 16 :]
    (tmp_path / "c.png").write_bytes(forged)
    with pytest.raises(ImageError, match="3,000,000 frames"):
        page_count(tmp_path / "c.png")


@pytest.mark.filterwarnings("ignore:Truncated File Read")
def test_a_cut_off_page_is_called_damaged_and_the_others_are_read(tmp_path: Path) -> None:
    path = pages(tmp_path / "a.tif", 3)
    data = path.read_bytes()
    (offset,) = struct.unpack_from("<I", data, 4)
    path.write_bytes(data)
    ends = []
    while offset:
        (entries,) = struct.unpack_from("<H", data, offset)
        ends.append(offset + 2 + 12 * entries)
        (offset,) = struct.unpack_from("<I", data, ends[-1])
    path.write_bytes(data[: ends[-1]])
    assert page_count(path) == 3
    assert difference(open_line(Path(f"{path}#1")), line_image(0)) < 3
    with pytest.raises(ImageError, match=r"#3: damaged"):
        open_line(Path(f"{path}#3"))


def infer(*arguments: str | Path) -> list[str]:
    """The names of the lines that were read, or could not be."""
    result = runner.invoke(app, ["infer", *map(str, arguments), "--device", "cpu", "--precision", "fp32"])
    assert result.exit_code in (0, 3), result.exception
    return [row.split("\t")[0] for row in result.stdout.splitlines()]


def test_infer_reads_each_page_as_a_line_of_its_own(tmp_path: Path) -> None:
    paths = [pages(tmp_path / f"a{suffix}") for suffix in KINDS]
    assert infer(*paths) == [f"{path}#{number}" for path in paths for number in (1, 2, 3)]
    assert infer(*paths, "--first-page") == [str(path) for path in paths]
    assert infer(f"{paths[0]}#2") == [f"{paths[0]}#2"]


def test_infer_reads_the_pages_of_a_folder_and_of_an_archive_in_their_order(tmp_path: Path) -> None:
    folder = tmp_path / "lines"
    folder.mkdir()
    line_image(1).save(folder / "a1.png")
    pages(folder / "a2.tif", 2)
    line_image(2).save(folder / "a10.tif")
    pages(folder / "a11.webp", 2)
    names = ["a1.png", "a2.tif#1", "a2.tif#2", "a10.tif", "a11.webp#1", "a11.webp#2"]
    assert infer(folder) == [f"{folder}/{name}" for name in names]
    assert infer(folder, "--shard", "2/3") == [f"{folder}/a2.tif#1", f"{folder}/a11.webp#1"]
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(folder / "a2.tif", "a2.tif")
    assert infer(tmp_path / "a.tar") == [f"{tmp_path}/a.tar/a2.tif#{number}" for number in (1, 2)]


def test_an_animated_png_in_a_folder_is_named_rather_than_read_in_part(tmp_path: Path) -> None:
    folder = tmp_path / "lines"
    folder.mkdir()
    pages(folder / "a.png")
    result = runner.invoke(app, ["infer", str(folder), "--device", "cpu", "--precision", "fp32"])
    assert result.exit_code == 3 and "3 pages" in result.stderr and "a.png#1" in result.stderr
    assert infer(folder, "--first-page") == [f"{folder}/a.png"]


def test_an_image_on_stdin_may_have_pages(tmp_path: Path) -> None:
    data = pages(tmp_path / "a.tif").read_bytes()
    result = runner.invoke(app, ["infer", "-", "--device", "cpu", "--precision", "fp32"], input=data)
    assert [row.split("\t")[0] for row in result.stdout.splitlines()] == ["-#1", "-#2", "-#3"]
