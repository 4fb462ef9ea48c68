"""How busy a card is while a block runs. Simulation: a module in NVML's place, a script in nvidia-smi's."""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from vocr_cli.core.bench import gpu
from vocr_cli.core.bench.gpu import GpuUtilization
from vocr_cli.core.machine import gpus


@pytest.fixture(autouse=True)
def _one_card(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    gpus._nvml.cache_clear()
    monkeypatch.setattr(gpu, "gpu_uuid", lambda: "uuid")
    monkeypatch.setattr(gpu, "_STALE_S", 0.0)
    monkeypatch.setattr(gpu, "_EVERY_S", 0.01)
    monkeypatch.setenv("PATH", "")
    yield
    gpus._nvml.cache_clear()


def test_nvml_is_asked_while_the_block_runs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = [80]
    module = ModuleType("pynvml")
    module.nvmlInit = lambda: None  # type: ignore[attr-defined]
    module.nvmlDeviceGetHandleByUUID = lambda uuid: uuid  # type: ignore[attr-defined]
    module.nvmlDeviceGetUtilizationRates = lambda handle: SimpleNamespace(gpu=busy[0])  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pynvml", module)
    with GpuUtilization() as utilization:
        time.sleep(0.2)
    assert utilization.fraction == 0.8
    busy[0] = 0  # a pause behind it counts nothing
    assert utilization.fraction == 0.8


def script(folder: Path, monkeypatch: pytest.MonkeyPatch, row: str) -> None:
    program = folder / "nvidia-smi"
    loop = f"while True:\n    print({row!r}, flush=True)\n    time.sleep(0.01)\n"
    program.write_text(f"#!{sys.executable}\nimport time\n{loop}")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a script")
@pytest.mark.parametrize(("row", "fraction"), [("55", 0.55), ("[N/A]", None)])
def test_nvidia_smi_stands_in_and_what_it_does_not_tell_is_not_0(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: str, fraction: float | None
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    script(tmp_path, monkeypatch, row)
    with GpuUtilization() as utilization:
        time.sleep(1.0)
    assert utilization.fraction == fraction


def test_without_either_the_block_runs_and_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with GpuUtilization() as utilization:
        done = True
    assert done and utilization.fraction is None
