"""vocr train --preview-batch: a picture of what the model is fed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import EXAMPLE_LINES, write_config
from PIL import Image
from typer.testing import CliRunner, Result

from vocr_cli.app import app
from vocr_cli.core.errors import DataError

runner = CliRunner()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    tree = {
        "model": {"channels": [8, 8, 16], "blocks": [0, 0, 0], "hidden": 32, "column_blocks": 1},
        "data": {"train": [{"annotations": str(EXAMPLE_LINES / "labels.tsv")}], "workers": 0},
        "batch": {"pixels": 60_000},
        "precision": {"amp": "off"},
    }
    return write_config(tmp_path, tree)


def preview(config: Path, picture: Path, *more: str) -> Result:
    arguments = ["train", str(config), "--out", str(config.parent / "run"), "--device", "cpu"]
    return runner.invoke(app, [*arguments, "--preview-batch", str(picture), *more])


def test_the_picture_shows_the_augmented_lines_and_nothing_is_trained(tmp_path: Path, config: Path) -> None:
    pictures = {}
    for strength in ("0", "1"):
        result = preview(config, tmp_path / f"{strength}.png", "--set", f"augment.strength={strength}")
        assert result.exit_code == 0, result.output
        with Image.open(tmp_path / f"{strength}.png") as image:
            pictures[strength] = np.asarray(image.convert("L"))
    assert not (tmp_path / "run").exists()
    assert pictures["0"].shape == pictures["1"].shape and pictures["0"].shape[0] > 5 * 40
    assert (pictures["0"] != pictures["1"]).mean() > 0.02


def test_a_picture_that_cannot_be_written_is_named(tmp_path: Path, config: Path) -> None:
    (tmp_path / "no folder").touch()
    result = preview(config, tmp_path / "no folder" / "a.png")
    assert result.exit_code == 1 and isinstance(result.exception, DataError)
    assert "no folder" in str(result.exception)
