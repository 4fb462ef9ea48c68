"""Without torch, what needs it ends in one sentence and a remedy, and the rest works."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import EXAMPLE_LINES, FONTS

REMEDY = "pip install 'vocr-cli[train]'"


@pytest.fixture
def python(without_torch: dict[str, str], tmp_path: Path):
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, env=without_torch, cwd=tmp_path, capture_output=True, text=True, timeout=100
        )

    return run


@pytest.fixture
def vocr(python):
    return lambda *arguments: python("-m", "vocr_cli", *arguments)


def test_torch_is_hidden_from_these_processes(python):
    found = python("-c", "import importlib.util; print(importlib.util.find_spec('torch')); import torch")
    assert found.stdout == "None\n" and found.returncode == 1
    assert found.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'torch'"


@pytest.mark.parametrize(
    ("what", "command"),
    [
        ("vocr train", "train config.yaml"),
        ("vocr autoconf", "autoconf --no-probe"),
        ("vocr export", "export vi-small out.onnx"),
        ("vocr bench train", "bench train --quick"),
        ("vocr bench data", "bench data"),
        ("vocr bench claims", "bench claims --quick"),
        ("Understanding weights.pth", "inspect weights.pth"),
        ("Understanding weights.pth", "build-lmdb labels.tsv out --fit weights.pth"),
    ],
)
def test_what_needs_torch_says_so_and_how_to_get_it(vocr, tmp_path, what, command):
    (tmp_path / "weights.pth").write_bytes(b"PK\x03\x04")
    (tmp_path / "config.yaml").write_text("train: {max_steps: 1}\n")
    done = vocr(*command.split())
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == f"Error: {what} needs torch.\nRemedy: Install it: {REMEDY}\n"


@pytest.mark.parametrize(
    "options", ["--precision fp32", "--precision bf16", "--device cuda", "--model weights.pth"]
)
@pytest.mark.parametrize("command", ["infer", "eval"])
def test_reading_by_torch_says_so_and_how_to_get_it(vocr, tmp_path, command, options):
    (tmp_path / "weights.pth").write_bytes(b"PK\x03\x04")
    done = vocr(command, str(EXAMPLE_LINES), *options.split())
    assert done.returncode == 1 and "Traceback" not in done.stderr and REMEDY in done.stderr


@pytest.mark.parametrize("command", ["infer", "eval"])
def test_lines_are_read(vocr, command):
    done = vocr(command, str(EXAMPLE_LINES))
    assert done.returncode == 0, done.stderr


def test_help_is_shown(vocr):
    done = vocr("--help")
    assert done.returncode == 0 and "build-lmdb" in done.stdout


def test_lines_are_rendered_and_stored(vocr, tmp_path):
    assert vocr("synth", "lines", "--count", "4", "--fonts", str(FONTS)).returncode == 0
    for options in ([], ["--fit", "vi-small"], ["--fit", "vgg_transformer"], ["--valid-share", "0.5"]):
        out = "-".join(["db", *options]).replace("--", "")
        done = vocr("build-lmdb", "lines/labels.tsv", out, "--check", *options)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / out / "data.mdb").is_file()


def test_readings_of_another_ocr_are_scored(vocr):
    labels = EXAMPLE_LINES / "labels.tsv"
    done = vocr("eval", str(EXAMPLE_LINES), "--readings", str(labels))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "thing",
    ["vi-small", "vgg_transformer", str(EXAMPLE_LINES / "labels.tsv"), str(EXAMPLE_LINES / "images/00.png")],
)
def test_what_a_file_is_can_be_told(vocr, thing):
    done = vocr("inspect", thing)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "call", ["Cfg.load_config_from_name('vgg_transformer')", "Predictor({'weights': 'weights.pth'})"]
)
def test_vietocr_s_classes_say_so_and_how_to_get_it(python, call):
    done = python("-c", f"from vocr_cli.vietocr import Cfg, Predictor; {call}")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-2:] == [
        "vocr_cli.core.errors.DependencyError: vocr_cli.vietocr needs torch.",
        f"Install it: {REMEDY}",
    ]
