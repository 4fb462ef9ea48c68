"""Recomputing parts of a model in the backward pass, which saves their activations (Chen et al., 2016)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from vocr_cli.core.errors import ConfigError


class Recomputable(nn.Module):
    """A module whose layers belong to named stages, each of which can be recomputed."""

    RECOMPUTABLE: ClassVar[tuple[str, ...]] = ()
    """The names of the stages, first to last."""
    recomputed: frozenset[str] = frozenset()
    """The stages that are recomputed: `set_recompute`."""

    def run_stage(self, stage: str, layer: Callable[..., Any], *inputs: Any) -> Any:
        """Calls a layer; if its stage is recomputed, only its inputs are kept for the backward pass.

        A layer is a module or a method of one, when halves of a module are recomputed one by one.
        Random numbers and the number format are as in the first pass, and batch norms count the batch once.
        """
        if stage not in self.recomputed or not torch.is_grad_enabled():
            return layer(*inputs)
        contexts: Callable[[], tuple[AbstractContextManager[None], AbstractContextManager[None]]]
        module: Any = getattr(layer, "__self__", layer)
        contexts = partial(_contexts, module)
        return checkpoint(layer, *inputs, use_reentrant=False, context_fn=contexts)


def recomputable_stages(module: nn.Module) -> tuple[str, ...]:
    """The stages of a model that can be recomputed, first to last."""
    names = [
        name for layer in module.modules() if isinstance(layer, Recomputable) for name in layer.RECOMPUTABLE
    ]
    return tuple(dict.fromkeys(names))


def set_recompute(module: nn.Module, names: Sequence[str]) -> None:
    """Chooses the stages of a model that are recomputed; weights and their names stay as they are.

    Args:
        module: A model.
        names: Stages; `all`: each that the model has; empty: none.

    Raises:
        ConfigError: The model has no stage of that name.
    """
    known = recomputable_stages(module)
    unknown = [name for name in names if name not in (*known, "all")]
    if unknown:
        raise ConfigError(
            f"This model has no stage {unknown[0]!r} to recompute.",
            f"Set precision.recompute to {', '.join(['off', *(['all'] if known else []), *known])}.",
        )
    chosen = frozenset(known if "all" in names else names)
    for layer in module.modules():
        if isinstance(layer, Recomputable):
            layer.recomputed = chosen & frozenset(layer.RECOMPUTABLE)


def _contexts(module: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Around the first pass, and around the second."""
    return nullcontext(), _uncounted(module)


@contextmanager
def _uncounted(module: nn.Module) -> Iterator[None]:
    """Batch norms inside update copies of their running statistics, which are then thrown away."""
    names = ("running_mean", "running_var", "num_batches_tracked")
    norms = [norm for norm in module.modules() if isinstance(norm, _BatchNorm)]
    counted = [{name: getattr(norm, name) for name in names} for norm in norms]
    try:
        for norm, buffers in zip(norms, counted, strict=True):
            for name, buffer in buffers.items():
                setattr(norm, name, None if buffer is None else buffer.clone())
        yield
    finally:
        for norm, buffers in zip(norms, counted, strict=True):
            for name, buffer in buffers.items():
                setattr(norm, name, buffer)
