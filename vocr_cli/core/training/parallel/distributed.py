"""Processes that train one model together, each on batches of its own (data parallelism).

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
from vocr_cli.core.training.parallel.launch import Launch

T = TypeVar("T")

_BUCKET = 8 << 20
"""Elements that are sent at a time."""

_MEETING = timedelta(minutes=10)
"""How long ranks wait for each other when they start."""


@dataclass(frozen=True)
class Team:
    """The ranks. All must call the same methods in the same order; alone, these cost nothing.

    Attributes:
        rank: Which one this process is. Rank 0 alone writes and shows anything.
        world: How many there are.
    """

    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    def numbers(self, *own: float) -> list[list[float]]:
        """What each rank gives, in the order of ranks: few numbers, by way of the CPU."""
        if self.world == 1:
            return [list(own)]
        rows = [torch.empty(len(own), dtype=torch.float64) for _ in range(self.world)]
        dist.all_gather(rows, torch.tensor(own, dtype=torch.float64))
        return [row.tolist() for row in rows]

    def objects(self, own: T) -> list[T]:
        """What each rank gives, in the order of ranks: anything that pickles, once in a while."""
        if self.world == 1:
            return [own]
        found: list[T] = [own] * self.world
        dist.all_gather_object(found, own)
        return found

    def any(self, own: bool) -> bool:
        """Whether it is so for any rank."""
        return any(row[0] for row in self.numbers(own))

    @torch.no_grad()
    def add(self, tensors: Sequence[Tensor]) -> None:
        """Makes each tensor the sum of all ranks', in place: the same bits for all of them."""
        if self.world == 1:
            return
        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            dist.all_reduce(flat)
            parts = flat.split([tensor.numel() for tensor in bucket])
            views = [part.view(tensor.shape) for part, tensor in zip(parts, bucket, strict=True)]
            torch._foreach_copy_(bucket, views)

    @torch.no_grad()
    def share(self, tensors: Iterable[Tensor]) -> None:
        """Makes each tensor rank 0's, in place."""
        for tensor in tensors if self.world > 1 else ():
            sent = tensor.contiguous()
            dist.broadcast(sent, 0)
            tensor.copy_(sent)


ALONE = Team()
"""One process, which needs nobody."""


@contextmanager
def team_of(launch: Launch, device: str) -> Iterator[Team]:
    """Meets the other ranks; their GPUs talk by NCCL, their CPUs by Gloo.

    Args:
        launch: Who this process is.
        device: `auto`, `cpu` or `cuda`, which is then the GPU of the local rank.

    Raises:
        ConfigError: More processes than GPUs, or not all of them came.
    """
    if launch.world == 1:
        yield ALONE
        return
    backend = "gloo"
    if choose_device(device) == "cuda":
        if launch.local_rank >= (count := torch.cuda.device_count()):
            raise ConfigError(
                f"Process {launch.local_rank} of this machine has no GPU: torch sees {count}.",
                f"Start torchrun with --nproc-per-node {count}, or train with --device cpu.",
            )
        torch.cuda.set_device(launch.local_rank)
        backend = "cpu:gloo,cuda:nccl"
    try:
        store, rank, world = next(rendezvous("env://", launch.rank, launch.world, timeout=_MEETING))
        met = store_of_the_living(store, rank, world, _MEETING)
    except DistError as error:
        raise ConfigError(
            f"Process {launch.rank} of {launch.world} did not meet the others: {error}",
            "See what became of them above, and whether MASTER_ADDR and MASTER_PORT can be reached.",
        ) from None
    dist.init_process_group(backend, store=met, rank=rank, world_size=world)
    try:
        yield Team(launch.rank, launch.world)
    finally:
        dist.destroy_process_group()


def store_of_the_living(store: Store, rank: int, world: int, timeout: timedelta) -> Store:
    """A part of the store in which nothing is left of ranks that were there before.

    torchrun keeps its store when it starts processes again. A rank that comes early would find the addresses
    of the dead there, and call them. How often torchrun started again does not name the part: its machines
    count for themselves. So rank 0 names it, and tells each rank that has greeted it with a word of its own.

    Args:
        store: What all ranks share.
        rank: This one's number.
        world: How many must come.
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
    greetings = [f"greeting/{other}" for other in range(1, world)]
    while (came := store.add(f"came/{word}", 0)) < world - 1:
        if time.monotonic() > until:
            raise DistStoreError(f"{came + 1} of {world} processes came.")
        for greeting in greetings:
            if store.check([greeting]):  # it may be of the dead: then nobody minds the answer
                store.set(f"answer/{store.get(greeting).decode()}", word)
        time.sleep(0.02)
    return PrefixStore(word, store)


def place_after(places: Sequence[SourcePosition], rendered: bool, team: Team) -> SourcePosition:
    """Where a source stands for this rank in a run that goes on, with as many ranks as before or not.

    Args:
        places: Of the source, one for each rank that there was.
        rendered: Whether its lines are rendered. Of these, each rank has rows of its own, which do not fit
            another number of ranks: all then begin behind the farthest, so that no line comes twice.
        team: The ranks now.
    """
    if len(places) == team.world:
        return places[team.rank]
    if not rendered:
        return places[0]  # all ranks agree
    had = len(places) * (1 + max(place.epoch for place in places))
    return SourcePosition(places[0].taken, -(-had // team.world))


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """In their order; together not above the size, but for a tensor that is larger."""
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
