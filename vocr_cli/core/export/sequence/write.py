"""Writing a VietOCR model whole: a file for what is computed of a line, one for a step of the decoder.

`NAME.onnx`: input `images` (B, channels, H, W) float32 in 0..1, B and W free; output `memory`, which differs
by the sequence model. `NAME.decoder.onnx`: the inputs and outputs of one step, which `transformer_graphs.py`
and `gru_graphs.py` describe. The metadata entry "vocr" of the first describes the model, that of the second
says which file it belongs to.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from vocr_cli.core.decoding.decode_options import reading_options
from vocr_cli.core.export.onnx import OPSET, Feeds, backbone_nodes, quantize, require_packages
from vocr_cli.core.export.sequence.gru_graphs import GruMemory, GruStep
from vocr_cli.core.export.sequence.transformer_graphs import TransformerMemory, TransformerStep
from vocr_cli.core.inference.engines.backbones import whole_fingerprint
from vocr_cli.core.inference.engines.onnx import OnnxRuntimeModel, open_session
from vocr_cli.core.inference.engines.onnx_format import (
    DECODER,
    FINGERPRINT_KEY,
    MEMORY,
    METADATA_KEY,
    decoder_path,
    to_model_input,
)
from vocr_cli.core.inference.engines.onnx_sequence.decoder import named
from vocr_cli.core.inference.engines.onnx_sequence.engine import OnnxGraphs, make_decoder
from vocr_cli.core.inference.engines.onnx_sequence.greedy import greedy
from vocr_cli.core.inference.int8_companion import WEIGHTS_KEY
from vocr_cli.core.machine.atomic_write import atomic_write
from vocr_cli.core.models.description import FORMAT
from vocr_cli.core.models.files import ModelFile
from vocr_cli.core.models.vietocr.recognizer import VietocrRecognizer

Precision = Literal["fp32", "int8"]

DECODED_LINES = 32
"""Calibration lines that the decoder is run on, step by step."""

_DECODED_AT_ONCE = 8
_STEPS = 48


def has_graphs(model: ModelFile) -> bool:
    """Whether there are graphs for the model's sequence part."""
    module = model.module
    return isinstance(module, VietocrRecognizer) and module.config.sequence in ("transformer", "seq2seq")


def write_sequence(
    model: ModelFile,
    path: Path,
    precision: Precision,
    lines: Sequence[np.ndarray] = (),
    source_digest: str | None = None,
) -> tuple[Path, Path]:
    """Writes both files, each of which appears only when it is complete; the decoder's comes first.

    In int8 (static QDQ: Jacob et al., 2018) convolutions and products with weights become 8-bit, but for the
    first and the last convolution of the backbone and the class layer, whose results go on unrounded; so do
    the attention, norms and recurrent states.

    Args:
        model: What to write; `has_graphs` must hold.
        path: Of the first file.
        precision: Of both.
        lines: For int8, a few hundred lines from `fit_line`, (H, W, channels) uint8, like those to be read:
            they set the ranges of the activations.
        source_digest: `digest_of` the file that the model was loaded from.

    Raises:
        DependencyError: onnx or onnxruntime is not installed.
    """
    require_packages()
    assert isinstance(model.module, VietocrRecognizer)
    belongs = {"format": FORMAT, "precision": precision, FINGERPRINT_KEY: whole_fingerprint(model.module)}
    if source_digest is not None:
        belongs[WEIGHTS_KEY] = source_digest
    with tempfile.TemporaryDirectory() as folder:
        memory, step = Path(folder) / "memory.onnx", Path(folder) / "step.onnx"
        _trace_memory(model, memory)
        _trace_step(model.module, step)
        if precision == "int8":
            plain = OnnxGraphs(OnnxRuntimeModel(memory), open_session(step, 1))
            steps = list(_decoder_inputs(plain, model, lines[:DECODED_LINES]))
            images = ({"images": to_model_input(line[None])} for line in lines)
            memory, step = _quantized(memory, images), _quantized(step, steps)
        with atomic_write(decoder_path(path)) as temporary:
            _describe(step, temporary, {**belongs, "part": DECODER})
        with atomic_write(path) as temporary:
            _describe(memory, temporary, {**belongs, "part": MEMORY, **model.description()})
    return path, decoder_path(path)


def _trace_memory(model: ModelFile, path: Path) -> None:
    assert isinstance(model.module, VietocrRecognizer)
    is_transformer = model.module.config.sequence == "transformer"
    graph = TransformerMemory(model.module) if is_transformer else GruMemory(model.module)
    example = torch.rand((2, model.image.channels, model.image.height_px, 256))
    given = {"memory": {0: "lines", 1: "columns"}}
    _trace(graph, (example,), path, {"images": {0: "lines", 3: "width"}}, given)


def _trace_step(module: VietocrRecognizer, path: Path) -> None:
    """The example has more rows than lines: a graph for beams serves greedy search, too."""
    lines, rows, columns, held = 2, 4, 6, 3
    tokens, by_line = torch.ones(rows, dtype=torch.int64), {0: "lines", 1: "columns"}
    axes: dict[str, dict[int, str]] = {"tokens": {0: "rows"}}
    if module.config.sequence == "seq2seq":
        sizes = module.config.seq2seq
        width, outputs = sizes.decoder_hidden, 2 * sizes.encoder_hidden
        state, bias = torch.rand((rows, width)), torch.zeros((lines, 1, columns))
        kept = [torch.rand((lines, columns, outputs)), torch.rand((lines, columns, width))]
        axes |= {"state": {0: "rows"}, "column_bias": {0: "lines", 2: "columns"}}
        axes |= {"outputs": by_line, "keys": by_line}
        given = {"logits": {0: "rows"}, "new_state": {0: "rows"}}
        _trace(GruStep(module), (tokens, state, bias, *kept), path, axes, given)
        return
    heads, layers = module.config.transformer.heads, module.config.transformer.decoder_layers
    width = module.config.transformer.d_model // heads
    bias, column_bias = torch.zeros(held), torch.zeros((lines, 1, 1, columns))
    memory = [torch.rand((lines, heads, columns, width)) for _ in range(2 * layers)]
    tokens_held = [torch.rand((rows, heads, held, width)) for _ in range(2 * layers)]
    axes |= {"position": {}, "held_bias": {0: "held"}, "column_bias": {0: "lines", 3: "columns"}}
    axes |= {name: {0: "lines", 2: "columns"} for name in _names("memory", layers)}
    axes |= {name: {0: "rows", 2: "held"} for name in _names("held", layers)}
    given = {name: {0: "rows"} for name in ("logits", *_names("new", layers))}
    example = (tokens, torch.zeros(1, dtype=torch.int64), bias, column_bias, *memory, *tokens_held)
    _trace(TransformerStep(module), example, path, axes, given)


def _names(what: str, layers: int) -> list[str]:
    return list(named(what, [np.empty(0)] * 2 * layers))


def _trace(
    graph: nn.Module,
    example: tuple[Tensor, ...],
    path: Path,
    inputs: dict[str, dict[int, str]],
    outputs: dict[str, dict[int, str]],
) -> None:
    """Traces a graph; `inputs` and `outputs` name them in order, with their axes of free length."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter is deprecated, and tracing warns of fixed head counts
        torch.onnx.export(
            graph.eval(),
            example,
            str(path),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: axes for name, axes in (inputs | outputs).items() if axes},
            opset_version=OPSET,
            dynamo=False,
        )


def _decoder_inputs(graphs: OnnxGraphs, model: ModelFile, lines: Sequence[np.ndarray]) -> Iterator[Feeds]:
    """Reads lines greedily in fp32, and gives what every step was run on."""
    assert isinstance(model.module, VietocrRecognizer)
    config = model.module.config
    seen: list[Feeds] = []

    class Seen(OnnxGraphs):
        def step(self, feeds: Feeds) -> list[np.ndarray]:
            seen.append({name: array.copy() for name, array in feeds.items()})
            return super().step(feeds)

    options = reading_options(model.charset, config.specials).model_copy(update={"max_steps": _STEPS})
    noting = Seen(graphs.memory, graphs.session)
    ordered = sorted(lines, key=lambda line: line.shape[1])
    for start in range(0, len(ordered), _DECODED_AT_ONCE):
        memories = [graphs.memory.run(line[None]) for line in ordered[start : start + _DECODED_AT_ONCE]]
        decoder = make_decoder(noting, config, model.module.classes, _STEPS)
        decoder.start(memories)
        greedy(decoder, len(memories), options)
        yield from seen
        seen.clear()


def _quantized(plain: Path, inputs: Any) -> Path:
    out = plain.with_suffix(".int8.onnx")
    with np.errstate(invalid="ignore"):  # the ranges of masked scores, which are not quantised, end at -inf
        quantize(plain, out, inputs, _nodes_to_quantize)
    return out


def _nodes_to_quantize(file: Any) -> list[str]:
    """Convolutions but the first and the last; products with weights but the classes'."""
    nodes = list(file.graph.node)
    weights = {weight.name for weight in file.graph.initializer}
    outputs = {output.name for output in file.graph.output}
    products = [node for node in nodes if node.op_type in ("MatMul", "Gemm")]
    return backbone_nodes(file) + [
        node.name
        for node in products
        if weights.intersection(node.input) and not _gives_logits(node, nodes, outputs)
    ]


def _gives_logits(product: Any, nodes: Sequence[Any], outputs: set[str]) -> bool:
    """Whether a product, its bias added, is the output `logits`."""
    results = {*product.output}
    results |= {
        result
        for node in nodes
        if node.op_type == "Add" and results & {*node.input}
        for result in node.output
    }
    return "logits" in results & outputs


def _describe(written: Path, out: Path, description: dict[str, Any]) -> None:
    import onnx

    file = onnx.load(str(written))
    onnx.helper.set_model_props(file, {METADATA_KEY: json.dumps(description, ensure_ascii=False)})
    onnx.save(file, str(out))
