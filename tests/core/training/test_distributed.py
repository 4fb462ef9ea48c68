"""Two processes on one model: the single process's gradients, every line once, one writer, one decision."""

from __future__ import annotations

import json
import math
import os
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from conftest import assert_same, write_annotations
from torch import Tensor, nn

from vocr_cli.core.config.tree import Config, OptimConfig, dump_config, parse_config
from vocr_cli.core.data.loader.batch import Batch
from vocr_cli.core.data.loader.order import SourcePosition
from vocr_cli.core.errors import ConfigError
from vocr_cli.core.text import Charset
from vocr_cli.core.training.checkpoint import load_checkpoint
from vocr_cli.core.training.loop import train
from vocr_cli.core.training.parallel.distributed import (
    SINGLE_PROCESS,
    ProcessGroup,
    fresh_rendezvous_store,
    resumed_position,
)
from vocr_cli.core.training.parallel.launch import Launch, read_launch
from vocr_cli.core.training.record.event_log import recorded
from vocr_cli.core.training.record.events import Skipped, Validated
from vocr_cli.core.training.run import build_run
from vocr_cli.core.training.step.objective import CtcObjective
from vocr_cli.core.training.step.step import StepResult, TrainStep
from vocr_cli.core.training.step.train_state import TrainState, make_train_state

CPU = torch.device("cpu")
LINES = 17


class Columns(nn.Module):
    """(B, 1, H, W) to (B, W / 4, C) logits, by way of BatchNorm."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 6, (8, 4), stride=(8, 4))
        self.norm = nn.BatchNorm2d(6)
        self.head = nn.Linear(6, classes)

    def forward(self, images: Tensor, columns: Tensor) -> Tensor:
        logits: Tensor = self.head(self.norm(self.conv(images)).mean(2).transpose(1, 2))
        return logits


def batch_of(lines: int, seed: int, spoiled: bool = False) -> Batch:
    made = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (lines, 8, 40, 1), generator=made).float() / 255
    images = images * math.nan if spoiled else images
    lengths = torch.randint(1, 5, (lines,), generator=made)
    targets = torch.randint(1, 9, (int(lengths.sum()),), generator=made)
    names = [f"{seed}: {number}" for number in range(lines)]
    return Batch(images, torch.full((lines,), 40), targets, lengths, ["?"] * lines, names)


def step_of(group: ProcessGroup) -> tuple[TrainStep, TrainState]:
    torch.manual_seed(3)
    charset = Charset("abcdefgh")
    state = make_train_state(Columns(charset.classes), OptimConfig(clip="off", ema_decay=0.5))
    objective = CtcObjective(Config(), charset, CPU, torch.float32)
    return TrainStep(state, objective, lambda batch: batch.images.permute(0, 3, 1, 2), group), state


def gradients(state: TrainState) -> list[Tensor]:
    return [value.grad.clone() for value in state.module.parameters() if value.grad is not None]


def config_of(annotations: Path, **sections: Any) -> Config:
    tree = {
        "model": {
            "channels": [8, 8, 16], "blocks": [0, 0, 0], "hidden": 32, "column_blocks": 1, "dropout": 0.1,
        },
        "data": {"train": [{"annotations": str(annotations)}], "valid": [str(annotations)], "workers": 0},
        "batch": {"pixels": 20_000, "max_lines": 3},
        "optim": {"ema_decay": 0.9},
        "validate": {"every_steps": 4, "patience": 99},
        "precision": {"amp": "off"},
        **sections,
        "train": {"max_steps": 8, "log_every_steps": 1, **sections.get("train", {})},
    }  # fmt: skip
    return parse_config(tree, "test")


@pytest.fixture(scope="module")
def annotations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    labels = ["abcde"[: 1 + number % 5] for number in range(LINES)]
    return write_annotations(tmp_path_factory.mktemp("lines"), labels, range(50, 110, 15))


# --- what each rank does ---------------------------------------------------------------------------------


def take_steps(group: ProcessGroup, _: Path) -> dict[str, Any]:
    """Steps on unlike batches, one of them spoiled on rank 1 only."""
    sizes, rank = [(5,), (1, 3)][group.rank], group.rank
    step, state = step_of(group)
    first = step([batch_of(lines, 10 * rank + index) for index, lines in enumerate(sizes)], 1e-3)
    found = {"loss": first.loss, "norm": first.norm, "gradients": gradients(state)}
    before = {key: value.clone() for key, value in state.module.state_dict().items()}
    bad = step([batch_of(2, 40 + rank, spoiled=rank == 1)], 1e-3)
    after = state.module.state_dict()
    found["kept"] = all(torch.equal(after[key], value) for key, value in before.items())
    found["bad"] = (bad.reason, bad.lines)
    for seed in range(3):
        step([batch_of(2 + rank, 50 + 10 * seed + rank)], 1e-2)
    found["state"] = state.state_dict()
    return found


def take_frozen_step(group: ProcessGroup, _: Path) -> list[Tensor]:
    """A step on batches whose BatchNorm is frozen, so that nothing tells them from one large batch."""
    step, state = step_of(group)
    state.module.get_submodule("norm").requires_grad_(False)
    step([batch_of((2, 5)[group.rank], group.rank)], 1e-3)
    return gradients(state)


def train_all(group: ProcessGroup, folder: Path) -> dict[str, Any]:
    """A run of 8 steps as the command makes it."""
    annotations, out = Path((folder / "annotations").read_text()), folder / "run"
    run = build_run(config_of(annotations), out, device="cpu", process_group=group)
    names: list[str] = []

    def noted_step(batches: Sequence[Batch], lr: float) -> StepResult:
        names.extend(name for batch in batches for name in batch.names)
        return run.train_step(batches, lr)

    events = train(replace(run, train_step=noted_step))
    told = list(recorded(events, out / "events.jsonl") if group.is_primary else events)
    scores = [(event.lines, event.cer, event.loss) for event in told if isinstance(event, Validated)]
    return {
        "names": names, "scores": scores, "state": run.train_state.state_dict(), "loop": run.state.counters(),
        "kinds": [type(event).__name__ for event in told], "draw": torch.rand(3),
    }  # fmt: skip


def stop_one(group: ProcessGroup, folder: Path) -> dict[str, Any]:
    """Rank 1 is told to stop after three steps; then the run goes on."""
    annotations = Path((folder / "annotations").read_text())
    run = build_run(config_of(annotations), folder / "run", device="cpu", process_group=group)
    told = list(train(run, lambda: group.rank == 1 and run.state.step >= 3))
    again = build_run(config_of(annotations), folder / "run", device="cpu", process_group=group)
    again.checkpoints.restore(again)
    at = again.state.step
    list(train(again))
    return {"ended": told[-1], "at": at, "state": again.train_state.state_dict()}


def _rank(rank: int, work: Callable[[ProcessGroup, Path], Any], folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    try:
        torch.save(work(ProcessGroup(rank, 2), folder), folder / f"{rank}.pt")
    finally:
        dist.destroy_process_group()


def both(work: Callable[[ProcessGroup, Path], Any], folder: Path) -> list[Any]:
    """What each of two ranks found."""
    torch.multiprocessing.start_processes(_rank, (work, folder), 2, start_method="fork")
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(2)]


# --- tests -----------------------------------------------------------------------------------------------


def test_two_ranks_step_as_one_process_does(tmp_path: Path) -> None:
    """BatchNorm included: as with accumulation, it sees each batch by itself."""
    one, other = both(take_steps, tmp_path)
    step, alone = step_of(SINGLE_PROCESS)
    result = step([batch_of(5, 0), batch_of(1, 10), batch_of(3, 11)], 1e-3)
    assert one["loss"] == other["loss"] == pytest.approx(result.loss, rel=1e-6)
    assert one["norm"] == other["norm"] == pytest.approx(result.norm, rel=1e-5)
    largest = max(float(value.abs().max()) for value in gradients(alone))
    for mine, whole in zip(one["gradients"], gradients(alone), strict=True):
        torch.testing.assert_close(mine, whole, rtol=0, atol=1e-6 * max(1.0, largest))
    assert max(float(value.abs().max()) for value in gradients(alone)) > 1e-2
    for found in (one, other):  # how often BatchNorm was called, which nothing reads, is each rank's own
        for weights in (found["state"]["module"], found["state"]["ema"]):
            del weights["norm.num_batches_tracked"]
    assert_same(one, other)  # also BatchNorm's statistics, optimizer and average, after more steps
    assert one["kept"]
    assert one["bad"] == ("loss not finite", ("41: 0", "41: 1"))  # rank 1's lines, on both


def test_gradients_of_two_ranks_are_those_of_one_large_batch(tmp_path: Path) -> None:
    one, other = both(take_frozen_step, tmp_path)
    parts = [batch_of(2, 0), batch_of(5, 1)]
    whole = Batch(
        *(
            torch.cat([getattr(part, name) for part in parts])
            for name in ("images", "widths", "targets", "lengths")
        ),
        ["?"] * 7,
        [name for part in parts for name in part.names],
    )
    step, alone = step_of(SINGLE_PROCESS)
    alone.module.get_submodule("norm").requires_grad_(False)
    step([whole], 1e-3)
    for mine, theirs, all_lines in zip(one, other, gradients(alone), strict=True):
        assert torch.equal(mine, theirs)
        torch.testing.assert_close(mine, all_lines, rtol=0, atol=1e-6)
    assert max(float(value.abs().max()) for value in gradients(alone)) > 1e-2


def test_a_run_on_two_ranks(tmp_path: Path, annotations: Path) -> None:
    (tmp_path / "annotations").write_text(str(annotations))
    one, other = both(train_all, tmp_path)
    assert not torch.equal(one.pop("draw"), other.pop("draw"))  # ranks do not drop the same units
    for key in ("scores", "loop", "kinds", "state"):
        assert_same(one[key], other[key], key)
    # Every line once an epoch: ranks take turns in the order of batches.
    counts = Counter(one["names"] + other["names"])
    assert len(counts) == LINES and max(counts.values()) - min(counts.values()) <= 1
    assert one["loop"]["lines"] == counts.total() > LINES
    # Validation counts each line once, whoever read it, and scores as one process does.
    assert [score[0] for score in one["scores"]] == [LINES, LINES]
    state = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")
    assert_same(dict(state["module"]), dict(one["state"]["module"]))
    alone = build_run(config_of(annotations), tmp_path / "run", device="cpu")
    alone.checkpoints.restore(alone)
    counters = {**alone.state.counters(), "last_full_validation_step": -1}
    alone.state.load(counters, alone.state.source_positions)
    last = [event for event in train(alone) if isinstance(event, Validated)][-1]
    assert (last.lines, last.cer) == one["scores"][-1][:2]
    assert last.loss == pytest.approx(one["scores"][-1][2], rel=1e-5)
    # One record, of one run.
    events = [json.loads(line)["event"] for line in (tmp_path / "run" / "events.jsonl").open()]
    assert events == one["kinds"] and events.count("StepDone") == 8


def test_one_rank_told_to_stop_stops_all_and_the_run_goes_on_as_if_it_had_not(
    tmp_path: Path, annotations: Path
) -> None:
    for name in ("cut", "straight"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "annotations").write_text(str(annotations))
    cut = both(stop_one, tmp_path / "cut")
    assert [found["at"] for found in cut] == [3, 3]
    assert all(found["ended"].reason == "interrupted" and found["ended"].step == 3 for found in cut)
    straight = both(train_all, tmp_path / "straight")
    for found, whole in zip(cut, straight, strict=True):
        assert_same(found["state"], whole["state"])


def test_a_run_of_two_ranks_goes_on_with_one(tmp_path: Path, annotations: Path) -> None:
    (tmp_path / "annotations").write_text(str(annotations))
    both(train_all, tmp_path)
    config = config_of(annotations, train={"max_steps": 10})
    run = build_run(config, tmp_path / "run", device="cpu")
    run.checkpoints.restore(run)
    told = list(train(run))
    assert not [event for event in told if isinstance(event, Skipped)]
    assert run.state.step == 10 and run.state.source_positions[0].taken == 10


def test_rendered_lines_do_not_come_again_with_another_number_of_ranks() -> None:
    positions = [SourcePosition(5, 7, 3, (1, 2)), SourcePosition(5, 6, 0, (9,))]
    assert resumed_position(positions, True, ProcessGroup(1, 2)) == positions[1]
    for world_size in (1, 3, 4):
        position = resumed_position(positions, True, ProcessGroup(0, world_size))
        assert position.epoch * world_size >= 2 * (7 + 1) and position.taken == 5 and not position.waiting
    stored = SourcePosition(5, 1, 8)
    assert resumed_position([stored] * 2, False, ProcessGroup(2, 3)) == stored


def test_those_who_start_again_find_nothing_of_the_dead() -> None:
    store = dist.HashStore()
    soon = timedelta(seconds=20)
    for attempt in range(3):
        if attempt == 1:  # rank 1 of another attempt was killed before it was answered
            store.set("greeting/1", "nobody")

        def meet(rank: int, wait: float = 0.0, tried: int = attempt) -> tuple[bool, str]:
            time.sleep(wait)
            met = fresh_rendezvous_store(store, rank, 3, soon)
            found = met.check([f"address/{other}" for other in range(3)])
            met.add("looked", 1)
            while met.add("looked", 0) < 3:  # before any of them leaves something there
                time.sleep(0.01)
            met.set(f"address/{rank}", str(tried))
            return found, met.get(f"address/{(rank + 1) % 3}").decode()

        late = [0.1 * ((rank + attempt) % 3) for rank in range(3)]
        with ThreadPoolExecutor(3) as pool:
            assert list(pool.map(meet, range(3), late)) == [(False, str(attempt))] * 3
    with pytest.raises(dist.DistStoreError, match="1 of 3 processes came"):
        fresh_rendezvous_store(store, 0, 3, timedelta(seconds=0.1))


def test_half_of_torchruns_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    assert read_launch() == Launch()
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(ConfigError, match="LOCAL_RANK, MASTER_ADDR, MASTER_PORT"):
        read_launch()


DEADLY = """
import atexit, os, signal, time
from pathlib import Path

killed, rank = Path({killed!r}), os.environ.get("RANK")
again = killed.exists()
if rank == "0" and again:
    time.sleep(4)
if rank == "1" and not again:
    from vocr_cli.core.training import loop_state

    class Deadly(loop_state.LoopState):
        def __setattr__(self, name, value):
            super().__setattr__(name, value)
            if name == "step" and value == 5:
                killed.touch()
                os.kill(os.getpid(), signal.SIGKILL)

    loop_state.LoopState = Deadly
if rank and again:
    threads = lambda: [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    atexit.register(lambda: os.write(2, f"at the end: {{threads()}}\\n".encode()))
"""


@pytest.mark.slow
@pytest.mark.parametrize("machines", [1, 2])
def test_torchrun_starts_again_after_a_rank_was_killed(
    tmp_path: Path, annotations: Path, machines: int
) -> None:
    """Rank 1 kills itself once, after the checkpoint of step 3; torchrun starts again from there.

    Rank 0 then comes late, so that rank 1 finds what the dead ones left in torchrun's store. Of two machines
    (here, two torchruns), only the one that lost its process counts a restart.
    """
    tree = config_of(annotations, train={"max_steps": 6, "checkpoint_every_steps": 3})
    (tmp_path / "config.yaml").write_text(dump_config(tree), encoding="utf-8")
    killed = tmp_path / "killed"
    (tmp_path / "sitecustomize.py").write_text(DEADLY.format(killed=str(killed)), encoding="utf-8")
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    run = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(2 // machines)]
    run += ["--nnodes", str(machines), "--rdzv-backend", "c10d", "--rdzv-endpoint", f"localhost:{port}"]
    run += ["--max-restarts", "1", "-m", "vocr_cli", "train", str(tmp_path / "config.yaml")]
    run += ["--out", str(tmp_path / "run"), "--device", "cpu"]
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[3])])
    environment = {**os.environ, "PYTHONPATH": path}
    runs = [
        subprocess.Popen(run, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(machines)
    ]
    try:
        told = "".join(one.communicate(timeout=120)[1] for one in runs)
    finally:
        for one in runs:
            one.terminate()
    assert [one.returncode for one in runs] == [0] * machines, told
    assert killed.exists() and "holds a run already" not in told
    ends = re.findall(
        "at the end: (.+)", told
    )  # no thread of the group is left, which could abort the process
    assert len(ends) == 2 and not any("gloo" in end for end in ends), told
    assert told.count("processes train together") == 2, told  # rank 0's, before and after
    events = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").open()]
    assert [event["step"] for event in events if event["event"] == "StepDone"] == [1, 2, 3, 4, 5, 6]
    assert [event["step"] for event in events if event["event"] == "Started"] == [0, 3]
