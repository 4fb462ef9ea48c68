"""Tiny sequence models with random weights, without the backbone that nobody looks through here."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace

import torch

from vocr_cli.core.config.families import ConvSeq2SeqConfig, Seq2SeqConfig, TransformerConfig, VietocrConfig
from vocr_cli.core.models.vietocr.convseq2seq import ConvSeq2Seq
from vocr_cli.core.models.vietocr.language_transformer import LanguageTransformer
from vocr_cli.core.models.vietocr.seq2seq import Seq2Seq

TRANSFORMER = TransformerConfig(
    d_model=16, heads=2, encoder_layers=1, decoder_layers=2, feed_forward=24, positions=64
)
RECURRENT = Seq2SeqConfig(encoder_hidden=8, decoder_hidden=12, embedding=10)
CONVOLUTION = ConvSeq2SeqConfig(
    embedding=16,
    hidden=12,
    encoder_layers=2,
    decoder_layers=3,
    decoder_kernel=4,
    encoder_positions=20,
    decoder_positions=64,
)


@cache
def _made(sequence: str, classes: int) -> SimpleNamespace:
    config = VietocrConfig(
        backbone="vgg11_bn",
        sequence=sequence,
        hidden=16,
        transformer=TRANSFORMER,
        seq2seq=RECURRENT,
        convseq2seq=CONVOLUTION,
    )
    transformer = {
        "transformer": lambda: LanguageTransformer(TRANSFORMER, classes),
        "seq2seq": lambda: Seq2Seq(RECURRENT, 16, classes),
        "convseq2seq": lambda: ConvSeq2Seq(CONVOLUTION, classes),
    }[sequence]()
    return SimpleNamespace(config=config, transformer=transformer.eval())


def tiny(sequence: str, classes: int = 12, seed: int = 0) -> SimpleNamespace:
    """A model of width 16 whose weights and biases are random, and stay so until the next call."""
    model = _made(sequence, classes)
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.transformer.named_parameters():
            scale = 0.4 if parameter.dim() == 1 else parameter[0].numel() ** -0.5
            if name in ("fc.weight", "decoder.fc_out.weight"):
                scale *= 6  # some classes are likelier than others, the end among them
            parameter.copy_(torch.randn(parameter.shape, generator=source) * scale)
    return model
