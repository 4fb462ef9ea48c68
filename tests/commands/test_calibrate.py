"""Calibrated confidences through the command line: fitted, taken, carried over, refused, marked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from conftest import line_image
from PIL import Image
from typer.testing import CliRunner, Result

from vocr_cli.app import app
from vocr_cli.core.bench.inputs import packaged_lines
from vocr_cli.core.errors import ModelError, VocrError
from vocr_cli.core.export.confidences import heard_at
from vocr_cli.core.inference import Recognizer
from vocr_cli.core.inference.int8_companion import digest_of
from vocr_cli.core.models.calibration import read_calibration
from vocr_cli.core.models.spec import embedded_models

runner = CliRunner()
LINES = 120
CPU = ("--device", "cpu", "--precision", "fp32")


def vocr(*arguments: str | Path, code: int = 0) -> Result:
    result = runner.invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
    return result


@pytest.fixture(scope="module")
def calibrated(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model and lines; many of the short texts that it reads are right, few of the long."""
    folder = tmp_path_factory.mktemp("calibrated")
    shutil.copy(tiny_model, folder / "best.safetensors")
    paths = [folder / f"{index}.png" for index in range(LINES)]
    for index, path in enumerate(paths):
        line_image(index, width=60 + 10 * (index % 4)).save(path)
    readings = Recognizer.load(folder / "best.safetensors", "cpu", "fp32").read_files(paths)
    rows = []
    for index, (path, reading) in enumerate(zip(paths, readings, strict=True)):
        is_right = (len(reading.text) < 20) == (index % 5 > 0) and reading.text
        rows.append(f"{path.name}\t{reading.text if is_right else 'khác'}\n")
    (folder / "labels.tsv").write_text("".join(rows), encoding="utf-8")
    result = vocr("calibrate", folder / "best.safetensors", folder, *CPU)
    assert "before" in result.output and "calibrated" in result.output
    return folder


def test_confidences_say_how_many_lines_are_right(calibrated: Path, tmp_path: Path) -> None:
    model = calibrated / "best.safetensors"
    shown = ("--report", tmp_path / "a.html")
    vocr("eval", calibrated, "--model", model, "--json", tmp_path / "a.json", *shown, *CPU)
    scores = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    shutil.copy(model, tmp_path / "plain.safetensors")
    same = tmp_path / "plain.safetensors"
    result = vocr("eval", calibrated, "--model", same, "--json", tmp_path / "b.json", *CPU)
    plain = json.loads((tmp_path / "b.json").read_text(encoding="utf-8"))
    assert "calibration error" in result.output
    assert (scores["calibrated"], plain["calibrated"]) == (True, False)
    assert scores["reliability"]["error"] < 0.5 * plain["reliability"]["error"]
    assert scores["cer"] == plain["cer"]
    assert "<svg" in (tmp_path / "a.html").read_text(encoding="utf-8")


def test_character_confidences_and_texts_stay_and_the_order_of_one_length_too(calibrated: Path) -> None:
    images = [line_image(seed) for seed in range(12)]
    model = calibrated / "best.safetensors"
    now = Recognizer.load(model, "cpu", "fp32").read(images)
    shutil.copy(model, calibrated / "plain.safetensors")
    before = Recognizer.load(calibrated / "plain.safetensors", "cpu", "fp32").read(images)
    for one, other in zip(now, before, strict=True):
        assert (one.text, one.char_confidences) == (other.text, other.char_confidences)
        assert one.min_confidence == other.min_confidence
        assert one.confidence != other.confidence


def test_a_model_trained_further_is_read_without_and_that_is_said(calibrated: Path, tmp_path: Path) -> None:
    for name in ("best.safetensors", "best.calibration.json"):
        shutil.copy(calibrated / name, tmp_path)
    with (tmp_path / "best.safetensors").open("r+b") as stream:
        stream.seek(-4, 2)
        stream.write(b"\1\2\3\4")
    result = vocr("infer", calibrated / "0.png", "--model", tmp_path / "best.safetensors", *CPU)
    assert "not calibrated" in result.stderr
    assert Recognizer.load(tmp_path / "best.safetensors", "cpu", "fp32").calibration is None


@pytest.mark.parametrize("how", [("--dtype", "fp16"), ("--grow", "attention_layers=3")])
def test_an_exported_model_keeps_its_calibration(
    calibrated: Path, tmp_path: Path, how: tuple[str, str]
) -> None:
    out = tmp_path / "small.safetensors"
    result = vocr("export", calibrated / "best.safetensors", out, *how)
    assert "small.calibration.json" in result.output
    before, after = (
        read_calibration(path / name)
        for path, name in ((calibrated, "best.calibration.json"), (tmp_path, "small.calibration.json"))
    )
    assert after.calibration == before.calibration and after.weights == digest_of(out)
    assert Recognizer.load(out, "cpu", "fp32").calibration == before.calibration


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "no calibration"),
        ('{"format": "vocr-calibration-9", "weights": ""}', "vocr-calibration-9"),
        ('{"format": "vocr-calibration-2", "weights": ""}', "direct"),
        (
            '{"format": "vocr-calibration-2", "weights": "", '
            '"direct": {"of_right": -1, "of_wrong": 1, "offset": 0}}',
            "maps no confidence",
        ),
        ('{"format": "vocr-calibration-2", "weights": "", "direct": {"slope": 1}}', "slope"),
        ("[]", "no calibration"),
    ],
)
def test_a_damaged_or_foreign_file_is_refused(
    calibrated: Path, tmp_path: Path, content: str, complaint: str
) -> None:
    shutil.copy(calibrated / "best.safetensors", tmp_path)
    (tmp_path / "best.calibration.json").write_text(content, encoding="utf-8")
    result = vocr("infer", calibrated / "0.png", "--model", tmp_path / "best.safetensors", *CPU, code=1)
    assert isinstance(result.exception, VocrError)
    assert complaint in result.exception.problem and "delete" in result.exception.fix


def test_of_the_first_format_all_counts_but_the_map_of_searched_lines(
    calibrated: Path, tmp_path: Path
) -> None:
    """That map was fitted to another number than the one that is mapped now."""
    shutil.copy(calibrated / "best.safetensors", tmp_path)
    document = json.loads((calibrated / "best.calibration.json").read_text(encoding="utf-8"))
    document |= {"format": "vocr-calibration-1", "lm_weight": 0.6, "searched": document["direct"]}
    (tmp_path / "best.calibration.json").write_text(json.dumps(document), encoding="utf-8")
    calibration = Recognizer.load(tmp_path / "best.safetensors", "cpu", "fp32").calibration
    assert calibration is not None and calibration.searched is None and calibration.lm_weight == 0.6
    assert calibration.direct == read_calibration(calibrated / "best.calibration.json").calibration.direct


def test_too_few_lines_and_embedded_models_are_refused(calibrated: Path, tmp_path: Path) -> None:
    rows = (calibrated / "labels.tsv").read_text(encoding="utf-8").splitlines()[:20]
    (calibrated / "few.tsv").write_text("\n".join(rows), encoding="utf-8")
    shutil.copy(calibrated / "best.safetensors", tmp_path)
    result = vocr("calibrate", tmp_path / "best.safetensors", calibrated / "few.tsv", *CPU, code=1)
    assert "too few" in str(result.exception) and not (tmp_path / "best.calibration.json").exists()
    result = vocr("calibrate", "vi-small", calibrated, code=1)
    assert "vocr export vi-small" in str(result.exception)


def test_unsure_lines_are_marked_and_counted(calibrated: Path, tmp_path: Path) -> None:
    model, paths = calibrated / "best.safetensors", [calibrated / f"{index}.png" for index in range(40)]
    readings = Recognizer.load(model, "cpu", "fp32").read_files(paths)
    apart = sorted({round(reading.confidence, 6) for reading in readings})
    threshold = (apart[len(apart) // 2 - 1] + apart[len(apart) // 2]) / 2
    common = ["infer", *paths, "--model", model, *CPU, "--min-confidence", f"{threshold:.9f}"]
    result = vocr(*common, "--format", "jsonl")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    unsure = ["unsure" in row["flags"] for row in rows]
    assert unsure == [row["confidence"] < threshold for row in rows] and 0 < sum(unsure) < 40
    assert f"Flagged unsure: {sum(unsure)}" in result.stderr
    assert "unsure" in vocr(*common, "--format", "csv").stdout
    assert "unsure" not in vocr("infer", *paths, "--model", model, *CPU, "--format", "csv").stdout


def test_a_cache_does_not_give_readings_of_another_calibration_or_threshold(
    calibrated: Path, tmp_path: Path
) -> None:
    shutil.copy(calibrated / "best.safetensors", tmp_path)
    common = ["infer", calibrated / "1.png", "--model", tmp_path / "best.safetensors", "--cache",
              tmp_path / "cache", *CPU]  # fmt: skip
    plain = vocr(*common).stdout
    shutil.copy(calibrated / "best.calibration.json", tmp_path)
    result = vocr(*common)
    assert result.stdout != plain and "cache: 0 lines" in result.stderr
    result = vocr(*common, "--min-confidence", "1", "--format", "csv")
    assert "unsure" in result.stdout and "cache: 0 lines" in result.stderr
    assert "cache: 1 lines" in vocr(*common).stderr


@pytest.mark.parametrize("name", ["vi-small", "vi-base"])
def test_the_embedded_models_ship_with_the_calibration_of_their_weights(name: str) -> None:
    model = embedded_models()[name]
    content = read_calibration(model.with_name(f"{name}.calibration.json"))
    assert content.weights == digest_of(model)
    calibration = content.calibration
    assert calibration.searched is not None
    for each in (calibration.direct, calibration.searched):
        assert each(0.02) < 0.2 and each(0.98) > 0.85


@pytest.fixture(scope="module")
def hard_lines(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """A model in a folder, and lines too small to be read without guessing."""
    folder = tmp_path_factory.mktemp("hard")
    vocr("export", "vi-small", folder / "mine.safetensors")
    (folder / "lines").mkdir()
    paths = []
    for row in (packaged_lines() / "labels.tsv").read_text(encoding="utf-8").splitlines():
        image = Image.open(packaged_lines() / row.partition("\t")[0]).convert("L")
        for height in range(8, 17):
            path = folder / "lines" / f"{len(paths)}.png"
            image.resize((image.width * height // image.height, height)).save(path)
            paths.append(path)
    return folder / "mine.safetensors", paths


@pytest.mark.parametrize("weight", [0.4, 0.8])
def test_how_much_the_language_model_counts_is_what_reads_the_lines_best(
    hard_lines: tuple[Path, list[Path]], weight: float
) -> None:
    model, paths = hard_lines
    model.with_name("mine.calibration.json").unlink(missing_ok=True)
    plain = Recognizer.load(model, "cpu", "fp32", language_model="vi")
    texts = [reading.text for reading in heard_at(plain, weight).read_files(paths)]
    rows = [f"{path.name}\t{text}\n" for path, text in zip(paths, texts, strict=True) if text]
    labels = paths[0].with_name("labels.tsv")
    labels.write_text("".join(rows), encoding="utf-8")
    result = vocr("calibrate", model, labels, "--lm", "vi", *CPU)
    found = read_calibration(model.with_name("mine.calibration.json")).calibration.lm_weight
    assert found == (None if weight == 0.4 else weight)
    assert (f"counts {weight}, not 0.4" in " ".join(result.output.split())) == (weight != 0.4)
    reader = Recognizer.load(model, "cpu", "fp32", language_model="vi")
    assert [reading.text for reading in reader.read_files(paths)] == texts


def test_a_weight_that_cannot_be_is_refused(calibrated: Path, tmp_path: Path) -> None:
    shutil.copy(calibrated / "best.safetensors", tmp_path)
    content = json.loads((calibrated / "best.calibration.json").read_text(encoding="utf-8"))
    path = tmp_path / "best.calibration.json"
    for weight in (-1, 0, 1e9, "much", True):
        path.write_text(json.dumps({**content, "lm_weight": weight}), encoding="utf-8")
        with pytest.raises(ModelError, match="is no calibration"):
            Recognizer.load(tmp_path / "best.safetensors", "cpu", "fp32")


def test_lines_that_say_nothing_are_named(calibrated: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(calibrated, folder)
    (folder / "0.png").write_bytes(b"junk")
    (folder / "1.png").unlink()
    with (folder / "labels.tsv").open("a", encoding="utf-8") as rows:
        rows.write("nonsense\n")
    result = vocr("calibrate", folder / "best.safetensors", folder, *CPU, code=3)
    said = " ".join(result.stderr.split())
    assert "Could not be read, left out (2)" in said and "line 1" in said and "line 2" in said
    assert "Cannot be used as labelled lines, left out (1)" in said and f"line {LINES + 1}" in said
