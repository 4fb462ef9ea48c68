"""Every command takes labelled lines through the same door, and says what it found."""

from __future__ import annotations

import json
from pathlib import Path

import lmdb
import pytest
from conftest import line_image, line_png, write_config
from PIL import Image
from typer.testing import CliRunner, Result

from vocr_cli.app import app
from vocr_cli.core.data.lmdb.store import LineStore
from vocr_cli.core.evaluation.edit_classes import classify, edits, spans

TEXTS = ["một hai", "ba", "bốn, năm"]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three images, a table of them without quotes, and the same as JSON Lines."""
    for index in range(3):
        line_image(index).save(tmp_path / f"{index}.png")
    rows = [f"{index}.png,{text}" for index, text in enumerate(TEXTS)]
    (tmp_path / "labels.csv").write_text("\n".join(["filename,words", *rows]), encoding="utf-8")
    objects = [{"image": f"{index}.png", "text": text} for index, text in enumerate(TEXTS)]
    (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, objects)), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_single_file_lmdb(path: Path, *texts: str) -> None:
    with (
        lmdb.open(str(path), subdir=False, map_size=1 << 20) as environment,
        environment.begin(write=True) as put,
    ):
        for number, text in enumerate(texts, start=1):
            put.put(b"image-%09d" % number, line_png(number))
            put.put(b"label-%09d" % number, text.encode())


@pytest.mark.parametrize("form", ["tsv", "csv", "jsonl", "parquet"])
def test_readings_of_infer_are_scored_whatever_their_form(form: str, folder: Path, tiny_model: Path) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    out = folder / f"r.{form}"
    read = run("infer", "labels.csv", "--model", tiny_model, "--device", "cpu", "--out", out)
    assert read.exit_code == 0, read.output
    scored = run("eval", "labels.jsonl", "--readings", out, "--json", folder / "scores.json")
    assert scored.exit_code == 0, scored.output
    document = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    assert document["lines"] == 3 and not document["unread"] and document["reliability"]["bins"]


def test_a_model_is_scored_on_images_in_tables_as_on_files(folder: Path, tiny_model: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")
    cells = [{"bytes": line_png(index), "path": None} for index in range(3)]
    parquet.write_table(pyarrow.table({"image": cells, "text": TEXTS}), folder / "lines.parquet")
    documents = []
    for data in ("lines.parquet", "labels.csv"):
        options = ("--model", tiny_model, "--precision", "fp32", "--report", folder / "page.html")
        scored = run("eval", data, *options, "--json", folder / "scores.json")
        assert scored.exit_code == 0, scored.output
        documents.append(json.loads((folder / "scores.json").read_text(encoding="utf-8")))
        assert (folder / "page.html").read_text(encoding="utf-8").count("data:image/jpeg") == 3
    assert [line["reading"] for line in documents[0]["worst"]] == [
        line["reading"] for line in documents[1]["worst"]
    ]


def test_lines_of_a_tree_of_databases_have_names_of_their_own(folder: Path, tiny_model: Path) -> None:
    for place in ("tree/real/a.lmdb", "tree/synth/b/c.lmdb"):
        (folder / place).parent.mkdir(parents=True)
        write_single_file_lmdb(folder / place, *TEXTS)
    read = run("infer", "tree", "--model", tiny_model, "--device", "cpu", "--out", "r.tsv")
    assert read.exit_code == 0, read.output
    names = [row.split("\t")[0] for row in Path("r.tsv").read_text(encoding="utf-8").splitlines()]
    assert len(set(names)) == 6 and names[0] == "tree/real/a.lmdb/image-000000001"
    scored = run("eval", "tree", "--readings", "r.tsv", "--json", "s.json")
    assert scored.exit_code == 0, scored.output
    assert json.loads(Path("s.json").read_text(encoding="utf-8"))["lines"] == 6


def test_a_database_of_one_file_is_taken_everywhere(folder: Path, tiny_model: Path) -> None:
    write_single_file_lmdb(folder / "train.lmdb", *TEXTS)
    assert "LMDB" in run("inspect", "train.lmdb").output.upper()
    assert run("infer", "train.lmdb", "--model", tiny_model, "--device", "cpu").stdout.count("\n") == 3
    assert run("eval", "train.lmdb", "--model", tiny_model, "--precision", "fp32").exit_code == 0
    assert run("build-lmdb", "train.lmdb", "out", "--workers", 1).exit_code == 0


def test_inspect_says_how_lines_are_read_and_which_splits_there_are(folder: Path) -> None:
    shown = run("inspect", "labels.csv").output
    assert "not quoted" in shown and "'words'" in shown and "bốn, năm" in shown
    for split in ("train", "test"):
        (folder / "repo" / split).mkdir(parents=True)
        (folder / "repo" / split / "metadata.csv").write_text("file_name,text\n0.png,a\n")
        line_image(0).save(folder / "repo" / split / "0.png")
    shown = run("inspect", "repo").output
    assert "train" in shown and "test" in shown and "--split" in shown
    assert "lines" in run("inspect", "repo", "--split", "test").output
    refused = run("inspect", "vi-small", "--split", "test")
    assert refused.exit_code == 1 and "mean nothing" in str(refused.exception)


def test_training_takes_lines_from_tables_and_the_split_for_each_use(folder: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")
    for split in ("train", "validation", "test"):
        cells = [{"bytes": line_png(index), "path": None} for index in range(3)]
        (folder / "repo").mkdir(exist_ok=True)
        parquet.write_table(
            pyarrow.table({"image": cells, "text": [split] * 3}), folder / "repo" / f"{split}-0.parquet"
        )
    small = {"channels": [8, 8, 8], "blocks": [0, 0, 0], "hidden": 16, "column_blocks": 0, "heads": 1}
    config = write_config(folder, {"model": small, "train": {"max_steps": 1}, "data": {"workers": 99}})
    trained = run("train", config, "--data", "repo", "--valid", "repo", "--out", "run", "--device", "cpu")
    assert trained.exit_code == 0, trained.output
    said = " ".join(trained.stderr.split())
    assert "'train' is read" in said and "'validation' is read" in said and "'test'" not in said
    assert "data.workers is 99" in said and "site-packages" not in trained.stderr
    refused = run("train", config, "--data", "repo/test-0.parquet", "--valid-split", "test", "--out", "other")
    assert refused.exit_code == 1 and "--valid-split" in str(refused.exception)


def test_pages_among_the_lines_are_flagged(folder: Path) -> None:
    page = Image.new("L", (700, 900), 255)
    for top in range(40, 900, 60):
        page.paste(line_image(0, 600, 30), (50, top))
    page.save(folder / "page.png")
    (folder / "labels.csv").write_text("filename,words\n0.png,một\npage.png,cả trang\n", encoding="utf-8")
    built = run("build-lmdb", "labels.csv", "out", "--workers", 1)
    assert built.exit_code == 0, built.output
    assert "page-like" in built.stderr and "page.png" in built.stderr and "1 images" in built.stderr
    with LineStore(folder / "out") as store:
        assert len(store) == 2


@pytest.mark.parametrize(
    ("content", "fix"),
    [
        ("0.png\tmột\n", "Export or copy the image again"),
        ('a.jpg\t[{"transcription": "x", "points": [[0, 0]]}]\n', "rec_gt.txt"),
        ("gone.png\tmột\n", "--images"),
        ("1.png\t\n", "Correct the lines"),
    ],
)
def test_the_remedy_fits_the_fault(content: str, fix: str, folder: Path) -> None:
    (folder / "0.png").write_bytes(line_png(0)[:60])
    (folder / "l.txt").write_text(content, encoding="utf-8")
    refused = run("build-lmdb", "l.txt", "out", "--workers", 1)
    assert refused.exit_code == 1 and fix in refused.exception.fix  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("reference", "reading", "kinds"),
    [
        ("tiên", "tiếnn", ["tone", "extra letter"]),
        ("Hà Nội", "Ha Nộii", ["tone", "extra letter"]),
        ("quốc", "quócc", ["vowel mark", "extra letter"]),
        ("đường", "dườngg", ["vowel mark", "extra letter"]),
        ("nghiã", "ghĩa", ["missing letter", "tone", "tone"]),
    ],
)
def test_marks_are_told_where_lists_of_edits_are_equally_short(
    reference: str, reading: str, kinds: list[str]
) -> None:
    assert [classify(edit) for edit in edits(reference, reading)] == kinds
    cut = spans(reference, reading)
    assert "".join(span.reference for span in cut) == reference
    assert "".join(span.reading for span in cut) == reading
