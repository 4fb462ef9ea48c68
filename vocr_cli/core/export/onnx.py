"""Writing ONNX files: fp32, or int8 calibrated on lines. B lines, H and W px, T columns, C classes.

Input `images` (B, channels, H, W) float32 in 0..1, output `logits` (B, T, C); B and W are free, W up to the
model's limit. The metadata entry "vocr" describes the model as a model file does. Of a VietOCR model only the
backbone is written, its output `features` (B, S, D).
"""

from __future__ import annotations

import json
import logging
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vocr_cli.core.errors import DependencyError, ModelError
from vocr_cli.core.export.folded import LeanRecognizer
from vocr_cli.core.inference.engines.backbones import BACKBONE, LineFeatures, fingerprint
from vocr_cli.core.inference.engines.base import CtcEngine, Engine
from vocr_cli.core.inference.engines.onnx import METADATA_KEY, to_model_input
from vocr_cli.core.inference.engines.vietocr import Seq2SeqEngine
from vocr_cli.core.inference.recognizer import Reading, Recognizer
from vocr_cli.core.machine.atomic_write import atomic_write
from vocr_cli.core.models.ctc import CtcRecognizer
from vocr_cli.core.models.files import FORMAT, ModelFile
from vocr_cli.core.models.vietocr.recognizer import VietocrRecognizer

OPSET = 18
FP32_TOLERANCE = 1e-3
"""Largest difference of a logit between the source and a file in fp32: rounding, nothing more."""


@dataclass(frozen=True)
class Agreement:
    """How a written file compares with its source on the same lines.

    Attributes:
        lines: How many were compared.
        largest_difference: Of any logit, or feature of a VietOCR model, absolute.
        same_texts: Lines that read the same.
    """

    lines: int
    largest_difference: float
    same_texts: int


def write_onnx(model: ModelFile, path: Path) -> None:
    """Writes the model in fp32; the file appears only when it is complete.

    Raises:
        DependencyError: onnx or onnxruntime is not installed.
    """
    _require_packages()
    with atomic_write(path) as temporary:
        _export(model, temporary)
        _describe(temporary, model, "fp32")


def write_int8(model: ModelFile, path: Path, lines: Sequence[np.ndarray]) -> None:
    """Writes the model with 8-bit weights and activations (static QDQ: Jacob et al., 2018, as ONNX has it).

    Convolutions, the additions and ReLUs between them, and products with weights become 8-bit, weights per
    output channel; attention and norms stay in floating point, being cheap and sensitive. So does the last
    convolution of a VietOCR model's backbone: what it gives goes on unrounded.

    Args:
        model: What to write.
        path: The file appears only when it is complete.
        lines: A few hundred lines from `fit_line`, (H, W, channels) uint8, like those to be read: they set
            the ranges of the activations.

    Raises:
        DependencyError: onnx or onnxruntime is not installed.
    """
    _require_packages()
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    choose = _backbone_nodes if isinstance(model.module, VietocrRecognizer) else _nodes_to_quantize
    logging.getLogger("root").setLevel(logging.ERROR)  # its advice is about the options chosen here
    with atomic_write(path) as temporary, tempfile.TemporaryDirectory() as folder:
        plain, prepared = Path(folder) / "plain.onnx", Path(folder) / "prepared.onnx"
        _export(model, plain)
        quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(temporary),
            _calibration(lines),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=choose(onnx.load(str(prepared))),
            extra_options={"OpTypesToExcludeOutputQuantization": ["MatMul"]},  # their sums go on in fp32
        )
        _describe(temporary, model, "int8")


def compare(source: Recognizer, written: Recognizer, lines: Sequence[np.ndarray]) -> Agreement:
    """Reads the same lines, each (H, W, channels) uint8, with both."""
    difference = 0.0
    same = 0
    for line in lines:
        given = [_output(recognizer.engine, line) for recognizer in (source, written)]  # each (1, T, C)
        difference = max(difference, float((given[0] - given[1]).abs().max()))
        texts = [_read(recognizer, line).text for recognizer in (source, written)]
        same += texts[0] == texts[1]
    return Agreement(len(lines), difference, same)


def check_fp32(agreement: Agreement, path: Path) -> None:
    """Takes the file away where it does not compute what its source computes.

    Raises:
        ModelError: It does not.
    """
    if agreement.largest_difference > FP32_TOLERANCE:
        path.unlink(missing_ok=True)
        raise ModelError(
            f"{path}: its logits differ from the model's by {agreement.largest_difference:.3g}; removed.",
            "Update torch and onnxruntime, then export again.",
        )


def _output(engine: Engine, line: np.ndarray) -> torch.Tensor:
    """Logits, or the features of a VietOCR model."""
    assert isinstance(engine, CtcEngine | Seq2SeqEngine)
    lines = np.stack([line])
    output = engine.logits(lines) if isinstance(engine, CtcEngine) else engine.features(lines)
    return output.float().cpu()


def _read(recognizer: Recognizer, line: np.ndarray) -> Reading:
    return recognizer.read_fitted([line])[0]


def _require_packages() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError:
        raise DependencyError(
            "Writing ONNX files needs onnx and onnxruntime.", "Install them: pip install 'vocr[onnx]'"
        ) from None


def _export(model: ModelFile, path: Path) -> None:
    """Traces the module; torch's newer exporter would need one package more and gains nothing here."""
    example = torch.zeros(2, model.image.channels, model.image.height_px, 256)
    output = "features" if isinstance(model.module, VietocrRecognizer) else "logits"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter is deprecated, and tracing warns of fixed head counts
        torch.onnx.export(
            _exported(model).eval(),
            (example,),
            str(path),
            input_names=["images"],
            output_names=[output],
            dynamic_axes={"images": {0: "lines", 3: "width"}, output: {0: "lines", 1: "columns"}},
            opset_version=OPSET,
            dynamo=False,
        )


def _exported(model: ModelFile) -> torch.nn.Module:
    if isinstance(model.module, VietocrRecognizer):
        return LineFeatures(model.module)
    assert isinstance(model.module, CtcRecognizer)
    return LeanRecognizer(model.module, model.image)


def _describe(path: Path, model: ModelFile, precision: str) -> None:
    import onnx

    description = {
        "format": FORMAT,
        "precision": precision,
        "model": model.config.model_dump(mode="json"),
        "image": model.image.model_dump(mode="json"),
        "charset": model.charset.characters,
        "provenance": model.provenance,
        "scores": model.scores,
    }
    if isinstance(model.module, VietocrRecognizer):
        description |= {"part": BACKBONE, "fingerprint": fingerprint(model.module)}
    graph = onnx.load(str(path))
    onnx.helper.set_model_props(graph, {METADATA_KEY: json.dumps(description, ensure_ascii=False)})
    onnx.save(graph, str(path))


def _nodes_to_quantize(graph: Any) -> list[str]:
    nodes = list(graph.graph.node)
    weights = {weight.name for weight in graph.graph.initializer}
    first_norm = next(
        (place for place, node in enumerate(nodes) if node.op_type == "LayerNormalization"), len(nodes)
    )
    chosen = [node.name for node in nodes[:first_norm] if node.op_type in ("Conv", "Relu", "Add")]
    products = [node.name for node in nodes if node.op_type == "MatMul" and weights.intersection(node.input)]
    return chosen + products


def _backbone_nodes(graph: Any) -> list[str]:
    nodes = list(graph.graph.node)
    last = max(place for place, node in enumerate(nodes) if node.op_type == "Conv")
    return [node.name for node in nodes[:last] if node.op_type in ("Conv", "Relu", "Add", "MaxPool")]


def _calibration(lines: Sequence[np.ndarray]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Lines(CalibrationDataReader):
        def __init__(self) -> None:
            self._left = iter(lines)

        def get_next(self) -> dict[str, np.ndarray] | None:
            line = next(self._left, None)
            return None if line is None else {"images": to_model_input(line[None])}

    return Lines()
