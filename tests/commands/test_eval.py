"""`vocr eval`, by readings from a file and by a tiny untrained model."""

from __future__ import annotations

import json

import pytest
from PIL import Image
from typer.testing import CliRunner

from vocr_cli.app import app
from vocr_cli.core.config.tree import CtcConfig, ImageConfig
from vocr_cli.core.data.lmdb.store import LineWriter, StoredLine
from vocr_cli.core.errors import DataError
from vocr_cli.core.text import Charset

runner = CliRunner()

LABELS = {"images/0.png": "Đường Nguyễn Huệ", "images/1.png": "Số 12", "images/2.png": "phở bò"}


def run(*arguments):
    return runner.invoke(app, ["eval", *map(str, arguments)])


def tsv(path, rows):
    path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path):
    """A folder of three labelled lines."""
    (tmp_path / "set" / "images").mkdir(parents=True)
    for path in LABELS:
        Image.new("L", (120, 40), 200).save(tmp_path / "set" / path)
    tsv(tmp_path / "set" / "labels.tsv", LABELS.items())
    return tmp_path / "set"


def scored(tmp_path, *arguments):
    result = run(*arguments, "--json", tmp_path / "scores.json")
    return result, json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))


def test_eval_scores_readings_of_another_ocr(folder, tmp_path):
    readings = tsv(tmp_path / "r.tsv", [*{**LABELS, "images/1.png": "Sổ 12"}.items()])
    result, document = scored(tmp_path, folder, "--readings", readings)
    assert result.exit_code == 0, result.output
    assert (document["edits"], document["characters"], document["lines"]) == (1, 27, 3)
    assert document["cer"]["value"] == pytest.approx(1 / 27)
    assert document["breakdown"][0] == {"name": "tone", "edits": 1, "share": pytest.approx(1 / 27)}
    assert document["worst"][0]["path"] == "images/1.png" and document["unread"] == []
    assert "3.70%" in result.stdout and "ố→ổ" in result.stdout


def test_eval_takes_the_folder_its_annotation_file_and_an_lmdb_alike(folder, tmp_path):
    readings = tsv(tmp_path / "r.tsv", [*{**LABELS, "images/2.png": "pho bò"}.items()])
    with LineWriter(tmp_path / "db") as writer:
        for path, label in LABELS.items():
            writer.add(StoredLine((folder / path).read_bytes(), label, path), 120, 40)
    scores = []
    for data in (folder, folder / "labels.tsv", tmp_path / "db"):
        result, document = scored(tmp_path, data, "--readings", readings)
        assert result.exit_code == 0, result.output
        scores.append({key: value for key, value in document.items() if key != "data"})
    assert scores[0] == scores[1] == scores[2]
    assert scores[0]["edits"] == 1


def test_eval_finds_readings_by_file_when_paths_are_written_differently(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [
        ("set/images/0.png", LABELS["images/0.png"], "0.9"),
        (str(folder / "images" / "1.png"), "Số 12", "0.8"),
    ]
    readings = tsv(tmp_path / "r.tsv", [*rows, ("images/2.png", "phở", "0.7")])
    result, document = scored(tmp_path, folder, "--readings", readings)
    assert result.exit_code == 0, result.output
    assert document["edits"] == 3 and document["worst"][0]["confidence"] == 0.7


def test_eval_counts_a_line_without_reading_as_empty_and_names_it(folder, tmp_path):
    readings = tsv(tmp_path / "r.tsv", [*LABELS.items()][:2])
    result, document = scored(tmp_path, folder, "--readings", readings)
    assert result.exit_code == 3
    assert document["edits"] == len("phở bò")
    assert document["unread"][0][0] == "images/2.png" and "images/2.png" in result.stderr


def test_eval_names_annotation_lines_it_cannot_use(folder, tmp_path):
    with (folder / "labels.tsv").open("a", encoding="utf-8") as file:
        file.write("images/3.png no tab here\n")
    result, document = scored(tmp_path, folder, "--readings", tsv(tmp_path / "r.tsv", LABELS.items()))
    assert result.exit_code == 3 and "line 4" in result.stderr
    assert document["lines"] == 3 and document["edits"] == 0 and len(document["unusable"]) == 1


def test_eval_accepts_empty_readings_decomposed_text_and_windows_files(folder, tmp_path):
    readings = tmp_path / "r.tsv"
    text = "path\ttext\r\nimages/0.png\tĐường Nguyê\u0303n Huệ\r\nimages/1.png\t\r\nimages/2.png\r\n"
    readings.write_bytes(b"\xef\xbb\xbf" + text.encode())
    result, document = scored(tmp_path, folder, "--readings", readings)
    assert result.exit_code == 0, result.output
    assert document["edits"] == len("Số 12") + len("phở bò") and document["exact_lines"] == 1


def test_eval_limit_scores_the_first_lines_only(folder, tmp_path):
    readings = tsv(tmp_path / "r.tsv", LABELS.items())
    result, document = scored(tmp_path, folder, "--readings", readings, "--limit", 2)
    assert result.exit_code == 0 and document["lines"] == 2


def test_eval_report_embeds_the_worst_lines_and_survives_a_missing_image(folder, tmp_path):
    (folder / "images" / "1.png").unlink()
    readings = tsv(tmp_path / "r.tsv", [(path, "") for path in LABELS])
    result = run(folder, "--readings", readings, "--report", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == 2 and page.count("<article") == 3


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([("elsewhere/9.png", "x")], "No reading"),
        ([("images/0.png", "a"), ("images/0.png", "b")], "line 2"),
    ],
)
def test_eval_refuses_readings_that_do_not_fit_the_data(folder, tmp_path, rows, problem):
    result = run(folder, "--readings", tsv(tmp_path / "r.tsv", rows))
    assert result.exit_code == 1 and isinstance(result.exception, DataError)
    assert problem in result.exception.problem and result.exception.fix


def test_eval_refuses_missing_data_readings_and_output_folders_with_a_remedy(folder, tmp_path):
    readings = tsv(tmp_path / "r.tsv", LABELS.items())
    (tmp_path / "empty").mkdir()
    for arguments in (
        (tmp_path / "nothing", "--readings", readings),
        (tmp_path / "empty", "--readings", readings),
        (folder, "--readings", tmp_path / "nothing.tsv"),
        (folder, "--readings", readings, "--json", tmp_path / "no" / "folder.json"),
    ):
        result = run(*arguments)
        assert result.exit_code == 1 and isinstance(result.exception, DataError), arguments
        assert result.exception.fix


def test_eval_refuses_a_model_beside_readings(folder, tmp_path):
    result = run(folder, "--readings", tsv(tmp_path / "r.tsv", LABELS.items()), "--model", "vi-small")
    assert result.exit_code == 2 and "--model" in result.stderr


@pytest.fixture
def model(tmp_path):
    """A model file with untrained weights."""
    torch = pytest.importorskip("torch")
    from vocr_cli.core.models.files import ModelFile, build_module, save_model

    torch.manual_seed(0)
    config = CtcConfig(channels=(8, 8, 8), hidden=16, attention_layers=1, heads=2)
    image, charset = ImageConfig(height_px=32), Charset()
    save_model(
        tmp_path / "m.safetensors", ModelFile(build_module(config, image, charset), config, image, charset)
    )
    return tmp_path / "m.safetensors"


def test_eval_reads_an_unreadable_image_as_empty_and_goes_on(folder, tmp_path, model):
    from vocr_cli.core.inference import Recognizer

    (folder / "images" / "1.png").write_bytes(b"not an image")
    result, document = scored(tmp_path, folder, "--model", model, "--device", "cpu", "--precision", "fp32")
    assert result.exit_code == 3, result.output
    assert [path for path, _ in document["unread"]] == ["images/1.png"] and "images/1.png" in result.stderr
    assert (document["device"], document["precision"], document["lines"]) == ("cpu", "fp32", 3)
    worst = {line["path"]: line for line in document["worst"]}
    assert worst["images/1.png"]["reading"] == "" and worst["images/1.png"]["confidence"] is None
    recognizer = Recognizer.load(model, device="cpu", precision="fp32")
    for path in ("images/0.png", "images/2.png"):
        expected = recognizer.read_files([folder / path])[0]
        assert worst[path]["reading"] == expected.text.strip()
        assert worst[path]["confidence"] == pytest.approx(expected.confidence, abs=1e-4)


def test_eval_reads_a_database_as_it_reads_the_files(folder, tmp_path, model):
    with LineWriter(tmp_path / "db") as writer:
        for path, label in LABELS.items():
            writer.add(StoredLine((folder / path).read_bytes(), label, path), 120, 40)
    documents = []
    for data in (folder, tmp_path / "db"):
        result, document = scored(tmp_path, data, "--model", model, "--precision", "fp32", "--workers", 1)
        assert result.exit_code == 0, result.output
        documents.append({key: value for key, value in document.items() if key != "data"})
    assert documents[0] == documents[1]


def test_scores_on_stdout_stand_there_alone(folder, tmp_path):
    readings = tsv(tmp_path / "r.tsv", LABELS.items())
    result = run(folder, "--readings", readings, "--json", "-")
    assert json.loads(result.stdout)["edits"] == 0 and "CER" in result.stderr
    assert run(folder, "--readings", readings, "--json", "-", "-q").stderr == ""


def test_readings_count_whether_or_not_their_images_are_found(folder, tmp_path):
    """Of a name that several folders beside the readings have, nobody can say whose it is, nor need to."""
    for place in ("one", "two"):
        (tmp_path / place / "images").mkdir(parents=True)
        for path in LABELS:
            Image.new("L", (120, 40), 200).save(tmp_path / place / path)
    rows = [(path.rpartition("/")[2], label) for path, label in LABELS.items()]
    data = tsv(folder / "images" / "labels.tsv", rows).parent
    (tmp_path / "r.csv").write_text(
        "path,text,confidence\n" + "".join(f'{path},"{label}",0.9\n' for path, label in rows), "utf-8"
    )
    lines = [json.dumps({"path": path, "text": label, "confidence": 0.9}) for path, label in rows]
    (tmp_path / "r.jsonl").write_text("\n".join(lines), "utf-8")
    for name in ("r.csv", "r.jsonl"):
        result, document = scored(tmp_path, data, "--readings", tmp_path / name)
        assert result.exit_code == 0 and document["edits"] == 0, result.output
        assert document["unread"] == [] and document["lines"] == len(rows)
