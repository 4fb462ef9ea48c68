"""What computes the logits: torch, or a runtime for ONNX files. B lines, H and W px, T columns, C classes.

Every engine takes lines of one exact width, so nothing is padded and a batch reads as its lines do singly.
Engines are called from several threads at once, each computing on one processor: small models gain more by
that than by sharing the work within each layer, and no thread ever waits for another.
"""

from __future__ import annotations

import copy
import os
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vocr_cli.core.errors import DependencyError, ModelError
from vocr_cli.core.models.ctc import CtcRecognizer
from vocr_cli.core.precision import DeviceName, PrecisionName, cpu_has_bf16

METADATA_KEY = "vocr"
"""Where an ONNX file keeps the JSON that describes the model."""

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Engine(Protocol):
    """Computes logits."""

    device: DeviceName
    precision: PrecisionName
    runtime: str

    def logits(self, lines: np.ndarray) -> Tensor:
        """(B, H, W, channels) uint8 to (B, T, C) float."""
        ...


class TorchEngine:
    """A module, its BatchNorms folded into the convolutions, in the precision asked for.

    The last layer stays in fp32: it costs little, and two near-equal classes must not tie by rounding.

    Args:
        module: In evaluation mode; left as it is, a copy is changed.
        device: Where it runs; on the CPU, torch is told to use one thread for each caller.
        precision: fp32, bf16 or fp16.
    """

    def __init__(self, module: nn.Module, device: DeviceName, precision: PrecisionName) -> None:
        if device == "cpu":
            torch.set_num_threads(1)
        # oneDNN keeps prepared kernels by shape; its default of 1,024 is less than the widths of lines need.
        os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16384")
        self.device = device
        self.precision = precision
        self.runtime = f"torch {torch.__version__}"
        self._dtype = _DTYPES[precision]
        module = _fold_batch_norms(copy.deepcopy(module).eval()).to(self._dtype)
        if isinstance(module, CtcRecognizer):
            module.head = _Float32(module.head)  # type: ignore[assignment]
        self._module = module.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def logits(self, lines: np.ndarray) -> Tensor:
        """(B, H, W, channels) uint8 to (B, T, C) float."""
        with torch.inference_mode():
            images = torch.from_numpy(lines).to(self.device).permute(0, 3, 1, 2)  # channels-last as it comes
            logits: Tensor = self._module(images.float().div_(255).to(self._dtype))
            return logits


class _Float32(nn.Module):
    """A layer that computes in fp32 whatever comes in."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer.float()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layer(x.float())
        return logits


def _fold_batch_norms(module: nn.Module) -> nn.Module:
    """Folds each BatchNorm that follows a convolution in a Sequential into that convolution."""
    for child in module.children():
        if isinstance(child, nn.Sequential):
            for place in range(len(child) - 1):
                conv, norm = child[place], child[place + 1]
                if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    child[place] = fuse_conv_bn_eval(conv, norm)
                    child[place + 1] = nn.Identity()
        _fold_batch_norms(child)
    return module


class OnnxRuntimeEngine:
    """An ONNX file in ONNX Runtime, on the CPU."""

    device: DeviceName = "cpu"

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # batches run side by side instead
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors only
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.metadata: str | None = self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        self.precision: PrecisionName = "fp32"
        self.runtime = f"onnxruntime {onnxruntime.__version__}"

    def logits(self, lines: np.ndarray) -> Tensor:
        """(B, H, W, channels) uint8 to (B, T, C) float."""
        return torch.from_numpy(self._session.run(None, {"images": as_input(lines)})[0])


class OpenVinoEngine:
    """An ONNX file in OpenVINO, on the CPU: one line at a time, in as many streams as threads call.

    OpenVINO prepares kernels for each shape it meets, so lines go in singly: only widths differ then.
    """

    device: DeviceName = "cpu"

    def __init__(self, path: Path, threads: int) -> None:
        import openvino

        core = openvino.Core()
        model = core.read_model(path)
        place = ["framework", METADATA_KEY]  # where OpenVINO keeps the metadata of ONNX files
        self.metadata: str | None = model.get_rt_info(place).value if model.has_rt_info(place) else None
        # What int8 leaves over, attention above all, may as well run in bf16.
        rest = "bf16" if '"precision": "int8"' in (self.metadata or "") and cpu_has_bf16() else "f32"
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": threads,
            "INFERENCE_PRECISION_HINT": rest,
        }
        compiled = core.compile_model(model, "CPU", settings)
        self._requests: SimpleQueue[Any] = SimpleQueue()
        for _ in range(threads):
            self._requests.put(compiled.create_infer_request())
        self.precision: PrecisionName = "fp32"
        self.runtime = f"openvino {openvino.__version__.split('-')[0]}"

    def logits(self, lines: np.ndarray) -> Tensor:
        """(B, H, W, channels) uint8 to (B, T, C) float."""
        images = as_input(lines)
        request = self._requests.get()
        try:
            results = []
            for line in range(len(images)):
                request.infer({0: images[line : line + 1]}, share_inputs=True)
                results.append(request.get_output_tensor(0).data.copy())
        finally:
            self._requests.put(request)
        return torch.from_numpy(np.concatenate(results))


def as_input(lines: np.ndarray) -> np.ndarray:
    """(B, H, W, channels) uint8 to what ONNX files take: (B, channels, H, W) float32 in 0..1."""
    return np.ascontiguousarray(lines.transpose(0, 3, 1, 2), dtype=np.float32) / np.float32(255)


def onnx_runtime() -> str | None:
    """The faster of the installed runtimes for ONNX files; None: there is none."""
    return next((name for name in ("openvino", "onnxruntime") if find_spec(name)), None)


def open_onnx(path: Path, threads: int) -> OnnxRuntimeEngine | OpenVinoEngine:
    """The engine for an ONNX file, its `metadata` unread.

    Raises:
        DependencyError: No runtime for ONNX files is installed.
        ModelError: The file is no ONNX model, or is damaged.
    """
    runtime = onnx_runtime()
    if runtime is None:
        raise DependencyError(
            f"{path} needs a runtime for ONNX files.",
            "Install one: pip install 'vocr[openvino]' (the faster) or pip install 'vocr[onnx]'.",
        )
    try:
        return OpenVinoEngine(path, threads) if runtime == "openvino" else OnnxRuntimeEngine(path)
    except Exception as error:  # both runtimes raise kinds of their own
        reason = str(error).strip().split("\n")[-1]
        raise ModelError(
            f"{path} is not an ONNX model, or is damaged: {reason}", "Write it anew with `vocr export`."
        ) from None
