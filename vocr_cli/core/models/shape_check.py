"""Whether a description and stored weights are of one model, found out before memory is taken for it."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from vocr_cli.core.config.families import ModelConfig
from vocr_cli.core.config.image import ImageConfig
from vocr_cli.core.models.registry import MODELS

Shape = tuple[int, ...]


class Misfit(Exception):
    """Description and weights are of different models; the message says where, as a clause."""


def check_shapes(config: ModelConfig, image: ImageConfig, classes: int, stored: Mapping[str, Shape]) -> None:
    """Builds the described model without memory for its weights, and compares their shapes.

    What the description claims could be any size. Building ends where it has more weights than are stored,
    and weights on torch's meta device have shapes alone.

    Args:
        config: Of the family.
        image: Height and channels.
        classes: C, specials included.
        stored: The shapes of the stored weights, by name; tables that are computed may be among them.

    Raises:
        Misfit: A shape differs, or a weight is missing.
    """
    try:
        with _at_most(len(stored)), torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of weights without a number, whose shapes will differ
            module = MODELS[config.family](config, image, classes)
    except (RuntimeError, OverflowError, ZeroDivisionError, ValueError, TypeError) as error:
        raise Misfit(f"no model has these sizes ({str(error).split(chr(10))[0]})") from None
    for name, parameter in module.named_parameters():
        if name not in stored:
            raise Misfit(f"{name} is missing")
        if tuple(parameter.shape) != stored[name]:
            raise Misfit(f"{name} is {stored[name]}, not {tuple(parameter.shape)}")


@contextmanager
def _at_most(count: int) -> Iterator[None]:
    """Refuses to build a module of more weights than that in this thread."""
    here, left = threading.get_ident(), count

    def counted(module: nn.Module, name: str, parameter: Any) -> None:
        nonlocal left
        if isinstance(parameter, Tensor) and threading.get_ident() == here:
            left -= 1
            if left < 0:
                raise Misfit(f"more than {count:,} weights are described, and {count:,} are stored")

    hook = register_module_parameter_registration_hook(counted)
    try:
        yield
    finally:
        hook.remove()
