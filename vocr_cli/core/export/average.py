"""One model of the mean weights of several that were trained on from the same one.

Wortsman et al., "Model soups", 2022: where runs begin at the same weights, the mean of their ends often errs
less than any of them, and reads as fast as one.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch

from vocr_cli.core.errors import ModelError
from vocr_cli.core.models.files import ModelFile


def averaged_model(models: Sequence[ModelFile]) -> ModelFile:
    """Makes a model of the mean weights of models of one architecture, image and charset.

    Args:
        models: At least one, float32; the first gives all but the weights.

    Raises:
        ModelError: One has another architecture, reads images of another kind, or other characters.
    """
    first = models[0]
    for model in models[1:]:
        for what in ("config", "image", "charset"):
            if getattr(model, what) != getattr(first, what):
                told = {
                    "config": "another architecture",
                    "image": "other images",
                    "charset": "other characters",
                }
                raise ModelError(
                    f"{model.name} has {told[what]} than {first.name}.",
                    "Average models that were trained on from the same one.",
                )
    states = [model.module.state_dict() for model in models]
    mean = {}
    for name, value in states[0].items():
        same = torch.stack([state[name] for state in states])
        mean[name] = same.mean(dim=0) if value.is_floating_point() else value
    module = copy.deepcopy(first.module)
    module.load_state_dict(mean)
    provenance = {"mean of": [{"name": model.name, **model.provenance} for model in models]}
    return replace(first, module=module, provenance=provenance, scores={})
