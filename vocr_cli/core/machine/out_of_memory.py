"""Want of memory, in the words of every library that may say it. Loads no torch."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from vocr_cli.core.errors import VocrError, reason_of

B = TypeVar("B")
R = TypeVar("R")

_WORDS = (
    "out of memory",  # CUDA's allocator, "CUDA error: out of memory", HIP, MPS, NCCL's "Cuda failure 2 '…'"
    "out_of_memory",  # the driver: CUDA_ERROR_OUT_OF_MEMORY
    "outofmemory",  # hipErrorOutOfMemory
    "cudaerrormemoryallocation",
    "alloc_failed",  # CUBLAS_STATUS_…, CUDNN_STATUS_…, CUSOLVER_STATUS_…, CUFFT_…
    "allocation_failed",  # cuDNN 9: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED
    "cublas_status_not_initialized when calling `cublascreate",  # no room for cuBLAS's own workspace
    "cudnn error: cudnn_status_not_initialized",  # the same of cuDNN
    "unable to find a valid cudnn algorithm to run convolution",  # none whose workspace there is room for
    "was unable to find an engine to execute this computation",  # the same in cuDNN's newer interface
    "can't allocate memory",  # torch on a CPU
    "not enough memory",  # torch on a CPU of Windows
    "cannot allocate memory",  # the system: ENOMEM
    "failed to allocate memory",  # ONNX Runtime
    "bad allocation",  # C++ on Windows
    "bad_alloc",  # C++ elsewhere
)
"""Each is looked for in lower case. Some of them also mean other faults: whoever tries again with less must
end with the error itself where nothing less is left."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is short, of a GPU or of the machine."""
    if isinstance(error, MemoryError):  # Python's and numpy's
        return True
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    kinds: tuple[type[Exception], ...] = (RuntimeError, OSError, *_onnx_errors())
    return isinstance(error, kinds) and any(word in text for word in _WORDS)


class NotEnoughMemory(VocrError):
    """Memory is short even for the smallest piece of some work."""


def in_halves(
    work: Callable[[B], R], batch: B, halve: Callable[[B], Sequence[B]], problem: str, fix: str
) -> Iterator[tuple[B, R]]:
    """Does some work on a batch, or where memory is short on its halves, and on theirs.

    Args:
        work: May be called again after it failed.
        batch: What it is done on.
        halve: Cuts a batch in two, in order; a batch that cannot be cut is returned alone.
        problem: What memory is short for where a batch cannot be cut, without a full stop.
        fix: What to do then.

    Yields:
        Each piece that the work was done on, in order, and what came of it.

    Raises:
        NotEnoughMemory: Memory is short for a batch that cannot be cut.
    """
    waiting = [batch]
    while waiting:
        piece = waiting.pop()
        try:
            result = work(piece)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            reason = reason_of(error).partition("\n")[0]
        else:
            yield piece, result
            continue
        free_cached_memory()
        halves = halve(piece)
        if len(halves) < 2:
            raise NotEnoughMemory(f"{problem}: {reason}.", fix)
        waiting += reversed(halves)


def free_cached_memory() -> None:
    """Gives back what Python's garbage and torch's allocators hold for later.

    To be called behind the `except` block: until then its traceback holds what the failed work had allocated.
    """
    gc.collect()
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def _onnx_errors() -> list[type[Exception]]:
    """The errors of ONNX Runtime, which are no `RuntimeError`; none where it is not loaded."""
    state = sys.modules.get("onnxruntime.capi.onnxruntime_pybind11_state")
    names = ("Fail", "RuntimeException", "EPFail", "EngineError")
    found: list[Any] = [getattr(state, name, None) for name in names]
    return [kind for kind in found if isinstance(kind, type) and issubclass(kind, Exception)]
