"""ONNX files in ONNX Runtime or OpenVINO, on the CPU. B lines, H and W px, T columns, C classes."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from vocr_cli.core.errors import DependencyError, ModelError
from vocr_cli.core.inference.engines.base import CPU_BATCH_PIXELS, CtcEngine
from vocr_cli.core.inference.engines.decoding import Decoding
from vocr_cli.core.inference.engines.onnx_format import METADATA_KEY, pad_right, to_blocks, to_model_input
from vocr_cli.core.inference.engines.openvino_model import OpenVinoModel
from vocr_cli.core.inference.engines.post_processing import LineHypothesis, ctc_hypotheses
from vocr_cli.core.machine.precision import DeviceName, PrecisionName, cpu_sums_int8_exactly

RuntimeName = Literal["onnxruntime", "openvino"]
"""Programs that run ONNX files."""

RUNTIMES: tuple[RuntimeName, ...] = ("onnxruntime", "openvino")
_PACKAGES: dict[RuntimeName, str] = {"onnxruntime": "onnxruntime", "openvino": "'vocr-cli[openvino]'"}


class OnnxModel(Protocol):
    """An ONNX file, open in a runtime.

    Attributes:
        metadata: The JSON that describes the model; None: the file has none.
        runtime: Name and version.
        batch_pixels: Pixels of a full batch, all its lines together.
        bucket_px: Whole models get lines padded to a multiple of this width.
        threads_per_batch: Processors that share one batch while others are read beside it.
        reads_singly: Whether lines gain nothing by being read together.
    """

    metadata: str | None
    runtime: str
    batch_pixels: int
    bucket_px: int
    threads_per_batch: int
    reads_singly: bool

    def run(self, lines: np.ndarray) -> np.ndarray:
        """Computes the output of the file, (B, T, C) float, of lines, (B, H, W, channels) uint8."""
        ...


class OnnxEngine(CtcEngine):
    """The engine of a model that an ONNX file holds as a whole: its output are logits.

    Args:
        model: The open file.
        precision: What the file computes in, by its description.
        max_width_px: Up to which the file computes: its tables of positions end there.
    """

    device: DeviceName = "cpu"

    def __init__(self, model: OnnxModel, precision: PrecisionName, max_width_px: int) -> None:
        self._model = model
        self._max_width_px = max_width_px
        self.precision = precision
        self.runtime = model.runtime
        self.threads_per_batch = model.threads_per_batch
        self.reads_singly = model.reads_singly

    @property
    def batch_pixels(self) -> int:
        """Pixels of a full batch, all its lines together."""
        return self._model.batch_pixels

    def logits(self, lines: np.ndarray) -> np.ndarray:
        """Computes logits, (B, T, C) float, of lines, (B, H, W, channels) uint8."""
        width = lines.shape[2]
        padded = width + -width % self._model.bucket_px
        if padded > self._max_width_px:
            return self._model.run(lines)
        logits = self._model.run(pad_right(lines, padded - width))
        return logits[:, : -(-logits.shape[1] * width // padded)]  # rounded up, as strides do

    def read_groups(self, groups: Sequence[np.ndarray], decoding: Decoding) -> list[list[LineHypothesis]]:
        """Decodes all groups together; lines that gain nothing by it do not share a run either.

        What a line reads then depends on no other to the last digit. See `Engine.read_groups`.
        """
        if not self.reads_singly:
            return super().read_groups(groups, decoding)
        lines = [line[None] for group in groups for line in group]
        found = iter(ctc_hypotheses([self._model.run(line)[0] for line in lines], decoding))
        return [list(islice(found, len(group))) for group in groups]


class OnnxRuntimeModel:
    """An ONNX file in ONNX Runtime, on the CPU; `threads` processors share each batch.

    Neither the memory arena nor the memory pattern is used: with lines of many widths they keep several times
    the memory, and save no time.
    """

    batch_pixels = CPU_BATCH_PIXELS
    bucket_px = 1
    reads_singly = True

    def __init__(self, path: Path, threads: int = 1) -> None:
        import onnxruntime

        self._session = open_session(path, threads)
        self._to_input = (
            to_blocks if self._session.get_inputs()[0].type == "tensor(uint8)" else to_model_input
        )
        self.metadata: str | None = self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        self.threads_per_batch = threads
        self.runtime = f"onnxruntime {onnxruntime.__version__}"

    def run(self, lines: np.ndarray) -> np.ndarray:
        """Computes the output of the file, (B, T, C) float, of lines, (B, H, W, channels) uint8."""
        output: np.ndarray = self._session.run(None, {"images": self._to_input(lines)})[0]
        return output


def open_session(path: Path, threads: int) -> Any:
    """Opens a file in ONNX Runtime, on the CPU; `threads` processors share each run. It raises of its own."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    if not cpu_sums_int8_exactly():
        options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(
        str(path),
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=["SkipLayerNormFusion"],  # what it fuses takes three times as long
    )


def installed_runtimes() -> tuple[RuntimeName, ...]:
    """Names the runtimes for ONNX files that are installed, the one that starts soonest first."""
    return tuple(name for name in RUNTIMES if find_spec(name))


def open_onnx(
    path: Path,
    threads: int,
    runtime: RuntimeName,
    lines_at_once: int = 1,
    *,
    shared: bool = False,
) -> OnnxRuntimeModel | OpenVinoModel:
    """Opens an ONNX file, its `metadata` unread.

    Args:
        path: The file.
        threads: Processors to use.
        runtime: What runs it; it must be installed.
        lines_at_once: What OpenVINO gets at most.
        shared: Whether all processors share a batch, instead of taking one each.

    Raises:
        DependencyError: The runtime is not installed.
        ModelError: The file is no ONNX model, or is damaged.
    """
    if runtime not in installed_runtimes():
        raise DependencyError(
            f"{path} needs {runtime}, which is not installed.",
            f"Install it: pip install {_PACKAGES[runtime]}.",
        )
    try:
        if runtime == "openvino":
            copies = 1 if shared else threads
            return OpenVinoModel(path, threads, lines_at_once, copies=copies)
        return OnnxRuntimeModel(path, threads if shared else 1)
    except Exception as error:  # both runtimes raise kinds of their own
        reason = str(error).strip().split("\n")[-1]
        raise ModelError(
            f"{path} is not an ONNX model, or is damaged: {reason}", "Write it anew with `vocr export`."
        ) from None
