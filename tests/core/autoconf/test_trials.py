"""Trials of steps on a GPU, and what they leave behind.

Simulation: torch.cuda patched, the steps themselves taken on the CPU; injected errors; a database folder that
refuses to go while it is open, as on Windows.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch_errors import AcceleratorError

from vocr_cli.core.autoconf import time_steps
from vocr_cli.core.autoconf.candidates import StepShape
from vocr_cli.core.autoconf.facts import StepSettings
from vocr_cli.core.autoconf.memory_model import LineShapes, peak_under, rule_of_thumb, smallest_budget
from vocr_cli.core.autoconf.time_loader import measure_run
from vocr_cli.core.autoconf.time_steps import probe_step
from vocr_cli.core.config.tree import Config, parse_config
from vocr_cli.core.data.lmdb import environments
from vocr_cli.core.machine.memory import CUDA_CONTEXT_BYTES, DevicePeak

GB = 1_000_000_000
SETTINGS = StepSettings(10_000, "off")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    tree = {
        "model": {"channels": [8, 8, 16], "blocks": [0, 0, 0], "hidden": 32, "column_blocks": 1},
        "batch": {"pixels": 10_000},
        "precision": {"amp": "off"},
        "train": {"max_steps": 4},
    }
    return parse_config(tree, "test")


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A card of 80 GB of which torch has reserved 3 and given 2 to tensors; what it is told is returned."""
    told: list[Any] = []
    facts = SimpleNamespace(total_memory=80 * GB)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: facts)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: told.append("emptied"))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: told.append("reset"))
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda: 3 * GB)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 2 * GB)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", told.append)
    return told


def test_what_torch_reserves_counts_and_a_limit_is_kept_to_while_trying(card: list[Any]) -> None:
    with DevicePeak("cuda", limit_bytes=8 * GB) as peak:
        assert card == ["emptied", "reset", pytest.approx((8 * GB - CUDA_CONTEXT_BYTES) / (80 * GB))]
    assert peak.peak_bytes == 3 * GB + CUDA_CONTEXT_BYTES and card[-1] == 1.0
    card.clear()
    with pytest.raises(RuntimeError), DevicePeak("cuda", limit_bytes=8 * GB):
        raise RuntimeError
    assert card[-1] == 1.0  # the limit does not outlast a failed trial
    card.clear()
    with DevicePeak("cuda"):
        pass
    assert card == ["emptied", "reset"]


def test_what_an_earlier_trial_left_in_cycles_is_collected_first(card: list[Any]) -> None:
    class Held:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            card.append("freed")

    Held()
    with DevicePeak("cuda"):
        assert card.index("freed") < card.index("emptied")


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory."), AcceleratorError("CUDA error: out of memory"),
     RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")],
)  # fmt: skip
def test_a_trial_without_memory_fails_and_other_faults_are_raised(
    config: Config, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail_with(fault: Exception) -> Callable[..., float]:
        def fail(*_: object) -> float:
            raise fault

        return fail

    monkeypatch.setattr(time_steps._Steps, "round", fail_with(error))
    assert probe_step(config, "cpu", SETTINGS, [StepShape(64, 0)]).failure == "out of memory"
    monkeypatch.setattr(time_steps._Steps, "round", fail_with(RuntimeError("shapes do not match")))
    with pytest.raises(RuntimeError, match="shapes"):
        probe_step(config, "cpu", SETTINGS, [StepShape(64, 0)])


def test_trials_begin_small_where_little_may_be_taken(config: Config) -> None:
    import numpy as np

    lines = LineShapes(np.full(100, 400), np.zeros(100, int), 40, 32)
    rule = rule_of_thumb(config, half=True)
    assert smallest_budget(rule, lines, 60 * GB, 1_000_000) == 1_000_000
    small = smallest_budget(rule, lines, GB // 2, 1_000_000)
    assert small < 1_000_000 and peak_under(rule, lines, 4 * small) <= GB // 2


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Folders cannot go while a database in them is open; those that went are returned."""
    gone: list[Path] = []
    real = shutil.rmtree

    def remove(path: Any, *args: Any, **options: Any) -> None:
        inside = [
            name for name, *_ in environments._environments if Path(name).is_relative_to(Path(path).resolve())
        ]
        assert not inside, f"{inside} is open: Windows would refuse to remove it"
        gone.extend([Path(path)] if Path(path).exists() else [])
        real(path, *args, **options)

    monkeypatch.setattr(shutil, "rmtree", remove)
    return gone


def test_databases_of_trials_are_closed_before_their_folders_go(config: Config, windows: list[Path]) -> None:
    from vocr_cli.core.autoconf.read_data import one_line
    from vocr_cli.core.config.tree import DataConfig, SourceConfig

    assert not probe_step(config, "cpu", SETTINGS, [StepShape(64, 0)], seconds=0, deadline=0).failure
    assert len(windows) == 1
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        source = SourceConfig(lmdb=one_line(config, Path(folder) / "line"))
        run = config.model_copy(update={"data": DataConfig(train=(source,), workers=0)})
        assert measure_run(run, "cpu", 0.0).lines_per_second > 0
    assert len(windows) == 3
