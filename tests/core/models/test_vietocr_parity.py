"""VietOCR's own answers, made by benchmarks/peers/vietocr/golden.py, against ours from the same weights.

The golden files hold no weights, images or tokens: both sides make them by the formulas below. Backbones and
the batch are of seed 0, the single line of seed 1; the file names the seed of the sequence model.
"""

from __future__ import annotations

import json
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from vocr_cli.core.decoding.beam import beam_search
from vocr_cli.core.decoding.decode_options import DecodeOptions
from vocr_cli.core.decoding.greedy import greedy
from vocr_cli.core.decoding.incremental import make_incremental_decoder
from vocr_cli.core.models.vietocr.constants import EOS, VIETOCR_IMAGE
from vocr_cli.core.models.vietocr.recognizer import VietocrRecognizer
from vocr_cli.core.models.vietocr.yaml_config import read_vietocr_yaml

GOLDEN = sorted((Path(__file__).parents[2] / "golden" / "vietocr").glob("*.npz"))
GAINS = {
    "embed_tgt": 4.0, "in_proj": 1.2, "out_proj": 0.2, "linear2": 0.3,
    "decoder.embedding": 12.0, ".rnn.": 1.0, "attention.": 2.0,
    "pos_embedding": 2.0, "hid2emb": 0.8, "conv2.weight": 0.5, "last_conv": 2.0,
}  # fmt: skip


def filled(key: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """The weight of that name: uniform, variance 2 gain² / fan-in; norms near 1, variances 0.5..1.5."""
    noise = np.random.RandomState(zlib.crc32(f"{seed} {key}".encode())).random_sample(shape) - 0.5
    if key.endswith("running_var"):
        return (noise + 1).astype(np.float32)
    if len(shape) == 1:
        return (0.4 * noise + (1 if key.endswith("weight") else 0)).astype(np.float32)
    gain = next((gain for part, gain in GAINS.items() if part in key), 1.0)
    return (noise * gain * np.sqrt(24 / np.prod(shape[1:]))).astype(np.float32)


def pattern(lines: int, width_px: int, seed: int) -> torch.Tensor:
    """(lines, 3, 32, width) float32, 0..1: blocks of 8 × 5 px, each of its own colour."""
    coarse = np.random.RandomState(seed).randint(0, 256, (lines, 3, 4, width_px // 5))
    return torch.from_numpy((np.repeat(np.repeat(coarse, 8, axis=2), 5, axis=3) / 255).astype(np.float32))


def tokens(lines: int, steps: int, seed: int, classes: int) -> torch.Tensor:
    """(lines, steps) int64: the start, then any character."""
    drawn = np.random.RandomState(seed).randint(4, classes, (lines, steps))
    drawn[:, 0] = 1
    return torch.from_numpy(drawn.astype(np.int64))


@lru_cache(maxsize=1)
def backbone_weights(shapes: tuple[tuple[str, tuple[int, ...]], ...]) -> dict[str, torch.Tensor]:
    """The weights of those names and shapes, of seed 0 in all golden files."""
    return {key: torch.from_numpy(filled(key, shape, 0)) for key, shape in shapes}


class Golden:
    """One golden file, and our model with its weights."""

    def __init__(self, file: Path, folder: Path) -> None:
        with np.load(file) as data:
            self.facts: dict[str, Any] = json.loads(str(data["facts"]))
            self.logits, self.single_logits = data["logits"], data["single_logits"]
            self.padding, self.tokens_read = data["padding"], data["greedy"][:, 1:].tolist()
        sections = ("backbone", "cnn", "seq_modeling", "transformer")
        (folder / "config.yml").write_text(yaml.safe_dump({key: self.facts[key] for key in sections}))
        config = read_vietocr_yaml(folder / "config.yml").model
        self.module = VietocrRecognizer(config, VIETOCR_IMAGE, self.facts["classes"]).eval()
        state = self.module.state_dict()
        shapes = {
            key: tuple(value.shape)
            for key, value in state.items()
            if value.is_floating_point() and not key.endswith("pos_enc.pe")
        }
        state |= backbone_weights(tuple(item for item in shapes.items() if item[0].startswith("cnn.")))
        for key, shape in shapes.items():
            if not key.startswith("cnn."):
                state[key] = torch.from_numpy(filled(key, shape, self.facts["seed"]))
        self.module.load_state_dict(state)

    def images(self) -> torch.Tensor:
        return pattern(len(self.logits), self.facts["width_px"], 0)

    def given(self) -> torch.Tensor:
        lines, steps, classes = self.logits.shape
        return tokens(lines, steps, 0, classes)


@pytest.fixture(scope="module", params=GOLDEN, ids=lambda file: file.stem)
def golden(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Golden:
    return Golden(request.param, tmp_path_factory.mktemp("golden"))


def test_every_pair_of_backbone_and_sequence_model_is_held_against_vietocr() -> None:
    assert {file.stem for file in GOLDEN} == {
        f"{backbone}_{sequence}"
        for backbone in ("vgg11_bn", "vgg19_bn", "resnet50")
        for sequence in ("transformer", "seq2seq", "convseq2seq")
    }


def test_logits_of_a_batch_are_vietocrs(golden: Golden) -> None:
    padding = torch.from_numpy(golden.padding)
    with torch.inference_mode():
        logits = golden.module(golden.images(), golden.given(), padding).numpy()
    # What follows a padding token is nothing: neither side's loss looks at it.
    assert np.abs(logits - golden.logits)[~golden.padding].max() < 1e-4


def test_logits_of_a_single_line_are_vietocrs(golden: Golden) -> None:
    _, steps, classes = golden.single_logits.shape
    image = pattern(1, golden.facts["single_width_px"], 1)
    with torch.inference_mode():
        logits = golden.module(image, tokens(1, steps, 1, classes)).numpy()
    assert np.abs(logits - golden.single_logits).max() < 1e-4


def test_a_line_alone_has_the_logits_it_has_in_a_batch(golden: Golden) -> None:
    with torch.inference_mode():
        alone = torch.cat(
            [
                golden.module(image[None], given[None])
                for image, given in zip(golden.images(), golden.given(), strict=True)
            ]
        ).numpy()
    assert np.abs(alone - golden.logits)[~golden.padding].max() < 1e-4


@pytest.mark.parametrize("search", ["greedy", "beam of one"])
def test_the_tokens_read_are_vietocrs(golden: Golden, search: str) -> None:
    steps = len(golden.tokens_read[0])
    options = DecodeOptions(max_steps=steps, repetition_steps=0)
    stepper = make_incremental_decoder(golden.module, torch.float32, steps)
    with torch.inference_mode():
        features = golden.module.features(golden.images())
        if search == "greedy":
            paths = greedy(stepper, features, options)
        else:
            paths = [found[0] for found in beam_search(stepper, features, options)]
    expected = [line[: line.index(EOS)] if EOS in line else line for line in golden.tokens_read]
    assert [path.classes for path in paths] == expected
