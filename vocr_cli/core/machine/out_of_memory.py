"""Want of memory, in the words of every library that may say it. Loads no torch."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any

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
"""Each is looked for in lower case. Some of them also mean other faults: whoever tries again with less must end
with the error itself where nothing less is left."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is short, of a GPU or of the machine."""
    if isinstance(error, MemoryError):  # Python's and numpy's
        return True
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError | OSError | _onnx_errors()) and any(word in text for word in _WORDS)


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


def _onnx_errors() -> tuple[type[Exception], ...]:
    """The errors of ONNX Runtime, which have no class of Python's; none where it is not loaded."""
    state: Any = sys.modules.get("onnxruntime.capi.onnxruntime_pybind11_state")
    names = ("Fail", "RuntimeException", "EPFail", "EngineError")
    found: list[Callable[..., Exception]] = [getattr(state, name, None) for name in names] if state else []
    return tuple(kind for kind in found if isinstance(kind, type))
