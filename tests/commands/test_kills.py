"""SIGKILL at any moment: the run is resumed and ends as if nothing had happened."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from conftest import line_image
from safetensors.torch import load_file

from vocr_cli.core.data.lmdb.store import LineWriter, StoredLine
from vocr_cli.core.training.checkpoint import load_checkpoint

KILLS, STEPS = 30, 300


def write_config(folder: Path) -> Path:
    with LineWriter(folder / "lines.lmdb") as writer:
        for number in range(14):
            image = folder / "line.png"
            width = 50 + 15 * (number % 4)
            line_image(number, width).save(image)
            writer.add(StoredLine(image.read_bytes(), "abcde"[: 1 + number % 5], f"{number}.png"), width, 30)
    tree = {
        "model": {
            "channels": [8, 8, 16], "blocks": [0, 0, 0], "hidden": 32, "column_blocks": 1, "dropout": 0.1,
        },
        "data": {
            "train": [{"lmdb": str(folder / "lines.lmdb")}],
            "valid": [str(folder / "lines.lmdb")],
            "workers": 1,
        },
        "batch": {"max_lines": 3},
        "train": {
            "max_steps": STEPS, "log_every_steps": 1, "checkpoint_every_steps": 2, "keep_checkpoints": 2,
        },
        "validate": {"every_steps": 20},
        "precision": {"amp": "off"},
    }  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    return folder / "config.yaml"


def start_training(config: Path, out: Path) -> subprocess.Popen[bytes]:
    resume = ["--resume"] if (out / "checkpoints" / "last.pt").exists() else []
    command = [sys.executable, "-m", "vocr_cli", "train", str(config), "--out", str(out), "--device", "cpu"]
    with open(config.with_name("errors.txt"), "wb") as errors:
        return subprocess.Popen([*command, *resume], stdout=subprocess.DEVNULL, stderr=errors)


def finish_training(config: Path, out: Path) -> None:
    assert start_training(config, out).wait() == 0, config.with_name("errors.txt").read_text(encoding="utf-8")


def event_names(out: Path) -> list[str]:
    """Names of the events of all whole lines."""
    record = out / "events.jsonl"
    whole = record.read_bytes().splitlines(keepends=True) if record.exists() else []
    return [json.loads(line)["event"] for line in whole if line.endswith(b"\n")]


def kill_some_time(run: subprocess.Popen[bytes], out: Path, chance: random.Random) -> None:
    """While it starts, or some events later."""
    if chance.random() < 0.2:
        time.sleep(chance.uniform(0, 2))
    else:
        starts, later = event_names(out).count("Started"), chance.randrange(5)
        while run.poll() is None:
            names = event_names(out)
            if names.count("Started") > starts and names[::-1].index("Started") >= later:
                break
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.03))
    assert run.poll() is None, "it ended before it was killed: more steps are needed"
    run.kill()
    run.wait()


@pytest.mark.slow
def test_thirty_kills_change_nothing(tmp_path: Path) -> None:
    config, chance = write_config(tmp_path), random.Random(4)
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    finish_training(config, straight)
    for _ in range(KILLS):
        kill_some_time(start_training(config, killed), killed, chance)
    finish_training(config, killed)

    ends = [load_checkpoint(out / "checkpoints" / "last.pt") for out in (straight, killed)]
    for part in ("module", "ema"):
        assert ends[0][part].keys() == ends[1][part].keys()
        assert all(torch.equal(ends[1][part][key], value) for key, value in ends[0][part].items())
    assert ends[0]["source_positions"] == ends[1]["source_positions"]
    best = [load_file(out / "checkpoints" / "best.safetensors") for out in (straight, killed)]
    assert all(torch.equal(best[1][key], value) for key, value in best[0].items())
    events = [json.loads(line) for line in (killed / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [event["step"] for event in events if event["event"] == "StepDone"] == list(range(1, STEPS + 1))
