import os
import random
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import lmdb
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from vocr_cli.app import app
from vocr_cli.core.config.tree import Config, ImageConfig, dump_config
from vocr_cli.core.data.build import build
from vocr_cli.core.data.images.fit import fit_line, planned_widths
from vocr_cli.core.data.images.open_image import open_line
from vocr_cli.core.data.lmdb.store import LineStore
from vocr_cli.core.errors import DataError
from vocr_cli.core.models.description import config_of

TEXTS = ("Cộng hoà xã hội", "Độc lập", "Tự do", "Đường Nguyễn Huệ")


@pytest.fixture
def labels(tmp_path):
    folder = tmp_path / "lines"
    folder.mkdir()
    for number, _ in enumerate(TEXTS):
        Image.new("L", (60 + 10 * number, 20), 200).save(folder / f"{number}.png")
    file = folder / "labels.tsv"
    file.write_text("".join(f"{number}.png\t{text}\n" for number, text in enumerate(TEXTS)), encoding="utf-8")
    return file


def run(*arguments):
    return CliRunner().invoke(app, ["build-lmdb", *map(str, arguments)])


def texts(database):
    return tuple(line.text for line in LineStore(database))


@pytest.mark.parametrize("layout", ["vietocr", "clovaai"])
def test_build_keeps_the_last_line(labels, tmp_path, layout):
    result = run(labels, tmp_path / "db", "--layout", layout, "--check")
    assert result.exit_code == 0, result.output
    with LineStore(tmp_path / "db") as store:
        assert texts(tmp_path / "db") == TEXTS and store.stated_count == 4 and store.layout == layout
        assert store.widths.tolist() == [60, 70, 80, 90]
        assert store[3].image == (labels.parent / "3.png").read_bytes()


def test_bad_images_and_labels_are_left_out_and_listed(labels, tmp_path):
    (labels.parent / "empty.png").touch()
    (labels.parent / "text.png").write_text("no image")
    (labels.parent / "cut.png").write_bytes((labels.parent / "0.png").read_bytes()[:60])
    with labels.open("a", encoding="utf-8") as file:
        file.write(
            "empty.png\ta\ntext.png\tb\ncut.png\tc\nmissing.png\td\n0.png\t\n1.png no tab\n2.png\tlast one\n"
        )
    result = run(labels, tmp_path / "db", "--bad-lines", tmp_path / "bad.tsv")
    assert result.exit_code == 3, result.output
    assert texts(tmp_path / "db") == (*TEXTS, "last one")
    rows = [row.split("\t") for row in (tmp_path / "bad.tsv").read_text(encoding="utf-8").splitlines()]
    assert [int(row[0]) for row in rows] == [5, 6, 7, 8, 9, 10]
    for row, reason in zip(
        rows, ["empty", "not an image", "damaged", "no such file", "label is empty", "no tab"], strict=True
    ):
        assert reason in row[1], row
    assert "line 8 left out, no such file" in result.stderr and "6 lines were left out" in result.stderr
    assert "record 2 2.png 'Tự do', record 4 2.png 'last one'" in result.stderr


def test_nothing_usable_creates_nothing(labels, tmp_path):
    (tmp_path / "empty").mkdir()
    result = run(labels, tmp_path / "db", "--images", tmp_path / "empty")
    assert isinstance(result.exception, DataError) and result.exit_code == 1
    assert "none of its 4 lines" in result.exception.problem and "--images" in result.exception.fix
    assert sorted(os.listdir(tmp_path)) == ["empty", "lines"]


def test_images_folder_may_lie_elsewhere(labels, tmp_path):
    moved = labels.rename(tmp_path / "labels.tsv")
    assert run(moved, tmp_path / "db", "--images", labels.parent).exit_code == 0
    assert texts(tmp_path / "db") == TEXTS


def test_an_existing_database_needs_overwrite(labels, tmp_path):
    assert run(labels, tmp_path / "db").exit_code == 0
    labels.write_text("0.png\tmới\n", encoding="utf-8")
    refused = run(labels, tmp_path / "db")
    assert isinstance(refused.exception, DataError) and "--overwrite" in refused.exception.fix
    assert texts(tmp_path / "db") == TEXTS
    assert run(labels, tmp_path / "db", "--overwrite").exit_code == 0
    assert texts(tmp_path / "db") == ("mới",)


def test_height_rescales_and_keeps_grey_grey(labels, tmp_path):
    assert run(labels, tmp_path / "db", "--height", 40).exit_code == 0
    with LineStore(tmp_path / "db") as store:
        assert store.heights.tolist() == [40] * 4 and store.widths.tolist() == [120, 140, 160, 180]
        image = Image.open(BytesIO(store[0].image))
        assert (image.size, image.mode, image.format) == ((120, 40), "L", "JPEG")


def test_images_that_other_readers_would_see_differently_are_made_plain(labels, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (20, 60), "red").save(labels.parent / "0.jpg", exif=exif)
    Image.fromarray(np.full((20, 60), 60_000, np.uint16)).save(labels.parent / "1.png")
    labels.write_text("0.jpg\ta\n1.png\tb\n")
    assert run(labels, tmp_path / "db").exit_code == 0
    with LineStore(tmp_path / "db") as store:
        images = [Image.open(BytesIO(line.image)) for line in store]
        assert store.widths.tolist() == [60, 60] and [image.size for image in images] == [(60, 20)] * 2
        assert [image.mode for image in images] == ["RGB", "L"] and images[1].getpixel((5, 5)) == 233


def test_valid_share_parts_the_lines_and_each_stays_on_its_side(labels, tmp_path):
    rows = [f"{number % 4}.png\tdòng {number}\n" for number in range(4)]
    for number in range(100):
        os.link(labels.parent / "0.png", labels.parent / f"x{number}.png")
        rows.append(f"x{number}.png\tdòng x{number}\n")
    labels.write_text("".join(rows), encoding="utf-8")
    assert run(labels, tmp_path / "a", "--valid-share", 0.2).exit_code == 0
    train, valid = set(texts(tmp_path / "a")), set(texts(tmp_path / "a-valid"))
    assert len(train) + len(valid) == 104 and not train & valid and 8 <= len(valid) <= 35
    labels.write_text("".join(reversed(rows[:60])), encoding="utf-8")
    assert run(labels, tmp_path / "b", "--valid-share", 0.2).exit_code == 0
    assert set(texts(tmp_path / "b-valid")) <= valid and set(texts(tmp_path / "b")) <= train


def test_an_empty_side_is_refused_whole(labels, tmp_path):
    result = run(labels, tmp_path / "db", "--valid-share", 0.0001)
    assert isinstance(result.exception, DataError) and "--valid-share" in result.exception.problem
    assert os.listdir(tmp_path) == ["lines"]


def test_characters_beyond_the_charset_are_named_and_kept(labels, tmp_path):
    labels.write_text("0.png\tStraße\n1.png\tGroße Maße\n", encoding="utf-8")
    result = run(labels, tmp_path / "db")
    assert result.exit_code == 0 and texts(tmp_path / "db") == ("Straße", "Große Maße")
    assert "U+00DF" in result.stderr and "3 ×" in result.stderr and "line 1" in result.stderr


def test_nfd_labels_are_stored_nfc(labels, tmp_path):
    labels.write_text("0.png\tHue\u0323\u0302\n", encoding="utf-8")
    result = run(labels, tmp_path / "db")
    assert (
        texts(tmp_path / "db") == ("Huệ",) and "1 labels were brought into Unicode form NFC" in result.stderr
    )


def damage(database, changes):
    with (
        lmdb.open(str(database), map_size=1 << 24) as environment,
        environment.begin(write=True) as transaction,
    ):
        for key, value in changes.items():
            if value is None:
                transaction.delete(key)
            else:
                transaction.put(key, value)


def test_check_names_every_bad_record(labels, tmp_path):
    assert run(labels, tmp_path / "db").exit_code == 0
    assert run(tmp_path / "db", "--check").exit_code == 0
    other_size = (labels.parent / "2.png").read_bytes()
    damage(
        tmp_path / "db",
        {
            b"image-000000000": b"junk",
            b"label-000000001": None,
            b"image-000000003": other_size,
            b"num-samples": b"3",
        },
    )
    result = run(tmp_path / "db", "--check")
    assert result.exit_code == 3, result.output
    for message in (
        "record 0 0.png: 0.png: not an image",
        "record 1",
        "no label record",
        "record 3",
        "(90, 20)",
    ):
        assert message in result.stderr
    assert "record 2" not in result.stderr and "num-samples says 3" in result.stderr


def test_no_place_for_the_database_is_a_usage_error(labels):
    assert run(labels).exit_code == 2


def test_a_missing_annotation_file_and_a_folder_instead_are_explained(tmp_path):
    for name in ("nothing.tsv", ""):
        assert isinstance(run(tmp_path / name, tmp_path / "db").exception, DataError)


def many(labels, count):
    rows = []
    for number in range(count):
        os.link(labels.parent / "0.png", labels.parent / f"x{number}.png")
        rows.append(f"x{number}.png\tdòng {number}\n")
    rows[7] = "missing.png\tthiếu\n"
    labels.write_text("".join(rows), encoding="utf-8")


def test_resume_gives_what_one_run_gives(labels, tmp_path, monkeypatch):
    many(labels, 200)
    assert run(labels, tmp_path / "whole", "--valid-share", 0.3).exit_code == 3
    calls = 0

    def interrupted(*arguments):
        nonlocal calls
        calls += 1
        if calls > 120:
            raise KeyboardInterrupt
        return prepared(*arguments)

    prepared = build.prepare
    monkeypatch.setattr(build, "prepare", interrupted)
    assert run(labels, tmp_path / "db", "--valid-share", 0.3, "--workers", 1).exit_code != 0
    assert not (tmp_path / "db").exists()
    monkeypatch.setattr(build, "prepare", prepared)
    result = run(
        labels, tmp_path / "db", "--valid-share", 0.3, "--resume", "--bad-lines", tmp_path / "bad.tsv"
    )
    assert result.exit_code == 3 and "lines were taken over" in result.stderr, result.output
    for suffix in ("", "-valid"):
        assert texts(tmp_path / f"db{suffix}") == texts(tmp_path / f"whole{suffix}")
    assert (tmp_path / "bad.tsv").read_text(encoding="utf-8").splitlines()[0].startswith("8\tno such file")
    assert not [name for name in os.listdir(tmp_path) if "tmp" in name]


def records(database):
    with (
        lmdb.open(str(database), readonly=True, lock=False) as environment,
        environment.begin() as transaction,
    ):
        return dict(transaction.cursor())


INTERRUPTIBLE = """
import time
from vocr_cli.core.data.build import build
from vocr_cli.core.data.build import worker_pool
from vocr_cli import app
build._BATCH_LINES = 20
worker_pool._ALONE_SECONDS = 0.1
take = build._record
def slow(*arguments):
    time.sleep(0.001)
    take(*arguments)
build._record = slow
if __name__ == "__main__":
    app.app({arguments!r})
"""


def kill_drill(labels, tmp_path, kills, workers):
    """Kills builds at random moments until one comes through; what it gives must be what one run gives."""
    many(labels, 300)
    options = ["--valid-share", 0.3, "--shards", 2]
    assert run(labels, tmp_path / "whole", *options).exit_code == 3
    arguments = ["build-lmdb", labels, tmp_path / "db", *options, "--workers", workers, "--resume"]
    script = tmp_path / "build.py"
    script.write_text(INTERRUPTIBLE.format(arguments=[str(argument) for argument in arguments]))
    chance = random.Random(5)
    killed = 0
    while killed < kills:
        process = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.DEVNULL)
        try:
            code = process.wait(chance.uniform(0.3, 1.2))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
            continue
        assert code == 3  # done: from the start again
        for item in tmp_path.glob("db*"):
            shutil.rmtree(item)
    assert subprocess.run([sys.executable, str(script)], stderr=subprocess.DEVNULL).returncode == 3
    for suffix in ("-00000-of-00002", "-00001-of-00002", "-valid"):
        built, whole = records(tmp_path / f"db{suffix}"), records(tmp_path / f"whole{suffix}")
        assert built == whole and len(built) > 100
    assert not list(tmp_path.glob(".db*"))


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kills processes")
def test_a_build_killed_at_random_moments_gives_what_one_run_gives(labels, tmp_path):
    kill_drill(labels, tmp_path, kills=4, workers=1)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kills processes")
def test_fifty_kills_lose_nothing(labels, tmp_path):
    kill_drill(labels, tmp_path, kills=50, workers=2)


@pytest.mark.skipif(os.name != "posix", reason="no file size limit to stand for a full disk")
def test_a_build_goes_on_after_a_full_disk(labels, tmp_path):
    rows = []
    for number in range(60):
        noise = np.random.default_rng(number).integers(0, 255, (60, 500), np.uint8)
        Image.fromarray(noise).save(labels.parent / f"n{number}.png")
        rows.append(f"n{number}.png\tdòng {number}\n")
    labels.write_text("".join(rows), encoding="utf-8")
    code = f"""
import resource, sys
from vocr_cli import app
from vocr_cli.core.config.tree import Config, ImageConfig, dump_config
from vocr_cli.core.data.build import build
from vocr_cli.core.data.images.open_image import open_line
from vocr_cli.core.data.images.fit import fit_line, planned_widths
build._BATCH_LINES = 10
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
sys.argv[1:] = ["build-lmdb", {str(labels)!r}, {str(tmp_path / "db")!r}]
app.main()
"""
    full = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert full.returncode == 1, full.stderr
    assert "cannot be written" in full.stderr and "--resume" in full.stderr and "Traceback" not in full.stderr
    assert not (tmp_path / "db").exists()
    result = run(labels, tmp_path / "db", "--resume")
    assert result.exit_code == 0 and "taken over" in result.stderr, result.output
    assert run(labels, tmp_path / "whole").exit_code == 0
    assert records(tmp_path / "db") == records(tmp_path / "whole")


def test_a_finished_build_is_recognised_and_its_faults_are_told_again(labels, tmp_path):
    many(labels, 50)
    assert run(labels, tmp_path / "db").exit_code == 3
    before = (tmp_path / "db" / "data.mdb").stat().st_mtime_ns
    again = run(labels, tmp_path / "db")
    assert again.exit_code == 3 and "Complete already" in again.stderr
    assert "line 8 left out, no such file" in again.stderr
    assert (tmp_path / "db" / "data.mdb").stat().st_mtime_ns == before
    assert isinstance(run(labels, tmp_path / "db", "--height", 30).exception, DataError)


def test_shards_part_the_lines_and_each_stays_in_its_shard(labels, tmp_path):
    many(labels, 200)
    assert run(labels, tmp_path / "a", "--shards", 3).exit_code == 3
    parts = [set(texts(tmp_path / f"a-0000{shard}-of-00003")) for shard in range(3)]
    assert len(set.union(*parts)) == sum(map(len, parts)) == 199 and min(map(len, parts)) > 40
    rows = labels.read_text(encoding="utf-8").splitlines(keepends=True)
    labels.write_text("".join(reversed(rows[:90])), encoding="utf-8")
    assert run(labels, tmp_path / "b", "--shards", 3).exit_code == 3
    for shard in range(3):
        assert set(texts(tmp_path / f"b-0000{shard}-of-00003")) <= parts[shard]


@pytest.mark.parametrize(
    ("chosen", "kind"),
    [(("--encoding", "png"), "PNG"), (("--encoding", "webp"), "WEBP"), (("--encoding", "jpeg"), "JPEG"),
     ((), "JPEG")],
)  # fmt: skip
def test_scaled_images_are_stored_in_the_encoding_asked_for(labels, tmp_path, chosen, kind):
    Image.radial_gradient("L").resize((400, 48)).save(labels.parent / "0.png")
    assert run(labels, tmp_path / "db", "--height", 24, *chosen, "--check").exit_code == 0
    with LineStore(tmp_path / "db") as store:
        image = Image.open(BytesIO(store[0].image))
        wanted = Image.open(labels.parent / "0.png").resize((200, 24), Image.Resampling.LANCZOS)
        assert image.format == kind and image.size == (200, 24)
        error = np.abs(np.asarray(image.convert("L"), int) - np.asarray(wanted, int))
        assert error.mean() < 2 and store.heights.tolist() == [24] * 4


@pytest.mark.parametrize("model", ["vi-small", "vgg_transformer", "config.yaml"])
def test_a_model_has_fitted_lines_as_they_are_stored(labels, tmp_path, monkeypatch, model):
    monkeypatch.chdir(tmp_path)
    image = ImageConfig(height_px=48, width_multiple_px=16, max_width_px=160, stretch=1.5, resample="lanczos")
    Path("config.yaml").write_text(dump_config(Config(image=image)), encoding="utf-8")
    image = config_of(model).image
    Image.radial_gradient("L").resize((777, 60)).convert("RGB").save(labels.parent / "0.png")
    assert (
        run(labels, "raw").exit_code == 0 and run(labels, "small", "--fit", model, "--check").exit_code == 0
    )
    unstretched = replace(image, stretch=1.0)
    with LineStore("raw") as raw, LineStore("small") as small:
        wanted = [fit_line(open_line(line.image), unstretched) for line in raw]
        assert small.widths.tolist() == [line.shape[1] for line in wanted]
        planned = planned_widths(small.widths, small.heights, unstretched)
        assert planned.tolist() == small.widths.tolist()
        for line, pixels in zip(small, wanted, strict=True):
            stored = open_line(line.image)
            assert stored.mode == "L" and stored.size == pixels.shape[1::-1]
            assert np.abs(fit_line(stored, unstretched).astype(int) - pixels).mean() < 2


def test_fitting_to_a_model_and_to_a_height_contradict_each_other(labels, tmp_path):
    result = run(labels, tmp_path / "db", "--height", 40, "--fit", "vi-small")
    assert result.exit_code == 2 and "contradicts --height" in result.output


def test_several_inputs_are_put_together_and_faults_name_theirs(labels, tmp_path):
    other = tmp_path / "pairs"
    other.mkdir()
    Image.new("RGB", (33, 20), "white").save(other / "x.png")
    (other / "x.gt.txt").write_text("thêm một", encoding="utf-8")
    (other / "y.gt.txt").write_text("không ảnh", encoding="utf-8")
    result = run(labels, other, tmp_path / "db", "--bad-lines", tmp_path / "bad.tsv")
    assert result.exit_code == 3 and texts(tmp_path / "db") == (*TEXTS, "thêm một"), result.output
    assert f"{other}: line 2 left out, no image beside it" in " ".join(result.stderr.split())
    assert str(other) in (tmp_path / "bad.tsv").read_text(encoding="utf-8")


def test_equal_pixels_are_reported_with_their_labels(labels, tmp_path):
    Image.open(labels.parent / "0.png").save(labels.parent / "again.bmp")  # other bytes, the same pixels
    Image.open(labels.parent / "1.png").save(labels.parent / "same.png")
    with labels.open("a", encoding="utf-8") as file:
        file.write(f"again.bmp\tkhác\nsame.png\t{TEXTS[1]}\n")
    for result in (run(labels, tmp_path / "db"), run(tmp_path / "db", "--check")):
        told = " ".join(result.stderr.split())
        assert result.exit_code == 0 and "1 lines repeat the pixels and the label" in told
        assert "2 lines have the pixels of another, but another label" in told
        assert "record 0 0.png 'Cộng hoà xã hội', record 4 again.bmp 'khác'" in told
    for number in range(40):
        os.link(labels.parent / "2.png", labels.parent / f"l{number}.png")
        with labels.open("a", encoding="utf-8") as file:
            file.write(f"l{number}.png\tTự do\n")
    result = run(labels, tmp_path / "parted", "--valid-share", 0.4)
    assert "images lie in more than one of the databases" in " ".join(result.stderr.split())


@pytest.mark.usefixtures("without_root_rights")
def test_a_read_only_folder_is_an_error_with_a_remedy(labels, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    result = run(labels, tmp_path / "locked" / "db")
    assert isinstance(result.exception, DataError) and "permission" in str(result.exception).lower()


def test_clovaai_numbers_from_one_and_counts_all(labels, tmp_path):
    assert run(labels, tmp_path / "db", "--layout", "clovaai").exit_code == 0
    found = records(tmp_path / "db")
    assert found[b"num-samples"] == b"4" and found[b"label-000000004"].decode() == TEXTS[3]
    assert b"image-000000000" not in found and b"image-000000001" in found


def test_to_go_on_and_to_replace_contradict_each_other(labels, tmp_path):
    result = run(labels, tmp_path / "db", "--resume", "--overwrite")
    assert result.exit_code == 2 and "--overwrite" in result.output
