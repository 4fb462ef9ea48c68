"""vocr bench train and vocr bench claims."""

from __future__ import annotations

import json
import re
from io import BytesIO
from pathlib import Path

import pytest
import yaml
from conftest import line_image
from PIL import Image
from tiny_vietocr import make_model
from typer.testing import CliRunner

from vocr_cli.app import app
from vocr_cli.core.data.lmdb.store import LineWriter, StoredLine

runner = CliRunner()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lines of three widths, 90 px high, so that scaling them saves something."""
    path = tmp_path_factory.mktemp("claims") / "lines.lmdb"
    with LineWriter(path) as writer:
        for number in range(24):
            image, buffer = line_image(number, 180 + 90 * (number % 3), 90), BytesIO()
            image.save(buffer, "PNG", compress_level=0)
            writer.add(StoredLine(buffer.getvalue(), "abcde"[: 2 + number % 4], f"{number}.png"), *image.size)
    return path


@pytest.fixture(scope="module")
def tiny_yaml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A config of the vietocr family."""
    model = make_model()
    tree = {
        "model": model.config.model_dump(mode="json"),
        "charset": {"characters": model.charset.characters},
    }
    path = tmp_path_factory.mktemp("config") / "tiny.yml"
    path.write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")
    return path


@pytest.mark.slow
def test_train_measures_the_trainer_and_its_workers(tiny_model: Path, data: Path, tmp_path: Path) -> None:
    result = runner.invoke(
        app,
        ["bench", "train", "--model", str(tiny_model), "--data", str(data), "--threads", "1", "--quick",
         "--device", "cpu", "--json", str(tmp_path / "t.json")],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "t.json").read_text(encoding="utf-8"))
    rows = {row["name"]: row for row in report["rows"]}
    assert rows["as configured"]["ratio"] == 1 and rows["as configured"]["workers_mb"] > 0
    assert rows["no workers"]["workers_mb"] == 0 and rows["amp off"]["dtype"] == "float32"
    assert report["device"] == "cpu" and report["effort"]["rounds"] == 1
    for name in ("machine", "device", "threads", "dtype", "batches", "warm-up", "samples"):
        assert re.search(f"^  {name} +\\S", result.stdout, re.MULTILINE), (name, result.stdout)
    for row in rows.values():
        assert row["lines_per_s"]["median"] > 0 and row["cpu_s_per_1000"] > 0 and row["peak_mb"] > 50
        assert 0 <= row["data_wait_share"] <= 1


@pytest.mark.slow
def test_claims_judge_every_promise(data: Path, tiny_yaml: Path, tmp_path: Path) -> None:
    chart = tmp_path / "c.png"
    result = runner.invoke(
        app,
        ["bench", "claims", "--model", str(tiny_yaml), "--data", str(data), "--valid", str(data),
         "--threads", "1", "--quick", "--device", "cpu", "--json", str(tmp_path / "c.json"), "--chart",
         str(chart)],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "c.json").read_text(encoding="utf-8"))
    verdicts = {row["name"]: row["verdict"] for row in report["promises"]}
    assert list(verdicts) == ["training speed", "memory, equal batch", "inference speed", "GPU utilisation",
                              "CPU time", "disk I/O", "accuracy"]  # fmt: skip
    assert set(verdicts.values()) == {"not measured: a trial run"}
    raw, small = report["stored"]
    assert small["records"] < raw["records"] / 2 and raw["records"] <= raw["pages"]
    names = [row["name"] for row in report["training"]]
    assert names[0] == "VietOCR's way" and names[-1] == "all on" and len(names) == len(set(names)) > 7
    assert report["against"] in names[:2] and "VietOCR's way, no workers" in names and not report["left_out"]
    assert all(setting["where"] for setting in report["baseline_settings"])
    assert [row["name"] for row in report["disk"]["rows"]] == ["RGB PNG", "grey PNG", "JPEG", "WebP"]
    assert report["gpu_shares"] is None and report["accuracy_test"]["start"]["value"] > 0
    baseline, all_on = report["accuracy"]
    assert baseline["lines"] == 3 * report["memory_lines"] and 0 <= all_on["cer"]["value"]
    assert baseline["steps"] == all_on["steps"] == 3
    with Image.open(chart) as picture:
        assert picture.width == 1000 and len(picture.convert("L").getcolors(256) or []) > 10


@pytest.mark.parametrize(
    "options",
    [["train", "--limit", "3"], ["train", "--valid", "x"], ["infer", "--quick"], ["claims", "--limit", "3"]],
)
def test_an_option_of_another_suite_is_a_usage_error(options: list[str]) -> None:
    assert runner.invoke(app, ["bench", *options]).exit_code == 2


@pytest.mark.slow
def test_clusters_too_small_for_a_batch_are_explained(tiny_yaml: Path, tmp_path: Path) -> None:
    with LineWriter(tmp_path / "few") as writer:
        for number in range(3):
            buffer = BytesIO()
            line_image(number, 90 + 30 * number, 32).save(buffer, "PNG")
            writer.add(StoredLine(buffer.getvalue(), "abc", f"{number}.png"), 90 + 30 * number, 32)
    result = runner.invoke(
        app,
        ["bench", "claims", "--model", str(tiny_yaml), "--data", str(tmp_path / "few"), "--quick",
         "--threads", "1", "--device", "cpu"],
    )  # fmt: skip
    assert result.exit_code != 0 and "one width" in str(result.exception)


def test_a_chart_that_cannot_be_written_is_refused_before_minutes_of_measuring(tmp_path: Path) -> None:
    for chart in (tmp_path / "c.txt", tmp_path):
        result = runner.invoke(app, ["bench", "claims", "--chart", str(chart)])
        assert result.exit_code == 2 and ".png" in result.output
