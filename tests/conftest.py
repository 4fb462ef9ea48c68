"""A tiny model and line images that several test modules share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

# The same examples on every run, and no test that fails because the machine is busy.
settings.register_profile("vocr", derandomize=True, deadline=None)
settings.load_profile("vocr")


@pytest.fixture(autouse=True, scope="session")
def _own_cache_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What tests time neither comes from the user's cache folder nor goes there."""
    os.environ["VOCR_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def _small_numbers_stay() -> Iterator[None]:
    """A trainer has its process flush denormal numbers, on which hypothesis relies."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file with random weights and random BatchNorm statistics, so that folding them shows."""
    import torch

    from vocr_cli.core.config.tree import CtcConfig, ImageConfig
    from vocr_cli.core.models.files import ModelFile, build_module, save_model
    from vocr_cli.core.text import Charset

    torch.manual_seed(0)
    config = CtcConfig(channels=(8, 8, 16), blocks=(0, 1, 1), hidden=32, column_blocks=1, heads=2, dropout=0)
    image, charset = ImageConfig(max_width_px=800), Charset()
    module = build_module(config, image, charset).eval()
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.uniform_(-0.2, 0.2)
            layer.running_var.uniform_(0.2, 1.0)
            layer.weight.data.uniform_(0.7, 1.3)
            layer.bias.data.uniform_(-0.2, 0.2)
        if isinstance(layer, torch.nn.LayerNorm):
            layer.weight.data.uniform_(0.7, 1.3)
            layer.bias.data.uniform_(-0.2, 0.2)
    # Random weights like one class for every column: without the mean, what is left tells lines apart.
    seen: list[torch.Tensor] = []
    hook = module.norm.register_forward_hook(lambda *call: seen.append(call[2].detach()))
    with torch.no_grad():
        lines = np.stack([np.array(line_image(seed).resize((96, 40))) for seed in range(16)])
        module(torch.from_numpy(lines)[:, None].float() / 255)
        hook.remove()
        module.head.weight.normal_(0, 0.3)
        module.head.bias.copy_(-module.head.weight @ seen[0].mean(dim=(0, 1)))
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_model(path, ModelFile(module, config, image, charset))
    return path


def line_image(seed: int, width: int = 90, height: int = 30) -> Image.Image:
    """Dark blocks on light ground: what a random model reads differs from seed to seed."""
    rng = np.random.default_rng(seed)
    coarse = (rng.random((6, max(1, width // 6))) < 0.5).astype(np.uint8) * 220 + 20
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.NEAREST)


@pytest.fixture(scope="session")
def lines_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve lines of five widths, a1.png to a12.png."""
    folder = tmp_path_factory.mktemp("lines")
    for number in range(1, 13):
        line_image(number, width=60 + 40 * (number % 5)).save(folder / f"a{number}.png")
    return folder
