"""Want of memory is known in every library's words. Simulation: errors with the texts they really have."""

from __future__ import annotations

import errno

import pytest
import torch
from torch_errors import AcceleratorError

from vocr_cli.core.machine.out_of_memory import NotEnoughMemory, in_halves, is_out_of_memory

SHORT = {
    "CUDA's allocator": torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.25 GiB of which "
        "1.12 GiB is free. Process 4242 has 78.12 GiB memory in use."
    ),
    "CUDA's runtime": AcceleratorError(
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API "
        "call, so the stacktrace below might be incorrect."
    ),
    "CUDA's runtime before torch 2.8": RuntimeError("CUDA error: out of memory"),
    "the driver": RuntimeError("Triton Error [CUDA]: CUDA_ERROR_OUT_OF_MEMORY"),
    "cuBLAS": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    "cuBLAS's workspace": RuntimeError(
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"
    ),
    "cuDNN": RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    "cuDNN's handle": RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"),
    "cuDNN 9": RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    "cuDNN's search": RuntimeError("Unable to find a valid cuDNN algorithm to run convolution"),
    "cuDNN's newer search": RuntimeError("GET was unable to find an engine to execute this computation"),
    "cuFFT": RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"),
    "cuSOLVER": RuntimeError(
        "cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`"
    ),
    "NCCL": torch.distributed.DistBackendError(
        "NCCL error in: /pytorch/torch/csrc/distributed/c10d/NCCLUtils.cpp:94, unhandled cuda error (run "
        "with NCCL_DEBUG=INFO for details), NCCL version 2.27.5\nncclUnhandledCudaError: Call to CUDA "
        "function failed.\nLast error:\nCuda failure 2 'out of memory'"
    ),
    "ROCm": RuntimeError("HIP out of memory. Tried to allocate 20.00 MiB (GPU 0; 15.98 GiB total capacity)"),
    "ROCm's runtime": RuntimeError("HIP error: hipErrorOutOfMemory"),
    "MPS": RuntimeError(
        "MPS backend out of memory (MPS allocated: 17.98 GB, other allocations: 1.02 MB, max allowed: "
        "18.13 GB). Tried to allocate 256.00 MB on private pool."
    ),
    "torch on Linux": RuntimeError(
        "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you "
        "tried to allocate 4000000000000 bytes. Error code 12 (Cannot allocate memory)"
    ),
    "torch on Windows": RuntimeError(
        "[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you tried to "
        "allocate 4000000000000 bytes."
    ),
    "Python": MemoryError(),
    "numpy": MemoryError("Unable to allocate 29.1 TiB for an array with shape (4000000000000,)"),
    "the system": OSError(errno.ENOMEM, "Cannot allocate memory"),
    "C++": RuntimeError("std::bad_alloc"),
}

OTHERS = {
    "a fault of shapes": RuntimeError("mat1 and mat2 shapes cannot be multiplied (4x8 and 16x8)"),
    "a wrong kernel": AcceleratorError("CUDA error: an illegal memory access was encountered"),
    "cuBLAS": RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(...)`"),
    "another NCCL fault": torch.distributed.DistBackendError(
        "NCCL communicator was aborted on rank 1. Original reason: watchdog timeout"
    ),
    "a full disk": OSError(errno.ENOSPC, "No space left on device"),
    "a value that only speaks of it": ValueError("out of memory is no device"),
}


@pytest.mark.parametrize("error", SHORT.values(), ids=SHORT.keys())
def test_want_of_memory_is_known_whoever_says_it(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize("error", OTHERS.values(), ids=OTHERS.keys())
def test_other_faults_are_not_taken_for_it(error: Exception) -> None:
    assert not is_out_of_memory(error)


def test_onnx_runtime_s_own_errors_are_known() -> None:
    """They are no RuntimeError, and its words are others."""
    state = pytest.importorskip("onnxruntime.capi.onnxruntime_pybind11_state")
    words = (
        "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Conv node. "
        "bfc_arena.cc:376 Failed to allocate memory for requested buffer of size 1073741824"
    )
    assert is_out_of_memory(state.RuntimeException(words))
    assert not is_out_of_memory(state.RuntimeException("Non-zero status code: Got invalid dimensions"))


def halve(items: list[int]) -> list[list[int]]:
    middle = len(items) // 2
    return [items[:middle], items[middle:]] if middle else [items]


def test_work_is_done_on_what_fits_in_order_and_nothing_is_left_out() -> None:
    tried: list[int] = []

    def work(items: list[int]) -> int:
        tried.append(len(items))
        if len(items) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return sum(items)

    done = list(in_halves(work, list(range(11)), halve, "Short", "Free some."))
    assert [item for piece, _ in done for item in piece] == list(range(11))
    assert sum(result for _, result in done) == 55 and max(tried) == 11
    assert all(len(piece) <= 3 for piece, _ in done)


def test_what_does_not_fit_alone_is_said_with_a_remedy_and_other_faults_are_raised() -> None:
    def short(items: list[int]) -> int:
        raise RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported later")

    with pytest.raises(NotEnoughMemory) as problem:
        list(in_halves(short, [1, 2], halve, "Short", "Free some."))
    assert problem.value.problem == "Short: CUDA error: out of memory." and problem.value.fix == "Free some."

    def broken(items: list[int]) -> int:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        list(in_halves(broken, [1, 2], halve, "Short", "Free some."))
