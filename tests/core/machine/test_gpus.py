"""A card is asked about by its UUID, and what is not known is never 0.

Simulation: a module in the place of NVML's, a program in the place of nvidia-smi, torch.cuda patched.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

from vocr_cli.core.machine import gpus
from vocr_cli.core.machine.gpus import GpuMeter, gpu_uuid
from vocr_cli.core.machine.hardware import read_hardware

UUID = "b66566d6-aaaa-bbbb-cccc-0123456789ab"


class NVMLError(Exception):
    pass


def nvml(**cards: int) -> ModuleType:
    """A stand-in for pynvml that knows these cards by UUID: per cent of their use, or -1: not supported."""
    module = ModuleType("pynvml")
    asked: list[str] = []

    def handle(uuid: str) -> str:
        asked.append(uuid)
        if uuid not in cards:
            raise NVMLError("Not Found")
        return uuid

    def rates(handle: str) -> SimpleNamespace:
        if cards[handle] < 0:
            raise NVMLError("Not Supported")
        return SimpleNamespace(gpu=cards[handle], memory=0)

    module.nvmlInit = lambda: None  # type: ignore[attr-defined]
    module.nvmlDeviceGetHandleByUUID = handle  # type: ignore[attr-defined]
    module.nvmlDeviceGetUtilizationRates = rates  # type: ignore[attr-defined]
    module.nvmlDeviceGetMemoryInfo = lambda handle: SimpleNamespace(free=7 << 30)  # type: ignore[attr-defined]
    module.asked = asked  # type: ignore[attr-defined]
    return module


@pytest.fixture(autouse=True)
def _no_nvml_of_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    gpus._nvml.cache_clear()
    monkeypatch.setenv("PATH", "")  # no nvidia-smi
    yield
    gpus._nvml.cache_clear()


def use(monkeypatch: pytest.MonkeyPatch, module: ModuleType | None) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", module)


def nvidia_smi(folder: Path, monkeypatch: pytest.MonkeyPatch, prints: str, code: int = 0) -> Path:
    """A program that notes what it is asked and prints something."""
    program = folder / "nvidia-smi"
    note = f'open({str(folder / "asked")!r}, "a").write(" ".join(sys.argv[1:]) + "\\n")'
    program.write_text(
        f"#!{sys.executable}\nimport sys\n{note}\nprint({prints!r})\nsys.exit({code})\n", encoding="utf-8"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder))
    return folder / "asked"


def test_nvml_is_asked_by_the_uuid_of_torch_s_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under CUDA_VISIBLE_DEVICES=1, torch's card 0 is the machine's second one."""
    module = nvml(**{"GPU-other": 1, f"GPU-{UUID}": 63})
    use(monkeypatch, module)
    meter = GpuMeter(UUID)
    assert meter.has_nvml and meter.busy_fraction() == 0.63 and meter.free_bytes() == 7 << 30
    assert module.asked == [f"GPU-{UUID}"]


def test_a_part_of_a_card_is_found_and_its_use_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, nvml(**{f"MIG-{UUID}": -1}))
    meter = GpuMeter(UUID)
    assert meter.busy_fraction() is None and meter.free_bytes() == 7 << 30


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a script")
def test_without_nvml_the_program_is_asked_by_uuid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, None)
    asked = nvidia_smi(tmp_path, monkeypatch, "41")
    meter = GpuMeter(UUID)
    assert not meter.has_nvml and meter.busy_fraction() == 0.41 and meter.free_bytes() == 41 << 20
    assert asked.read_text().splitlines() == [
        f"--id=GPU-{UUID} --query-gpu={what} --format=csv,noheader,nounits"
        for what in ("utilization.gpu", "memory.free")
    ]


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a script")
@pytest.mark.parametrize(
    ("prints", "code"),
    [("[N/A]", 0), ("[Not Supported]", 0), ("No devices were found", 6), ("", 0), ("12", 9)],
)
def test_what_nvidia_smi_does_not_say_is_not_taken_for_0(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prints: str, code: int
) -> None:
    use(monkeypatch, None)
    nvidia_smi(tmp_path, monkeypatch, prints, code)
    meter = GpuMeter(UUID)
    assert meter.busy_fraction() is None and meter.free_bytes() is None


def test_where_nothing_tells_of_the_card_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, None)
    for meter in (GpuMeter(UUID), GpuMeter(None)):
        assert meter.busy_fraction() is None and meter.free_bytes() is None
    broken = ModuleType("pynvml")

    def fail() -> None:
        raise NVMLError("Driver Not Loaded")

    broken.nvmlInit = fail  # type: ignore[attr-defined]
    gpus._nvml.cache_clear()
    use(monkeypatch, broken)
    assert GpuMeter(UUID).busy_fraction() is None


def cards(monkeypatch: pytest.MonkeyPatch, *capabilities: tuple[int, int]) -> list[int]:
    """torch.cuda with such cards; the indices of those that a context was made on are returned."""
    contexts: list[int] = []

    def properties(index: int) -> SimpleNamespace:
        major, minor = capabilities[index]
        return SimpleNamespace(
            name=f"card {index}", total_memory=80 << 30, major=major, minor=minor, uuid=f"uuid-{index}"
        )

    def free(index: int | None = None) -> tuple[int, int]:
        contexts.append(0 if index is None else index)
        return 70 << 30, 80 << 30

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(capabilities))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", properties)
    monkeypatch.setattr(torch.cuda, "mem_get_info", free)
    return contexts


def test_no_context_is_made_on_cards_that_are_only_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    contexts = cards(monkeypatch, (9, 0), (9, 0), (7, 5))
    use(monkeypatch, nvml(**{"GPU-uuid-0": 0, "GPU-uuid-1": 0}))
    found = read_hardware().gpus
    assert [gpu.free_bytes for gpu in found] == [7 << 30, 7 << 30, None] and not contexts
    assert [gpu.bf16 for gpu in found] == [True, True, False]
    use(monkeypatch, None)
    gpus._nvml.cache_clear()
    assert [gpu.free_bytes for gpu in read_hardware().gpus] == [70 << 30, None, None] and contexts == [0]


def test_a_card_of_which_torch_knows_no_uuid_is_not_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    cards(monkeypatch, (9, 0))
    assert gpu_uuid(0) == "uuid-0"
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace())
    assert gpu_uuid(0) is None
