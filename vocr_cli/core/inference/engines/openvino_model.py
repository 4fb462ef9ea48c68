"""ONNX files in OpenVINO, on the CPU. B lines, H and W px, T columns, C classes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from vocr_cli.core.inference.engines.onnx_format import METADATA_KEY, to_blocks, to_model_input
from vocr_cli.core.machine.cache_folder import cache_folder
from vocr_cli.core.machine.precision import cpu_has_bf16

OPENVINO_BUCKET_PX = 64
"""Lines of whole models go into OpenVINO padded to a multiple of this width: it prepares kernels for each new
width, 10 to 35 ms, which exact widths cost a thousand lines as much as half the model."""

OPENVINO_BATCH_PIXELS = 800_000
"""Lines of one width go in one after the other; the first takes OpenVINO 0.3 ms more, to change shapes."""


class OpenVinoModel:
    """An ONNX file in OpenVINO, on the CPU: a few lines at a time, a compiled model for each calling thread.

    The `copies` share the processors evenly. They are not streams of one model: a stream takes whichever
    request comes first, so that two threads reading two widths have both change shapes all the time, and it
    stays on its processor while a thread preparing images there keeps it waiting and another one is free.

    OpenVINO prepares kernels for each shape it meets, so batches go in cut: few shapes differ then.
    """

    batch_pixels = OPENVINO_BATCH_PIXELS
    bucket_px = OPENVINO_BUCKET_PX
    reads_singly = False

    def __init__(self, path: Path, threads: int, lines_at_once: int, *, copies: int) -> None:
        import openvino

        model = openvino_core().read_model(path)
        key = ["framework", METADATA_KEY]  # where OpenVINO keeps the metadata of ONNX files
        self.metadata: str | None = model.get_rt_info(key).value if model.has_rt_info(key) else None
        self._model = model
        takes_bytes = model.input(0).element_type == openvino.Type.u8
        self._to_input = to_blocks if takes_bytes else to_model_input
        # What int8 leaves over, attention above all, may as well run in bf16.
        rest = "bf16" if '"precision": "int8"' in (self.metadata or "") and cpu_has_bf16() else "f32"
        self.threads_per_batch = threads // copies
        self._settings = {
            "INFERENCE_NUM_THREADS": self.threads_per_batch,
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": rest,
            "ENABLE_CPU_PINNING": False,
        }
        self._lines_at_once = lines_at_once
        self._requests: SimpleQueue[Any] = SimpleQueue()
        self._requests.put(self._compiled())  # the others when a thread first lacks one
        self.runtime = f"openvino {openvino.__version__.split('-')[0]}"

    def run(self, lines: np.ndarray) -> np.ndarray:
        """Computes the output of the file, (B, T, C) float, of lines, (B, H, W, channels) uint8."""
        images = self._to_input(lines)
        results: np.ndarray | None = None
        with self._request() as request:
            for start in range(0, len(images), self._lines_at_once):
                given = images[start : start + self._lines_at_once]
                request.infer({0: given}, share_inputs=True)
                output = request.get_output_tensor(0).data
                if results is None:
                    results = np.empty((len(images), *output.shape[1:]), output.dtype)
                results[start : start + len(given)] = output
        assert results is not None
        return results

    @contextmanager
    def _request(self) -> Iterator[Any]:
        """A compiled model's request, nobody else's meanwhile: as many as threads ever called at once."""
        try:
            request = self._requests.get_nowait()
        except Empty:
            request = self._compiled()
        try:
            yield request
        finally:
            self._requests.put(request)

    def _compiled(self) -> Any:
        compiled = openvino_core().compile_model(self._model, "CPU", {**self._settings, **_kept_in_cache()})
        return compiled.create_infer_request()


@cache
def openvino_core() -> Any:
    """The one core of this process, never given up.

    OpenVINO's CPU plugin gives the thread that loads it a stack for signal handlers, and frees that stack
    with itself without telling the thread. The next handled signal, such as torch's on the end of a child,
    then kills the process.
    """
    import openvino

    return openvino.Core()


def _kept_in_cache() -> dict[str, str]:
    """The setting by which OpenVINO keeps compiled models, which take it a quarter of a second each."""
    try:
        folder = cache_folder() / "openvino"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return {}
    return {"CACHE_DIR": str(folder)} if os.access(folder, os.W_OK) else {}
