"""The first convolution of a model over blocks of 2×2 px, fed with the bytes of an image.

A 3×3 convolution of stride 2 over one grey channel multiplies nine numbers for each output: runtimes spend
most of its time on gathering them. Over blocks of 2×2 px as channels (space to depth; Shi et al., 2016, call
the reverse pixel shuffle) it is a 2×2 convolution of stride 1, of the same sums, in a quarter of the time.
The image enters as uint8, so nothing is converted or quantised on the way.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vocr_cli.core.config.image import ImageConfig
from vocr_cli.core.export.folded import FoldedRecognizer
from vocr_cli.core.models.ctc import CtcRecognizer

ZERO_POINT = 128
"""The byte that stands for 0; the model's is 127.5, which the bias makes good."""

INPUT = "images"


def takes_blocks(model: CtcRecognizer, image: ImageConfig) -> bool:
    """Whether lines of the model divide into blocks, and its first convolution halves both sides."""
    stem = model.trunk[0]
    assert isinstance(stem, nn.Sequential)
    conv = stem[0]
    return conv.stride == (2, 2) and conv.kernel_size == (3, 3) and image.width_multiple_px % 2 == 0


class BlockRecognizer(FoldedRecognizer):
    """A `FoldedRecognizer` whose input are blocks: (B, H/2, W/2, 4 × channels) to (B, T, C).

    Values are (byte - `ZERO_POINT`) / 255; the channels of a block are those of `to_blocks`.

    Args:
        model: In evaluation mode; `takes_blocks` says whether it fits.
        image: Its width limit sizes the tables.
    """

    def __init__(self, model: CtcRecognizer, image: ImageConfig) -> None:
        super().__init__(model, image)
        stem, *others = model.trunk
        assert isinstance(stem, nn.Sequential)
        self.trunk = nn.Sequential(_block_stem(stem), *others)

    def forward(self, images: Tensor) -> Tensor:
        """(B, H/2, W/2, 4 × channels) float to (B, T, C) logits."""
        return self.read(self.trunk(images.permute(0, 3, 1, 2)))


def _block_stem(stem: nn.Sequential) -> nn.Sequential:
    """The first convolution, its BatchNorm folded, over blocks."""
    conv, norm, activation = stem
    assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    fused = fuse_conv_bn_eval(conv, norm)
    assert fused.bias is not None
    outputs, channels = fused.weight.shape[:2]
    # Rows 2y - 2 to 2y + 1 lie in two blocks; the first row and column of the four are not the kernel's.
    window = torch.zeros(outputs, channels, 4, 4)
    window[:, :, 1:, 1:] = fused.weight.detach()
    # (outputs, channels, block row, row in it, block column, column in it)
    blocks = window.view(outputs, channels, 2, 2, 2, 2).permute(0, 1, 3, 5, 2, 4)
    block_conv = nn.Conv2d(4 * channels, outputs, 2)
    with torch.no_grad():
        block_conv.weight.copy_(blocks.reshape(outputs, 4 * channels, 2, 2))
        shift = (ZERO_POINT - 127.5) / 255
        block_conv.bias.copy_(fused.bias + shift * fused.weight.sum(dim=(1, 2, 3)))  # type: ignore[union-attr]
    return nn.Sequential(nn.ZeroPad2d((1, 0, 1, 0)), block_conv, activation)


def feed_bytes(file: Any) -> None:
    """Has a quantised ONNX graph of a `BlockRecognizer` take uint8, in place.

    The padding becomes an attribute of the convolution, and what quantised its input is taken out.

    Args:
        file: An `onnx.ModelProto` in QDQ format.
    """
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    graph = file.graph
    conv = next(node for node in graph.node if node.op_type == "Conv")
    maker = {output: node for node in graph.node for output in node.output}
    dequantize, removed = maker[conv.input[0]], []
    node = dequantize
    while node.input[0] in maker:  # back over the padding to the transposition of the input
        removed.append(node)
        node = maker[node.input[0]]
    transpose = node
    assert transpose.op_type == "Transpose" and {each.op_type for each in removed} <= {
        "DequantizeLinear", "QuantizeLinear", "Pad",
    }, [each.op_type for each in removed]  # fmt: skip
    old_scale = _stored(graph, dequantize.input[1])
    for each in removed:
        graph.node.remove(each)
    graph.initializer.append(numpy_helper.from_array(np.array(1 / 255, np.float32), "byte_scale"))
    graph.initializer.append(numpy_helper.from_array(np.array(ZERO_POINT, np.uint8), "byte_zero_point"))
    fed = helper.make_node(
        "DequantizeLinear",
        [transpose.output[0], "byte_scale", "byte_zero_point"],
        ["bytes_dequantized"],
        name="bytes",
    )
    graph.node.insert(list(graph.node).index(transpose) + 1, fed)
    conv.input[0] = "bytes_dequantized"
    (pads,) = (attribute for attribute in conv.attribute if attribute.name == "pads")
    pads.ints[:] = [1, 1, 0, 0]
    _rescale_bias(graph, maker[conv.input[2]], np.float32(1 / 255) / old_scale)
    (images,) = (entry for entry in graph.input if entry.name == INPUT)
    images.type.tensor_type.elem_type = TensorProto.UINT8
    for entry in [each for each in graph.value_info if each.name == transpose.output[0]]:
        graph.value_info.remove(entry)  # it says float
    used = {name for node in graph.node for name in node.input}
    for entry in [each for each in graph.initializer if each.name not in used]:
        graph.initializer.remove(entry)


def _rescale_bias(graph: Any, dequantize: Any, factor: Any) -> None:
    """Writes a convolution's bias anew, which is stored in units of its input's scale times its weights'."""
    from onnx import numpy_helper

    numbers, scale = (_stored(graph, name) for name in dequantize.input[:2])
    for name, value in (
        (dequantize.input[0], (numbers / factor).round().astype(numbers.dtype)),
        (dequantize.input[1], (scale * factor).astype(scale.dtype)),
    ):
        (entry,) = (each for each in graph.initializer if each.name == name)
        entry.CopyFrom(numpy_helper.from_array(value, name))


def _stored(graph: Any, name: str) -> Any:
    """The array of an initializer."""
    from onnx import numpy_helper

    (entry,) = (each for each in graph.initializer if each.name == name)
    return numpy_helper.to_array(entry)
