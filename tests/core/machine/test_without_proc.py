"""macOS and Windows have no /proc: psutil tells of processes and memory there, or nothing is known.

Simulation: the folder /proc is taken to be one that is missing, and a module stands in the place of psutil.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

from vocr_cli.core.autoconf.facts import ProbeResult, StepSettings
from vocr_cli.core.autoconf.time_steps import probe_step
from vocr_cli.core.machine import memory
from vocr_cli.core.machine.hardware import free_processors, read_hardware
from vocr_cli.core.machine.memory import PeakGrowth, process_cpu_seconds, resident_bytes
from vocr_cli.core.training.record import usage
from vocr_cli.core.training.record.usage import UsageMeter, cpu_seconds


class NoSuchProcess(Exception):
    pass


def psutil() -> ModuleType:
    module = ModuleType("psutil")

    def process(pid: int | None = None) -> SimpleNamespace:
        if pid == 404:
            raise NoSuchProcess
        return SimpleNamespace(
            memory_info=lambda: SimpleNamespace(rss=123 << 20),
            cpu_times=lambda: SimpleNamespace(user=2.0, system=0.5),
        )

    module.Process = process  # type: ignore[attr-defined]
    module.NoSuchProcess = NoSuchProcess  # type: ignore[attr-defined]
    module.cpu_percent = lambda seconds: 75.0  # type: ignore[attr-defined]
    module.cpu_count = lambda logical: 3  # type: ignore[attr-defined]
    module.virtual_memory = lambda: SimpleNamespace(total=16 << 30, available=9 << 30)  # type: ignore[attr-defined]
    return module


@pytest.fixture
def no_proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(memory, "PROC", tmp_path / "missing")
    monkeypatch.setitem(sys.modules, "psutil", psutil())
    return monkeypatch


def test_psutil_is_asked_where_there_is_no_proc(no_proc: pytest.MonkeyPatch) -> None:
    no_proc.setattr("os.cpu_count", lambda: 8)
    no_proc.setattr("vocr_cli.core.machine.hardware._processor_numbers", lambda: list(range(8)))
    assert resident_bytes() == 123 << 20
    assert process_cpu_seconds(1) == 2.5 and process_cpu_seconds(404) == 0.0
    found = read_hardware(torch_facts=False)
    assert (found.memory_bytes, found.available_bytes, found.cores) == (16 << 30, 9 << 30, 3)
    assert free_processors(0) == 2.0


def test_psutil_is_not_loaded_on_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    if not memory.PROC.is_dir():
        pytest.skip("this system has no /proc")
    monkeypatch.setitem(sys.modules, "psutil", None)  # importing it fails
    assert resident_bytes() and cpu_seconds()


def test_where_nothing_tells_nothing_is_taken_for_measured(no_proc: pytest.MonkeyPatch) -> None:
    no_proc.setitem(sys.modules, "psutil", None)
    no_proc.setattr(usage.multiprocessing, "active_children", lambda: [SimpleNamespace(pid=1)])
    assert resident_bytes() is None and cpu_seconds() is None
    with PeakGrowth() as growth:
        pass
    assert growth.peak_bytes is None
    read = UsageMeter(torch.device("cpu")).read()
    assert read.cpu_share is None and read.memory_mb is None


def test_autoconf_estimates_memory_that_it_cannot_measure(no_proc: pytest.MonkeyPatch) -> None:
    from vocr_cli.core.autoconf.candidates import StepShape
    from vocr_cli.core.config.tree import parse_config

    no_proc.setitem(sys.modules, "psutil", None)
    tree = {
        "model": {"channels": [8, 8, 16], "blocks": [0, 0, 0], "hidden": 32, "column_blocks": 1},
        "batch": {"pixels": 10_000},
        "precision": {"amp": "off"},
    }
    probe = probe_step(
        parse_config(tree, "test"),
        "cpu",
        StepSettings(10_000, "off"),
        [StepShape(64, 0)],
        seconds=0,
        deadline=0,
    )
    assert isinstance(probe, ProbeResult) and not probe.failure and probe.step_ms > 0
    assert probe.peak_bytes > 200e6  # the rule of thumb for such models, not 0
