"""Processes that train one model together, each on batches of its own (data parallelism).

Gradients are added up over ranks once a step, behind the last backward pass, and not layer by layer within
it: so accumulation, and batches that only one rank takes in pieces for want of memory, need no agreement.
Every rank then takes the same step, and all that they hold stays equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from vocr_cli.core.data.order import Place
from vocr_cli.core.errors import ConfigError
from vocr_cli.core.precision import choose_device
from vocr_cli.core.training.launch import Launch

T = TypeVar("T")

_BUCKET = 8 << 20
"""Elements that are sent at a time."""


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
        ConfigError: More processes than GPUs.
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
    dist.init_process_group(backend, rank=launch.rank, world_size=launch.world)
    try:
        yield Team(launch.rank, launch.world)
    finally:
        dist.destroy_process_group()


def place_after(places: Sequence[Place], rendered: bool, team: Team) -> Place:
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
    return Place(places[0].taken, -(-had // team.world))


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
