"""Steps that do not fit in memory are taken in micro-batches; nothing is left out."""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator, Sequence

import torch

from vocr_cli.core.data.loader.dataset import Batch
from vocr_cli.core.training.loop_state import LoopState
from vocr_cli.core.training.record.events import OutOfMemory
from vocr_cli.core.training.step.step import StepResult


def step_with_oom_retry(
    train_step: Callable[[Sequence[Batch], float], StepResult],
    batches: Sequence[Batch],
    lr: float,
    state: LoopState,
) -> Generator[OutOfMemory, None, StepResult]:
    """Takes a step; each time that memory is short, again with every batch in twice as many micro-batches.

    The gradient is that of the whole batches, apart from BatchNorm, which sees micro-batches. Order and lines
    of the batches to come stay what they are; they are cut alike, and a resumed run goes on so.

    Args:
        train_step: Takes an optimizer step on the mean loss of batches; it may be called again after it
            failed.
        batches: The step's.
        lr: Learning rate.
        state: Says into how many micro-batches each batch is cut, and is told of more.

    Raises:
        RuntimeError: Memory is short for single lines too, or something else is wrong.
    """
    while True:
        try:
            return train_step([piece for batch in batches for piece in batch.split(state.micro_batches)], lr)
        except RuntimeError as error:
            if not _out_of_memory(error) or state.micro_batches >= max(len(batch.texts) for batch in batches):
                raise
        # What the failed step held is let go of only here, behind its traceback.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        state.split_further()
        yield OutOfMemory(state.step, state.micro_batches)


def _out_of_memory(error: RuntimeError) -> bool:
    """Also the CPU allocator's, which has no class of its own."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return "can't allocate memory" in text or "not enough memory" in text
