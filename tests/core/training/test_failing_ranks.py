"""A rank that fails tells why, and ends, whatever the others are doing."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
import torch.distributed as dist

from vocr_cli.core.errors import ConfigError
from vocr_cli.core.training.parallel import distributed, end_on_signal
from vocr_cli.core.training.parallel.distributed import join_process_group
from vocr_cli.core.training.parallel.launch import Launch


def test_a_rank_that_fails_on_a_gpu_waits_for_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """NCCL's farewell is one of all ranks, and the others are in a step. Simulation: torch.cuda patched."""
    told: list[str] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(distributed, "choose_device", lambda device: "cuda")
    monkeypatch.setattr(torch.cuda, "set_device", lambda index: None)
    monkeypatch.setattr(distributed, "rendezvous", lambda *_, **__: iter([(dist.HashStore(), 1, 2)]))
    monkeypatch.setattr(distributed, "fresh_rendezvous_store", lambda store, *_: store)
    monkeypatch.setattr(dist, "init_process_group", lambda *_, **__: None)
    monkeypatch.setattr(dist, "destroy_process_group", lambda: told.append("farewell"))
    monkeypatch.setattr(end_on_signal.atexit, "register", lambda end: told.append(end.__name__))
    with pytest.raises(ConfigError, match="disk"), join_process_group(Launch(1, 1, 2), "auto"):
        raise ConfigError("The disk is full.", "Make room.")
    assert told == ["_end_at_once"]


def test_what_a_failing_rank_said_is_written_before_it_ends() -> None:
    code = (
        "from vocr_cli.core.training.parallel.end_on_signal import end_without_farewell as end\n"
        "import sys; end(); print('out'); print('err', file=sys.stderr); raise SystemExit(0)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "out\n", "err\n")
