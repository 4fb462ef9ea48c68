"""Steps that do not fit in memory are taken in pieces; nothing is left out."""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator, Sequence

import torch

from vocr_cli.core.data.loader.dataset import Batch
from vocr_cli.core.training.progress import Progress
from vocr_cli.core.training.record.events import OutOfMemory
from vocr_cli.core.training.step.step import StepResult


def in_pieces(
    step: Callable[[Sequence[Batch]], StepResult], batches: Sequence[Batch], progress: Progress
) -> Generator[OutOfMemory, None, StepResult]:
    """Takes a step; each time that memory is short, again with every batch in twice as many pieces.

    The gradient is that of the whole batches, apart from BatchNorm, which sees pieces. Order and lines of the
    batches to come stay what they are; they are cut alike, and a resumed run goes on so.

    Args:
        step: Takes an optimizer step on the mean loss of batches; it may be called again after it failed.
        batches: The step's.
        progress: Its `split` says in how many pieces, and is raised.

    Raises:
        RuntimeError: Memory is short for single lines too, or something else is wrong.
    """
    while True:
        try:
            return step([piece for batch in batches for piece in batch.split(progress.split)])
        except RuntimeError as error:
            if not _out_of_memory(error) or progress.split >= max(len(batch.texts) for batch in batches):
                raise
        # What the failed step held is let go of only here, behind its traceback.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        progress.split *= 2
        yield OutOfMemory(progress.step, progress.split)


def _out_of_memory(error: RuntimeError) -> bool:
    """Also the CPU allocator's, which has no class of its own."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return "can't allocate memory" in text or "not enough memory" in text
