"""Workers of a process that was killed are gone soon after it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from child_processes import are_gone, children
from conftest import write_annotations, write_config

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="processes are looked up in /proc")

POOL = """
import sys, time
from vocr_cli.core.data.build.worker_pool import ordered_map

if __name__ == "__main__":
    for item, result in ordered_map(time.sleep, [0.05] * 100_000, workers=2):
        pass
"""


def killed_with_workers(run: subprocess.Popen[bytes], count: int) -> list[int]:
    """Kills a process once it has so many workers; gives these."""
    deadline = time.monotonic() + 120
    while len(workers := children(run.pid)) < count:
        assert run.poll() is None and time.monotonic() < deadline, "no workers"
        time.sleep(0.05)
    time.sleep(0.5)  # they begin their work
    run.send_signal(signal.SIGKILL)
    run.communicate()
    return workers


def test_the_workers_of_a_killed_build_end(tmp_path: Path) -> None:
    script = tmp_path / "pool.py"
    script.write_text(POOL, encoding="utf-8")
    run = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert are_gone(killed_with_workers(run, 2))


@pytest.mark.slow
@pytest.mark.parametrize("command", ["train", "synth"])
def test_the_workers_of_a_killed_command_end(tmp_path: Path, command: str) -> None:
    labels = write_annotations(tmp_path, ["abc"] * 6)
    tree = {
        "model": {"channels": [8, 8, 16], "blocks": [0, 0, 0], "hidden": 32, "column_blocks": 1},
        "data": {"train": [{"annotations": str(labels)}], "workers": 2},
        "batch": {"max_lines": 2},
        "precision": {"amp": "off"},
    }
    arguments = {
        "train": [str(write_config(tmp_path, tree)), "--out", str(tmp_path / "run"), "--device", "cpu"],
        "synth": [str(tmp_path / "lines"), "--count", "100000", "--workers", "2"],
    }
    run = subprocess.Popen(
        [sys.executable, "-m", "vocr_cli", command, *arguments[command]],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert are_gone(killed_with_workers(run, 2))
