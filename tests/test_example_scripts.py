"""The scripts that a user copies run from end to end, shortened."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT

from vocr_cli.core.config.tree import CtcConfig, ImageConfig
from vocr_cli.core.models.files import ModelFile, build_module, load_model, save_model


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Where `vocr` is this checkout's, for scripts that find no .venv."""
    command = tmp_path / "bin" / "vocr"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m vocr_cli "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.mark.slow
def test_from_scratch_shows_what_fine_tuning_changed(tmp_path: Path, environment: dict[str, str]) -> None:
    work = tmp_path / "work"
    short = {"STEPS": "80", "LINES_TO_RENDER": "120"}
    done = subprocess.run([str(ROOT / "examples" / "from_scratch.sh"), str(work)], env=environment | short,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    before, after = (
        json.loads((work / f"{when}.json").read_text("utf-8"))["cer"]["value"] for when in ("before", "after")
    )
    assert before > 0.3, "vi-small reads this face: the example shows nothing"
    assert after < before
    shown = done.stdout.partition("Three of the lines")[2]
    assert [shown.count(word) for word in ("\n  label ", "\n  before ", "\n  after ")] == [3, 3, 3]
    assert f"{before:.2%}" in done.stdout and f"{after:.2%}" in done.stdout


@pytest.fixture
def recipe(tmp_path: Path, environment: dict[str, str]) -> Callable[..., Path]:
    """Runs a script of examples/vi-small on a little text and few fonts; gives the folder of its work."""
    text, work, fonts = tmp_path / "text", tmp_path / "work", ROOT / "examples" / "fonts"
    text.mkdir()
    (text / "laws.txt").write_text("Điều 1. Phạm vi điều chỉnh của Luật này\n" * 40, encoding="utf-8")

    def run(name: str, *before: Path, **short: str) -> Path:
        script = ROOT / "examples" / "vi-small" / name
        settings = {"SYSTEM_FONTS": str(fonts), "VALID_FONTS": str(fonts), "VALID_LINES": "120", **short}
        done = subprocess.run([script, *before, text, fonts, "--out", work], env=environment | settings,
                              capture_output=True, text=True)  # fmt: skip
        assert done.returncode == 0, done.stderr
        return work

    return run


SHORT = {"STEPS": "3", "LINES": "4", "WARMUP": "1", "VALIDATE": "3"}


@pytest.mark.slow
def test_a_smaller_model_is_distilled_exported_and_calibrated(
    tmp_path: Path, recipe: Callable[..., Path]
) -> None:
    teacher = tmp_path / "teacher.safetensors"
    config, image, charset = CtcConfig(), ImageConfig(), load_model("vi-small").charset
    save_model(teacher, ModelFile(build_module(config, image, charset), config, image, charset))
    work = recipe("distil.sh", teacher, MIXED="3", AGAIN="3", **SHORT)
    made = sorted(file.name for file in work.glob("vi-small.*"))
    assert made == ["vi-small.calibration.json", "vi-small.int8.onnx", "vi-small.safetensors"]
    assert load_model(work / "vi-small.safetensors").config.column_outputs == 2


@pytest.mark.slow
def test_a_deeper_model_is_grown_trained_exported_and_calibrated(recipe: Callable[..., Path]) -> None:
    work = recipe("grow.sh", MINUTES="5", **SHORT)
    made = sorted(file.name for file in work.glob("vi-base.*"))
    assert made == ["vi-base.calibration.json", "vi-base.int8.onnx", "vi-base.safetensors"]
    grown, start = load_model(work / "vi-base.safetensors"), load_model("vi-small")
    assert (grown.config.blocks, grown.config.column_blocks) == ((0, 2, 4), 4)
    assert grown.config.attention_layers == 4 and grown.charset == start.charset


@pytest.mark.slow
def test_the_teacher_is_made_with_the_characters_of_vi_small(recipe: Callable[..., Path]) -> None:
    work = recipe("train.sh", STEPS="3", MINUTES="5")
    assert load_model(work / "vi-small.safetensors").charset == load_model("vi-small").charset
    assert (work / "vi-small.int8.onnx").is_file()
