"""VietOCR models with random weights, small enough for tests, that read different lines differently."""

from __future__ import annotations

import numpy as np
import torch
from conftest import line_image

from vocr_cli.core.config.families import ConvSeq2SeqConfig, Seq2SeqConfig, TransformerConfig, VietocrConfig
from vocr_cli.core.data.images.fit import fit_line
from vocr_cli.core.models.files import ModelFile
from vocr_cli.core.models.vietocr.constants import EOS, VIETOCR_IMAGE
from vocr_cli.core.models.vietocr.recognizer import VietocrRecognizer
from vocr_cli.core.text import Charset

CHARACTERS = "abcdefghijklmno 0123456789"
SEEDS = {"transformer": 3, "seq2seq": 2, "convseq2seq": 2}  # of models whose texts differ, some with an end


def make_model(sequence: str = "transformer", backbone: str = "resnet50", specials: int = 4) -> ModelFile:
    """Its batch statistics are those of a few lines, its attention is sharp, so that lines differ for it."""
    torch.manual_seed(SEEDS[sequence])
    width = 16
    config = VietocrConfig.model_validate(
        {
            "backbone": backbone,
            "sequence": sequence,
            "hidden": width,
            "specials": specials,
            "transformer": TransformerConfig(
                d_model=width, heads=2, encoder_layers=1, decoder_layers=1, feed_forward=32, positions=200
            ),
            "seq2seq": Seq2SeqConfig(encoder_hidden=width, decoder_hidden=width, embedding=width),
            "convseq2seq": ConvSeq2SeqConfig(
                embedding=width, hidden=width, encoder_layers=2, decoder_layers=2
            ),
        }
    )
    charset = Charset(CHARACTERS)
    module = VietocrRecognizer(config, VIETOCR_IMAGE, len(charset) + specials)
    lines = np.stack([fit_line(line_image(seed, 90), VIETOCR_IMAGE) for seed in range(12)])
    with torch.no_grad():
        for layer in module.cnn.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.momentum = 1.0
                layer.bias.uniform_(-0.3, 0.3)
                layer.weight.uniform_(1.0, 2.0)
            if isinstance(layer, torch.nn.Dropout):
                layer.p = 0.0
        module.features(torch.from_numpy(lines).permute(0, 3, 1, 2).float() / 255)
        for name, weights in module.transformer.named_parameters():
            if "in_proj" in name or "attn" in name or "rnn" in name or "embedding" in name:
                weights.mul_(4)
            if name in ("fc.weight", "decoder.fc_out.weight"):
                weights.normal_(0, 1.5)
                weights[[0, 1, *range(3, specials)]] = 0
            if name in ("fc.bias", "decoder.fc_out.bias"):
                weights.zero_()
                weights[:specials] = -30
                weights[EOS] = 7.0
    return ModelFile(module.eval(), config, VIETOCR_IMAGE, charset)
