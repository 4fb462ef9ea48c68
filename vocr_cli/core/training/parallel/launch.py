"""What torchrun tells a process that it started, without torch."""

from __future__ import annotations

import os
from dataclasses import dataclass

from vocr_cli.core.errors import ConfigError

_NEEDED = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Launch:
    """One of the processes that train together.

    Attributes:
        rank: Which of them this is, 0..world_size - 1.
        local_rank: Which of those on its machine: the index of its GPU.
        world_size: How many there are.
        restarts: How often torchrun has started them again after one had failed.
        on_one_machine: Whether all of them run on the same machine.
    """

    rank: int = 0
    local_rank: int = 0
    world_size: int = 1
    restarts: int = 0
    on_one_machine: bool = True


def read_launch() -> Launch:
    """Reads torchrun's environment; without it, this is a process on its own.

    Raises:
        ConfigError: Only a part of that environment is there.
    """
    environment = os.environ
    if "WORLD_SIZE" not in environment:
        return Launch()
    if missing := [name for name in _NEEDED if name not in environment]:
        raise ConfigError(
            f"WORLD_SIZE is set, but not {', '.join(missing)}.",
            "Start with torchrun --nproc-per-node N -m vocr_cli train CONFIG, or unset WORLD_SIZE.",
        )
    restarts = int(environment.get("TORCHELASTIC_RESTART_COUNT", "0"))
    rank, local_rank = int(environment["RANK"]), int(environment["LOCAL_RANK"])
    world_size = int(environment["WORLD_SIZE"])
    on_one_machine = int(environment.get("LOCAL_WORLD_SIZE", "0")) == world_size
    return Launch(rank, local_rank, world_size, restarts, on_one_machine)
