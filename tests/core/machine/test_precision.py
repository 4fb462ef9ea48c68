"""Which device and number format: old cards, Macs, ARM. Simulation: torch.cuda and torch.backends patched."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import pytest
import torch

import vocr_cli
from vocr_cli.core.errors import ConfigError
from vocr_cli.core.machine import precision as precisions
from vocr_cli.core.machine.hardware import has_bf16, read_hardware
from vocr_cli.core.machine.precision import choose_device, good_precisions, resolve_precision
from vocr_cli.core.training.initial_weights import choose_dtype


@pytest.mark.parametrize(
    ("capability", "bf16", "formats"),
    [
        ((6, 1), False, ("fp32",)),  # Pascal computes fp16 64 times as slow as fp32
        ((7, 0), False, ("fp32", "fp16")),
        ((7, 5), False, ("fp32", "fp16")),
        ((8, 0), True, ("fp32", "fp16", "bf16")),
    ],
)
def test_fp16_is_for_cards_that_have_units_for_it(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], bf16: bool, formats: tuple[str, ...]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: bf16)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
    assert good_precisions("cuda") == formats
    assert resolve_precision("auto", "cuda") == formats[-1]
    expected = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[formats[-1]]
    assert choose_dtype("auto", "cuda") == expected


def test_a_mac_s_gpu_is_taken_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precisions, "cuda_present", lambda: False)
    with pytest.raises(ConfigError, match="MPS"):
        choose_device("mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("mps") == "mps" and choose_device("auto") == "cpu"
    assert good_precisions("mps") == ("fp32",) and resolve_precision("fp16", "mps") == "fp16"
    with pytest.raises(ConfigError, match="int8 is for CPUs"):
        resolve_precision("int8", "mps")


def test_what_a_mac_s_gpu_lacks_is_computed_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch reads the variable when it is loaded, which is after this package. Simulation: sys.platform."""
    monkeypatch.setenv("PYTORCH_ENABLE_MPS_FALLBACK", "gone")
    monkeypatch.delenv("PYTORCH_ENABLE_MPS_FALLBACK")
    monkeypatch.setattr(sys, "platform", "darwin")
    importlib.reload(vocr_cli)
    assert os.environ["PYTORCH_ENABLE_MPS_FALLBACK"] == "1"


def test_bf16_of_arm_is_found(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    features = "fp asimd evtstrm aes asimdhp cpuid asimddp sve i8mm svebf16 bf16"
    (tmp_path / "proc" / "cpuinfo").write_text(
        f"processor\t: 0\nBogoMIPS\t: 2100.00\nFeatures\t: {features}\n\n"
    )
    found = read_hardware(tmp_path, torch_facts=False, root=tmp_path)
    assert found.cpu_flags == {"asimddp", "i8mm", "bf16"} and found.cpu_bf16
    assert not has_bf16({"asimddp", "i8mm"})
