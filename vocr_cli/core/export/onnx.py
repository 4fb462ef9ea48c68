"""Writing ONNX files: fp32, or int8 calibrated on lines. B lines, H and W px, T columns, C classes.

Input `images` (B, channels, H, W) float32 in 0..1, or in int8 files of the `ctc` family blocks of bytes, (B,
H/2, W/2, 4 × channels) uint8; output `logits` (B, T, C); B and W are free, W up to the model's limit. The
metadata entry "vocr" describes the model as a model file does. Of a VietOCR model only the
backbone is written, its output `features` (B, S, D).
"""

from __future__ import annotations

import json
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from vocr_cli.core.errors import DependencyError
from vocr_cli.core.export.folded import FoldedRecognizer
from vocr_cli.core.export.stem_blocks import ZERO_POINT, BlockRecognizer, feed_bytes, takes_blocks
from vocr_cli.core.inference.engines.backbones import LineFeatures, fingerprint
from vocr_cli.core.inference.engines.onnx_format import BACKBONE, METADATA_KEY, to_blocks, to_model_input
from vocr_cli.core.inference.int8_companion import WEIGHTS_KEY
from vocr_cli.core.machine.atomic_write import atomic_write
from vocr_cli.core.models.ctc import CtcRecognizer
from vocr_cli.core.models.description import FORMAT
from vocr_cli.core.models.files import ModelFile
from vocr_cli.core.models.vietocr.recognizer import VietocrRecognizer

OPSET = 18

Feeds = dict[str, np.ndarray]
"""Inputs of a graph by name."""


def write_onnx(model: ModelFile, path: Path) -> None:
    """Writes the model in fp32; the file appears only when it is complete.

    Raises:
        DependencyError: onnx or onnxruntime is not installed.
    """
    require_packages()
    graph = _graph(model, "fp32")
    with atomic_write(path) as temporary:
        _trace(graph, model, temporary)
        _describe(temporary, graph, model, "fp32")


def write_int8(
    model: ModelFile, path: Path, lines: Sequence[np.ndarray], source_digest: str | None = None
) -> None:
    """Writes the model with 8-bit weights and activations (static QDQ: Jacob et al., 2018, as ONNX has it).

    Convolutions, the additions and ReLUs between them, and products with weights become 8-bit, weights per
    output channel; attention and norms stay in floating point, being cheap and sensitive. So does the last
    convolution of a VietOCR model's backbone: what it gives goes on unrounded.

    Args:
        model: What to write.
        path: The file appears only when it is complete.
        lines: A few hundred lines from `fit_line`, (H, W, channels) uint8, like those to be read: they set
            the ranges of the activations.
        source_digest: `digest_of` the file that the model was loaded from. Unasked, the file written is read
            in place of that one alone. None: in place of none.

    Raises:
        DependencyError: onnx or onnxruntime is not installed.
    """
    require_packages()
    graph = _graph(model, "int8")
    with atomic_write(path) as temporary, tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.onnx"
        _trace(graph, model, plain)
        inputs = [{"images": graph.to_input(line[None])} for line in lines]
        quantize(plain, temporary, inputs, graph.nodes_to_quantize)
        _describe(temporary, graph, model, "int8", source_digest)


def quantize(
    plain: Path, out: Path, inputs: Iterable[Feeds], nodes_to_quantize: Callable[[Any], list[str]]
) -> None:
    """Writes a file with 8-bit weights and activations.

    Args:
        plain: The file in fp32.
        out: What is written.
        inputs: What the graph is run on to find the ranges of its activations, by name.
        nodes_to_quantize: An ONNX file to the names of its nodes that become 8-bit.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    logging.getLogger("root").setLevel(logging.ERROR)  # its advice is about the options chosen here
    prepared = plain.with_suffix(".prepared.onnx")
    quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
    quantize_static(
        str(prepared),
        str(out),
        _calibration(inputs),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_quantize=nodes_to_quantize(onnx.load(str(prepared))),
        # Their sums go on in fp32.
        extra_options={"OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"]},
    )


def _finish_nothing(file: Any) -> None:
    """Leaves a quantised file as it is."""


def require_packages() -> None:
    """Asks for what writing takes.

    Raises:
        DependencyError: onnx or onnxruntime is not installed.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError:
        raise DependencyError(
            "Writing ONNX files needs onnx and onnxruntime.", "Install them: pip install 'vocr-cli[onnx]'"
        ) from None


def _trace(graph: _Graph, model: ModelFile, path: Path) -> None:
    """Traces the module; torch's newer exporter would need one package more and gains nothing here."""
    line = np.zeros((2, model.image.height_px, 256, model.image.channels), np.uint8)
    example = torch.from_numpy(graph.to_input(line))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter is deprecated, and tracing warns of fixed head counts
        torch.onnx.export(
            graph.module.eval(),
            (example,),
            str(path),
            input_names=["images"],
            output_names=[graph.output],
            dynamic_axes={
                "images": {0: "lines", graph.width_axis: "width"},
                graph.output: {0: "lines", 1: "columns"},
            },
            opset_version=OPSET,
            dynamo=False,
        )


def _describe(
    path: Path, graph: _Graph, model: ModelFile, precision: str, source_digest: str | None = None
) -> None:
    import onnx

    weights = {} if source_digest is None else {WEIGHTS_KEY: source_digest}
    own = {"format": FORMAT, "precision": precision, **weights}
    description = {**own, **model.description(), **graph.description}
    file = onnx.load(str(path))
    if precision == "int8":
        graph.finish(file)
    onnx.helper.set_model_props(file, {METADATA_KEY: json.dumps(description, ensure_ascii=False)})
    onnx.save(file, str(path))


@dataclass(frozen=True)
class _Graph:
    """What is written of a model.

    Attributes:
        module: What is traced: images to `output`, lines first.
        output: The name of the output.
        nodes_to_quantize: An ONNX file to the names of its nodes that become 8-bit.
        description: What the metadata say besides.
        to_input: Lines, (B, H, W, channels) uint8, to what `module` takes, float32.
        width_axis: Of that, the axis that is as long as a line is wide, or in proportion.
        finish: Changes a quantised file in place.
    """

    module: nn.Module
    output: str
    nodes_to_quantize: Callable[[Any], list[str]]
    description: dict[str, str]
    to_input: Callable[[np.ndarray], np.ndarray] = to_model_input
    width_axis: int = 3
    finish: Callable[[Any], None] = _finish_nothing


def _graph(model: ModelFile, precision: Literal["fp32", "int8"]) -> _Graph:
    """What is written of a model: all of it, as it is, where its family has no other way."""
    return _GRAPHS.get(model.config.family, _plain_graph)(model, precision)


def _plain_graph(model: ModelFile, precision: str) -> _Graph:
    return _Graph(model.module, "logits", _nodes_to_quantize, {})


def _folded_graph(model: ModelFile, precision: str) -> _Graph:
    assert isinstance(model.module, CtcRecognizer)
    if precision == "int8" and takes_blocks(model.module, model.image):
        return _Graph(
            BlockRecognizer(model.module, model.image),
            "logits",
            _nodes_to_quantize,
            {},
            to_input=lambda lines: (to_blocks(lines).astype(np.float32) - ZERO_POINT) / np.float32(255),
            width_axis=2,
            finish=feed_bytes,
        )
    return _Graph(FoldedRecognizer(model.module, model.image), "logits", _nodes_to_quantize, {})


def _backbone_graph(model: ModelFile, precision: str) -> _Graph:
    assert isinstance(model.module, VietocrRecognizer)
    description = {"part": BACKBONE, "fingerprint": fingerprint(model.module)}
    return _Graph(LineFeatures(model.module), "features", backbone_nodes, description)


_GRAPHS: dict[str, Callable[[ModelFile, str], _Graph]] = {"ctc": _folded_graph, "vietocr": _backbone_graph}


def _nodes_to_quantize(file: Any) -> list[str]:
    nodes = list(file.graph.node)
    weights = {weight.name for weight in file.graph.initializer}
    first_norm = next(
        (index for index, node in enumerate(nodes) if node.op_type == "LayerNormalization"), len(nodes)
    )
    chosen = [node.name for node in nodes[:first_norm] if node.op_type in ("Conv", "Relu", "Add")]
    products = [
        node.name for node in nodes if node.op_type in ("MatMul", "Gemm") and weights.intersection(node.input)
    ]
    return chosen + products


def backbone_nodes(file: Any) -> list[str]:
    """The nodes of a VietOCR backbone that become 8-bit: what stands between its first and last convolution.

    The first one sees paper, nearly 1 everywhere, so that what rounding takes from a weight is not averaged
    out: it moves a whole channel. It makes up under 1 % of the products, and four fifths of the error.
    """
    nodes = list(file.graph.node)
    convolutions = [index for index, node in enumerate(nodes) if node.op_type == "Conv"]
    if len(convolutions) < 2:
        return []
    between = nodes[convolutions[0] + 1 : convolutions[-1]]
    return [node.name for node in between if node.op_type in ("Conv", "Relu", "Add", "MaxPool")]


def _calibration(inputs: Iterable[Feeds]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Inputs(CalibrationDataReader):
        def __init__(self) -> None:
            self._left = iter(inputs)

        def get_next(self) -> Feeds | None:
            return next(self._left, None)

    return Inputs()
