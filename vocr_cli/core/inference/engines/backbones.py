"""The backbone of a VietOCR model, in torch or int8. B lines, H and W px, S features, D their width."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from threading import Lock
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from vocr_cli.core.inference.engines.onnx import OnnxModel
from vocr_cli.core.inference.engines.torch_ctc import fold_batch_norms, to_tensor
from vocr_cli.core.machine.precision import DeviceName
from vocr_cli.core.models.vietocr.recognizer import VietocrRecognizer

BACKBONE_LINES = 4
"""Lines that OpenVINO gets at once: a VGG gains up to a fifth by it on short lines, by more than 4 little."""


class Backbone(Protocol):
    """Turns lines of one width into features."""

    runtime: str

    def features(self, lines: np.ndarray) -> Tensor:
        """Computes features, (S, B, D), of lines, (B, H, W, channels) uint8."""
        ...


class TorchBackbone:
    """The module, its BatchNorms folded into the convolutions.

    Args:
        module: In evaluation mode; left as it is, a copy is changed.
        device: Where it runs.
        dtype: What it computes in.
    """

    def __init__(self, module: VietocrRecognizer, device: DeviceName, dtype: torch.dtype) -> None:
        self.runtime = f"torch {torch.__version__}"
        self._device, self._dtype = device, dtype
        folded = fold_batch_norms(copy.deepcopy(module.cnn).eval()).to(device, dtype)
        self._module = folded.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def features(self, lines: np.ndarray) -> Tensor:
        """Computes features, (S, B, D), of lines, (B, H, W, channels) uint8."""
        features: Tensor = self._module(to_tensor(lines, self._device, self._dtype))
        return features


class OnnxBackbone:
    """What `write_int8` made of a backbone, on the CPU.

    Runtimes for ONNX files fix their threads when they open a file. A batch that comes alone is read by a
    thread that torch has given several processors: when the first one comes, the file is opened once more.

    Args:
        model: The file, run on one processor for each thread that calls; its output is (B, S, D).
        dtype: Of the features given: what the decoder computes in.
        open_shared: Opens the file so that all processors share a batch.
    """

    def __init__(self, model: OnnxModel, dtype: torch.dtype, open_shared: Callable[[], OnnxModel]) -> None:
        self.runtime = f"{model.runtime}, torch {torch.__version__}"
        self._model, self._dtype = model, dtype
        self._open_shared = open_shared
        self._shared: OnnxModel | None = None
        self._opening = Lock()

    def features(self, lines: np.ndarray) -> Tensor:
        """Computes features, (S, B, D), of lines, (B, H, W, channels) uint8."""
        model = self._shared_model() if torch.get_num_threads() > 1 else self._model
        return torch.from_numpy(model.run(lines)).to(self._dtype).transpose(0, 1)

    def _shared_model(self) -> OnnxModel:
        with self._opening:
            if self._shared is None:
                self._shared = self._open_shared()
            return self._shared


class LineFeatures(nn.Module):
    """What is exported: (B, channels, H, W) float in 0..1 to (B, S, D), lines first as in every ONNX file."""

    def __init__(self, module: VietocrRecognizer) -> None:
        super().__init__()
        self.backbone = module.cnn

    def forward(self, images: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, S, D)."""
        features: Tensor = self.backbone(images)
        return features.transpose(0, 1)


def fingerprint(module: VietocrRecognizer) -> str:
    """Digests the pools and weights of a backbone; a file with the weights in fp16 has the same digest."""
    config = module.config
    return _digest([config.backbone, config.pool_kernels, config.pool_strides], module.cnn)


def whole_fingerprint(module: VietocrRecognizer) -> str:
    """Digests what a whole model computes with: its weights, alike in fp16, and the settings they depend on.

    What counts in training alone, dropout above all, has no part in it: VietOCR's YAMLs differ in it.
    """
    settings = module.config.weight_settings({"channels": None}) | {"specials": module.config.specials}
    return _digest(settings, module)


def is_fingerprint(written: object, module: VietocrRecognizer) -> bool:
    """Whether a file of a whole model was written from such a one; earlier versions digested all settings."""
    return written in (whole_fingerprint(module), _digest(module.config.model_dump(mode="json"), module))


def _digest(settings: Any, module: nn.Module) -> str:
    digest = hashlib.sha256(json.dumps(settings).encode())
    for name, weights in sorted(module.state_dict().items()):
        if weights.is_floating_point():
            digest.update(name.encode())
            digest.update(weights.detach().cpu().half().contiguous().numpy().tobytes())
    return digest.hexdigest()
