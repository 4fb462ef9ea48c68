"""Processes that train one model together, each on other batches (data parallelism).

Gradients are added up over ranks once a step, behind the last backward pass, and not layer by layer within
it: so accumulation, and batches that only one rank takes in pieces for want of memory, need no agreement.
Every rank then takes the same step, and all that they hold stays equal.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist

# Its defaults hold the group that there is when it is first imported, as making an optimizer does: the
# group's threads would then outlive it, and can bring the process down at its end.
import torch.distributed.nn.functional
from torch import Tensor
from torch.distributed import DistError, DistStoreError
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from vocr_cli.core.data.loader.order import SourcePosition
from vocr_cli.core.errors import ConfigError
from vocr_cli.core.machine.precision import choose_device
from vocr_cli.core.training.parallel.end_on_signal import end_on_sigterm, end_without_farewell
from vocr_cli.core.training.parallel.launch import Launch

T = TypeVar("T")

_BUCKET = 8 << 20
"""Elements that are sent at a time."""

_MEETING_TIMEOUT = timedelta(minutes=10)
"""How long ranks wait for each other when they start."""


@dataclass(frozen=True)
class ProcessGroup:
    """The ranks. All must call the same methods in the same order; in a single process these cost nothing.

    Attributes:
        rank: Which one this process is. Rank 0, the primary one, alone writes and shows anything.
        world_size: How many there are.
    """

    rank: int = 0
    world_size: int = 1

    @property
    def is_primary(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    def all_gather(self, *values: float) -> list[list[float]]:
        """Returns the values of each rank, in the order of ranks; for a few numbers, by way of the CPU."""
        if self.world_size == 1:
            return [list(values)]
        rows = [torch.empty(len(values), dtype=torch.float64) for _ in range(self.world_size)]
        dist.all_gather(rows, torch.tensor(values, dtype=torch.float64))
        return [row.tolist() for row in rows]

    def all_gather_objects(self, value: T) -> list[T]:
        """Returns the object of each rank, in the order of ranks: anything that pickles, once in a while."""
        if self.world_size == 1:
            return [value]
        gathered: list[T] = [value] * self.world_size
        dist.all_gather_object(gathered, value)
        return gathered

    def any(self, value: bool) -> bool:
        """Returns whether it is true on any rank."""
        return any(row[0] for row in self.all_gather(value))

    @torch.no_grad()
    def all_reduce_(self, tensors: Sequence[Tensor]) -> None:
        """Makes each tensor the sum of all ranks', in place: the same bits for all of them."""
        if self.world_size == 1:
            return
        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            dist.all_reduce(flat)
            sums = flat.split([tensor.numel() for tensor in bucket])
            views = [values.view(tensor.shape) for values, tensor in zip(sums, bucket, strict=True)]
            torch._foreach_copy_(bucket, views)

    @torch.no_grad()
    def broadcast_(self, tensors: Iterable[Tensor]) -> None:
        """Makes each tensor rank 0's, in place."""
        for tensor in tensors if self.world_size > 1 else ():
            sent = tensor.contiguous()
            dist.broadcast(sent, 0)
            tensor.copy_(sent)


SINGLE_PROCESS = ProcessGroup()
"""One process, which trains by itself."""


@contextmanager
def join_process_group(launch: Launch, device: str) -> Iterator[ProcessGroup]:
    """Meets the other ranks; their GPUs talk by NCCL, their CPUs by Gloo.

    Args:
        launch: Who this process is.
        device: `auto`, `cpu` or `cuda`, which is then the GPU of the local rank.

    Raises:
        ConfigError: More processes than GPUs, or not all of them came.
    """
    if launch.world_size == 1:
        yield SINGLE_PROCESS
        return
    backend, gpu = "gloo", None
    if choose_device(device) == "cuda":
        if launch.local_rank >= (count := torch.cuda.device_count()):
            raise ConfigError(
                f"Process {launch.local_rank} of this machine has no GPU: torch sees {count}.",
                f"Start torchrun with --nproc-per-node {count}, or train with --device cpu.",
            )
        torch.cuda.set_device(launch.local_rank)
        backend, gpu = "cpu:gloo,cuda:nccl", torch.device("cuda", launch.local_rank)
    try:
        shared, rank, world_size = next(
            rendezvous("env://", launch.rank, launch.world_size, timeout=_MEETING_TIMEOUT)
        )
        store = fresh_rendezvous_store(shared, rank, world_size, _MEETING_TIMEOUT)
    except DistError as error:
        raise ConfigError(
            f"Process {launch.rank} of {launch.world_size} did not meet the others: {error}",
            "See what became of them above, and whether MASTER_ADDR and MASTER_PORT can be reached.",
        ) from None
    # With its device known, NCCL makes its communicator at once, and none on a card that it had to guess.
    dist.init_process_group(backend, store=store, rank=rank, world_size=world_size, device_id=gpu)
    with end_on_sigterm():
        try:
            yield ProcessGroup(launch.rank, launch.world_size)
        except BaseException:
            # Others may be in the middle of a step. NCCL's farewell is one of all ranks, and would wait for
            # them, the reason for the failure untold, until their patience ends.
            if gpu is not None:
                end_without_farewell()
            else:
                dist.destroy_process_group()
            raise
        dist.destroy_process_group()


def fresh_rendezvous_store(store: Store, rank: int, world_size: int, timeout: timedelta) -> Store:
    """Returns a section of the store in which nothing is left of ranks that were there before.

    torchrun keeps its store when it starts processes again. A rank that comes early would find the addresses
    of the dead there, and call them. How often torchrun started again cannot name the section, since its
    machines count for themselves. So rank 0 names it, and tells each rank that has greeted it with a word
    that no other process has.

    Args:
        store: What all ranks share.
        rank: That of this process.
        world_size: How many must come.
        timeout: How long to wait for them.

    Raises:
        DistError: Not all came in time.
    """
    word = uuid.uuid4().hex
    if rank:
        store.set(f"greeting/{rank}", word)
        store.wait([f"answer/{word}"], timeout)
        name = store.get(f"answer/{word}").decode()
        store.add(f"came/{name}", 1)
        return PrefixStore(name, store)
    until = time.monotonic() + timeout.total_seconds()
    greetings = [f"greeting/{other}" for other in range(1, world_size)]
    while (came := store.add(f"came/{word}", 0)) < world_size - 1:
        if time.monotonic() > until:
            raise DistStoreError(f"{came + 1} of {world_size} processes came.")
        for greeting in greetings:
            if store.check([greeting]):  # it may be of the dead: then nobody minds the answer
                store.set(f"answer/{store.get(greeting).decode()}", word)
        time.sleep(0.02)
    return PrefixStore(word, store)


def resumed_position(
    positions: Sequence[SourcePosition], rendered: bool, group: ProcessGroup
) -> SourcePosition:
    """Returns where a source stands for this rank in a run that goes on, with as many ranks as before or not.

    Args:
        positions: Those of the source, one for each rank that there was.
        rendered: Whether its lines are rendered. Each rank has other rows of these, which do not fit another
            number of ranks: all then begin behind the farthest, so that no line comes twice.
        group: The ranks now.
    """
    if len(positions) == group.world_size:
        return positions[group.rank]
    if not rendered:
        return positions[0]  # all ranks agree
    groups_rendered = len(positions) * (1 + max(position.epoch for position in positions))
    return SourcePosition(positions[0].taken, -(-groups_rendered // group.world_size))


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Cuts a row of tensors into buckets that are not above the size, but for a tensor that is larger."""
    bucket: list[Tensor] = []
    size = 0
    for tensor in tensors:
        if bucket and size + tensor.numel() > _BUCKET:
            yield bucket
            bucket, size = [], 0
        bucket.append(tensor)
        size += tensor.numel()
    if bucket:
        yield bucket
