"""Labelled lines read with a model before or after its training, for its CER. N lines."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from vocr_cli.core.config.tree import Config
from vocr_cli.core.data.images.open_image import open_line
from vocr_cli.core.data.loader.lines import Lines
from vocr_cli.core.inference.recognizer import Recognizer
from vocr_cli.core.models.files import ModelFile, build_module
from vocr_cli.core.text import Charset
from vocr_cli.core.training.initial_weights import load_init, transfer

_READ_TOGETHER = 256


@dataclass(frozen=True)
class LinesRead:
    """What lines say, and what was read.

    Attributes:
        labels: N texts.
        texts: N readings.
    """

    labels: tuple[str, ...]
    texts: tuple[str, ...]


def read_lines(model: ModelFile, store: Lines, device: str, threads: int) -> LinesRead:
    """Read all lines in fp32."""
    recognizer = Recognizer.of(model, device, "fp32", threads)
    labels, texts = [], []
    for start in range(0, len(store), _READ_TOGETHER):
        lines = [store[index] for index in range(start, min(start + _READ_TOGETHER, len(store)))]
        labels += [line.text for line in lines]
        texts += [reading.text for reading in recognizer.read([open_line(line.image) for line in lines])]
    return LinesRead(tuple(labels), tuple(texts))


def untrained_model(config: Config, init: str | None) -> ModelFile:
    """Return what a training of this config starts from.

    Args:
        config: Of the run, its charset and seed included.
        init: A model to start from; None: random weights.

    Raises:
        ModelError: There is no such model, or it does not fit the config.
    """
    torch.manual_seed(config.train.seed)
    charset = Charset(config.charset.characters)
    module = build_module(config.model, config.image, charset)
    if init is not None:
        transfer(load_init(init, config), module, charset, config)
    return ModelFile(module.eval(), config.model, config.image, charset)
