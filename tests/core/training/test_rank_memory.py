"""Ranks that train together agree on want of memory, and end when they are told to.

Simulation: errors with the texts of CUDA and NCCL, raised in one of two Gloo processes; a rank that hangs is
stopped by SIGSTOP.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from conftest import write_annotations
from torch import Tensor, nn

from vocr_cli.core.config.tree import Config, parse_config
from vocr_cli.core.data.loader.batch import Batch
from vocr_cli.core.training.loop import train
from vocr_cli.core.training.parallel.distributed import ProcessGroup
from vocr_cli.core.training.record.events import MemoryRecovered, OutOfMemory, StepDone
from vocr_cli.core.training.run import Run, build_run
from vocr_cli.core.training.step.micro_batches import LineTooLarge
from vocr_cli.core.training.step.step import UpdateOutOfMemory

CUDA = "CUDA error: out of memory"
NCCL = (
    "NCCL error in: NCCLUtils.cpp:94, unhandled cuda error, NCCL version 2.27.5\nncclUnhandledCudaError: "
    "Call to CUDA function failed.\nLast error:\nCuda failure 2 'out of memory'"
)


def config_of(annotations: Path, steps: int = 4) -> Config:
    tree = {
        "model": {
            "channels": [8, 8, 16], "blocks": [0, 0, 0], "hidden": 32, "column_blocks": 1, "dropout": 0,
        },
        "data": {"train": [{"annotations": str(annotations)}], "workers": 0},
        "batch": {"max_lines": 4},
        "augment": {"strength": 0},
        "precision": {"amp": "off"},
        "train": {"max_steps": steps, "log_every_steps": 1},
    }  # fmt: skip
    return parse_config(tree, "test")


@pytest.fixture(scope="module")
def annotations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    labels = ["abcde"[: 1 + number % 5] for number in range(16)]
    return write_annotations(tmp_path_factory.mktemp("lines"), labels)


def fail_above(run: Run, lines: int, message: str = CUDA) -> None:
    """From here on, losses of more lines than that are out of memory."""
    loss = run.objective.loss

    def failing(module: nn.Module, images: Tensor, batch: Batch) -> Any:
        if len(batch.texts) > lines:
            raise RuntimeError(message)
        return loss(module, images, batch)

    run.objective.loss = failing  # type: ignore[method-assign]


def run_of(group: ProcessGroup, folder: Path) -> Run:
    config = config_of(Path((folder / "annotations").read_text()))
    return build_run(config, folder / "run", device="cpu", process_group=group)


def one_is_short(group: ProcessGroup, folder: Path) -> dict[str, Any]:
    """Rank 1 has memory for two lines only."""
    run = build_run(
        config_of(Path((folder / "annotations").read_text())),
        folder / "run",
        device="cpu",
        process_group=group,
    )
    if group.rank == 1:
        fail_above(run, 2)
    told = [event for event in train(run) if isinstance(event, OutOfMemory | StepDone)]
    return {
        "kinds": [type(event).__name__ for event in told],
        "pieces": run.state.micro_batches,
        "weights": dict(run.module.state_dict()),
    }


def none_fits(group: ProcessGroup, folder: Path) -> str:
    """Rank 1 has no memory for a single line: both end, neither waits for the other."""
    run = build_run(
        config_of(Path((folder / "annotations").read_text())),
        folder / "run",
        device="cpu",
        process_group=group,
    )
    if group.rank == 1:
        fail_above(run, 0)
    try:
        list(train(run))
    except LineTooLarge as problem:
        return problem.problem
    return "trained"


def exchange_fails(group: ProcessGroup, folder: Path) -> str:
    """Memory is short in the exchange of gradients, on both ranks: nobody tries again."""
    run = build_run(
        config_of(Path((folder / "annotations").read_text())),
        folder / "run",
        device="cpu",
        process_group=group,
    )
    tries = []

    def broken(tensors: Any, *_: Any, **__: Any) -> None:
        tries.append(1)
        raise dist.DistBackendError(NCCL)

    dist.all_reduce = broken  # type: ignore[assignment]
    try:
        list(train(run))
    except UpdateOutOfMemory as problem:
        return f"{len(tries)} {problem.problem}"
    return "trained"


def _rank(rank: int, work: Callable[[ProcessGroup, Path], Any], folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    try:
        torch.save(work(ProcessGroup(rank, 2), folder), folder / f"{rank}.pt")
    finally:
        dist.destroy_process_group()


def both(work: Callable[[ProcessGroup, Path], Any], folder: Path, annotations: Path) -> list[Any]:
    (folder / "annotations").write_text(str(annotations))
    torch.multiprocessing.start_processes(_rank, (work, folder), 2, start_method="fork")
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(2)]


def test_where_one_rank_is_short_of_memory_all_take_smaller_pieces(tmp_path: Path, annotations: Path) -> None:
    one, other = both(one_is_short, tmp_path, annotations)
    assert one["pieces"] == other["pieces"] == 2  # a checkpoint is rank 0's, and must know of it
    assert one["kinds"] == other["kinds"] == ["OutOfMemory", *["StepDone"] * 4]
    for name, value in one["weights"].items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(value, other["weights"][name]), name


def test_a_line_that_does_not_fit_on_one_rank_ends_all(tmp_path: Path, annotations: Path) -> None:
    one, other = both(none_fits, tmp_path, annotations)
    assert "another rank" in one and CUDA in other


def test_no_rank_takes_a_step_again_alone_once_gradients_are_exchanged(
    tmp_path: Path, annotations: Path
) -> None:
    for told in both(exchange_fails, tmp_path, annotations):
        assert told.startswith("1 Memory is short") and "Cuda failure 2" in told


def test_pieces_are_joined_again_when_memory_allows(tmp_path: Path, annotations: Path) -> None:
    run = build_run(config_of(annotations, 9), tmp_path, device="cpu")
    loss, short = run.objective.loss, [True]

    def sometimes(module: nn.Module, images: Tensor, batch: Batch) -> Any:
        if short[0] and len(batch.texts) > 2:
            raise RuntimeError(CUDA)
        return loss(module, images, batch)

    run.objective.loss = sometimes  # type: ignore[method-assign]
    run.state.merge_after_steps = 1  # a split doubles it
    told: list[object] = []
    for event in train(run):
        if isinstance(event, OutOfMemory | MemoryRecovered):
            told.append(event)
        if len(told) == 4:
            short[0] = False  # the other program is done
    assert told == [
        OutOfMemory(0, 2), MemoryRecovered(1, 1),  # two steps fitted, the third did not
        OutOfMemory(2, 2), MemoryRecovered(5, 1),  # four fitted, and then all
    ]  # fmt: skip
    assert run.state.micro_batches == 1 and run.state.step == 9


RANK = """
import os, sys, time
from pathlib import Path
import torch
from vocr_cli.core.training.parallel import distributed, end_on_signal
from vocr_cli.core.training.parallel.launch import read_launch
from vocr_cli.core.training.record.event_log import stop_on_signals

end = end_on_signal.end_on_sigterm
distributed.end_on_sigterm = lambda: end(0.5)
with distributed.join_process_group(read_launch(), "cpu") as group, stop_on_signals() as stop:
    group.all_gather(1.0)
    Path(sys.argv[1], f"{group.rank}").write_text(str(os.getpid()))
    if group.rank == 1:
        time.sleep(600)
    group.all_gather(2.0)  # waits for rank 1, in C++
"""


@pytest.mark.skipif(os.name == "nt", reason="torchrun's signals are POSIX's")
def test_a_rank_that_waits_for_a_dead_one_ends_on_sigterm(tmp_path: Path) -> None:
    """NCCL waits for ever as Gloo does here; torchrun sends SIGTERM to the others when a rank has died."""
    import socket

    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port),
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }  # fmt: skip
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(tmp_path)],
            env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]
    try:
        while not all((tmp_path / str(rank)).exists() for rank in range(2)):
            assert all(rank.poll() is None for rank in ranks)
            time.sleep(0.05)
        time.sleep(0.2)  # rank 0 is in the second exchange now
        ranks[1].send_signal(signal.SIGSTOP)
        ranks[0].terminate()
        assert ranks[0].wait(60) == 128 + signal.SIGTERM
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()
