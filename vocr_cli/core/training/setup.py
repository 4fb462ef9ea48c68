"""What a run is set up from: device, number format, weights taken over, places to go on from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from vocr_cli.core.config import Config
from vocr_cli.core.data.dataset import RenderedSource, StoredSource
from vocr_cli.core.errors import ModelError
from vocr_cli.core.models.files import ModelFile
from vocr_cli.core.precision import DeviceName, good_precisions
from vocr_cli.core.text import Charset


def choose_dtype(amp: str, device: DeviceName) -> torch.dtype:
    """Number format of the forward pass; `auto`: the fastest that the hardware runs well."""
    name = good_precisions(device)[-1] if amp == "auto" else "fp32" if amp == "off" else amp
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]


def resume_place(
    source: StoredSource | RenderedSource, places: dict[int, tuple[int, ...]], workers: int
) -> tuple[int, ...]:
    """Where a source goes on: a stored one behind what all workers have passed, a rendered one behind all."""
    if isinstance(source, RenderedSource):
        return max(places.values(), default=(0,))
    return min(places.values()) if len(places) >= max(workers, 1) else (0, 0)


def named(value: Any) -> Any:
    """Settings fit for a model file: paths by their names, since whole ones tell of one machine alone."""
    if isinstance(value, Path):
        return value.name
    if isinstance(value, dict):
        return {key: named(part) for key, part in value.items()}
    return [named(part) for part in value] if isinstance(value, tuple) else value


def transfer(model: ModelFile, module: nn.Module, charset: Charset, config: Config) -> str:
    """Copies weights into `module`; rows of the last layer are matched by character.

    Returns:
        A note on what was taken over.

    Raises:
        ModelError: The architectures differ.
    """
    if (model.config.model_copy(update={"dropout": 0}), model.image) != (
        config.model.model_copy(update={"dropout": 0}),
        config.image,
    ):
        raise ModelError(
            f"{model.name} has another architecture or image size than the config.",
            "Copy `model:` and `image:` from `vocr inspect MODEL` into the config.",
        )
    state = model.module.state_dict()
    if model.charset != charset:
        for key in ("head.weight", "head.bias"):
            fresh = module.state_dict()[key].clone()
            fresh[0] = state[key][0]
            for char in charset.characters:
                if char in model.charset:
                    fresh[charset.encode(char)[0]] = state[key][model.charset.encode(char)[0]]
            state[key] = fresh
    module.load_state_dict(state)
    new = [char for char in charset.characters if char not in model.charset]
    return f"Started from {model.name}" + (f"; new characters: {''.join(new)}" if new else "")
