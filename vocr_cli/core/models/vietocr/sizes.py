"""Which VietOCR model a set of tensors is, told by their names and shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from vocr_cli.core.errors import ModelError
from vocr_cli.core.models.vietocr.vgg import VGG_CONVOLUTIONS

_FOREIGN = "Give weights that VietOCR saved, with a backbone of vgg11_bn, vgg19_bn or resnet50."


def read_sizes(tensors: Mapping[str, Tensor], path: Path) -> tuple[dict[str, Any], int]:
    """Backbone, sequence model and every size that shows in a shape. Heads, pools and dropouts do not.

    Args:
        tensors: By VietOCR's names.
        path: Names the file in errors.

    Returns:
        Settings of a `VietocrConfig`, those of the sequence model inside, and C.

    Raises:
        ModelError: They are of another project, or of a part of VietOCR that is not supported.
    """
    shapes = {key: tuple(value.shape) for key, value in tensors.items()}
    if not any(key.startswith("cnn.model.") for key in shapes) or not any(
        key.startswith("transformer.") for key in shapes
    ):
        raise ModelError(f"{path} holds another project's weights ({next(iter(shapes))}, …).", _FOREIGN)
    try:
        backbone, hidden = _backbone(shapes, path)
        sequence, sizes, classes = _sequence(shapes, path)
    except (KeyError, IndexError, ValueError) as error:
        raise ModelError(f"{path} is not a whole VietOCR model: no usable {error}.", _FOREIGN) from None
    return {"backbone": backbone, "hidden": hidden, "sequence": sequence, sequence: sizes}, classes


def _backbone(shapes: Mapping[str, tuple[int, ...]], path: Path) -> tuple[str, int]:
    if "cnn.model.conv4_2.weight" in shapes:
        return "resnet50", shapes["cnn.model.conv4_2.weight"][0]
    count = sum(len(shape) == 4 for key, shape in shapes.items() if key.startswith("cnn.model.features."))
    if count not in VGG_CONVOLUTIONS:
        raise ModelError(f"{path} has a backbone that is not supported.", _FOREIGN)
    return VGG_CONVOLUTIONS[count], shapes["cnn.model.last_conv_1x1.weight"][0]


def _sequence(shapes: Mapping[str, tuple[int, ...]], path: Path) -> tuple[str, dict[str, int], int]:
    """Its name, sizes and C."""
    if "transformer.embed_tgt.weight" in shapes:
        return "transformer", *_transformer(shapes)
    if "transformer.encoder.rnn.weight_ih_l0" in shapes:
        return "seq2seq", *_seq2seq(shapes)
    if "transformer.encoder.convs.0.weight" in shapes:
        return "convseq2seq", *_convseq2seq(shapes)
    raise ModelError(f"{path} has a sequence model that is not supported.", _FOREIGN)


def _transformer(shapes: Mapping[str, tuple[int, ...]]) -> tuple[dict[str, int], int]:
    classes, width = shapes["transformer.embed_tgt.weight"]
    sizes = {
        "d_model": width,
        "encoder_layers": _count(shapes, "transformer.transformer.encoder.layers"),
        "decoder_layers": _count(shapes, "transformer.transformer.decoder.layers"),
        "feed_forward": shapes["transformer.transformer.encoder.layers.0.linear1.weight"][0],
    }
    table = shapes.get("transformer.pos_enc.pe")
    return sizes | ({"positions": table[0]} if table else {}), classes


def _seq2seq(shapes: Mapping[str, tuple[int, ...]]) -> tuple[dict[str, int], int]:
    classes, embedding = shapes["transformer.decoder.embedding.weight"]
    encoder = shapes["transformer.encoder.rnn.weight_hh_l0"][1]
    decoder = shapes["transformer.decoder.rnn.weight_hh_l0"][1]
    return {"encoder_hidden": encoder, "decoder_hidden": decoder, "embedding": embedding}, classes


def _convseq2seq(shapes: Mapping[str, tuple[int, ...]]) -> tuple[dict[str, int], int]:
    classes, embedding = shapes["transformer.decoder.tok_embedding.weight"]
    _, hidden, encoder_kernel = shapes["transformer.encoder.convs.0.weight"]
    sizes = {
        "embedding": embedding,
        "hidden": hidden,
        "encoder_layers": _count(shapes, "transformer.encoder.convs"),
        "decoder_layers": _count(shapes, "transformer.decoder.convs"),
        "encoder_kernel": encoder_kernel,
        "decoder_kernel": shapes["transformer.decoder.convs.0.weight"][2],
        "encoder_positions": shapes["transformer.encoder.pos_embedding.weight"][0],
        "decoder_positions": shapes["transformer.decoder.pos_embedding.weight"][0],
    }
    return sizes, classes


def _count(shapes: Mapping[str, tuple[int, ...]], stem: str) -> int:
    """Layers under a name."""
    numbers = (re.match(rf"{re.escape(stem)}\.(\d+)\.", key) for key in shapes)
    return len({found[1] for found in numbers if found})
