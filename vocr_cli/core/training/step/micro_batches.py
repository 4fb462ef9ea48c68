"""Steps that do not fit in memory are taken in micro-batches; nothing is left out."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

import torch

from vocr_cli.core.data.loader.batch import Batch
from vocr_cli.core.errors import VocrError, reason_of
from vocr_cli.core.machine.out_of_memory import free_cached_memory, is_out_of_memory
from vocr_cli.core.training.loop_state import LoopState
from vocr_cli.core.training.parallel.distributed import SINGLE_PROCESS, ProcessGroup
from vocr_cli.core.training.record.events import MemoryRecovered, OutOfMemory
from vocr_cli.core.training.step.step import StepResult


class LineTooLarge(VocrError, torch.OutOfMemoryError):
    """Not even single lines can be trained on in the memory that there is."""


def step_with_oom_retry(
    train_step: Callable[[Sequence[Batch], float], StepResult],
    batches: Sequence[Batch],
    lr: float,
    state: LoopState,
    process_group: ProcessGroup = SINGLE_PROCESS,
) -> Generator[OutOfMemory | MemoryRecovered, None, StepResult]:
    """Takes a step; each time that memory is short, again with every batch in twice as many micro-batches.

    The gradient is that of the whole batches, apart from BatchNorm, which sees micro-batches. Order and lines
    of the batches to come stay what they are; they are cut alike, and a resumed run goes on so. After some
    hundred steps half as many micro-batches are tried again, and where that fails only after twice as many
    more: another program may have been done, or the lines have been uncommonly wide.

    Args:
        train_step: Takes an optimizer step on the mean loss of batches; it may be called again after it
            failed. Where ranks train together, it fails on all of them or on none.
        batches: The step's.
        lr: Learning rate.
        state: Says into how many micro-batches each batch is cut, and is told of more and of fewer.
        process_group: The ranks, which cut their batches alike.

    Raises:
        LineTooLarge: Memory is short for single lines too.
        RuntimeError: Something else is wrong.
    """
    while True:
        try:
            result = train_step(
                [piece for batch in batches for piece in batch.split(state.micro_batches)], lr
            )
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            problem = reason_of(error)
        else:
            if state.count_fitting_step():
                yield MemoryRecovered(state.step, state.micro_batches)
            return result
        free_cached_memory()
        longest = max(len(batch.texts) for batch in batches)
        if state.micro_batches >= max(row[0] for row in process_group.all_gather(longest)):
            raise LineTooLarge(
                f"Memory is short for a training step of single lines: {problem}.",
                "Set precision.recompute to [all], lower image.max_width_px, choose a smaller model, or free "
                "memory that other programs hold.",
            )
        state.split_further()
        yield OutOfMemory(state.step, state.micro_batches)
