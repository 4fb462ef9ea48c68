"""Recomputing parts of a model in the backward pass, which saves their activations (Chen et al., 2016)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from vocr_cli.core.errors import ConfigError

LIGHT = "light"
"""The stage of batch norms, activations and hidden layers: much memory, little arithmetic."""

_PIXEL_CHANNELS = 4
_KEEP_INPUTS = (nn.Conv2d, nn.AvgPool2d, nn.MaxPool2d)


class Recomputable(nn.Module):
    """A module whose layers belong to named stages, each of which can be recomputed."""

    RECOMPUTABLE: ClassVar[tuple[str, ...]] = ()
    """The names of the stages, first to last; and `light`, where parts of it are."""
    WITHIN: ClassVar[str] = ""
    """The stage of another module that recomputes this one as a whole, and so its light parts."""
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
        contexts = partial(_contexts, module, uses_once=stage == LIGHT)
        return checkpoint(layer, *inputs, use_reentrant=False, context_fn=contexts)

    def run_layers(self, layers: Iterable[nn.Module], x: Tensor) -> Tensor:
        """Runs layers one behind the other; of the stage `light`, what costs little is recomputed.

        A convolution keeps its input for the backward pass, the batch norm behind it its own: after norm and
        activation nearly the same numbers once more. Of a norm and what follows, as far as the next
        convolution or pool, only what came in is kept (Rota Bulò et al., 2018, keep what came out, and
        invert). Recomputation ends where the last input is known again, so that no convolution is computed
        twice, but for a first one of few channels, which makes much of little.
        """
        if LIGHT not in self.recomputed or not torch.is_grad_enabled():
            for layer in layers:
                x = layer(x)
            return x
        for group in _light_groups(layers):
            run = nn.Sequential(*group)
            saves = any(isinstance(layer, _BatchNorm) for layer in group)
            x = self.run_stage(LIGHT, run, x) if saves and isinstance(group[-1], _KEEP_INPUTS) else run(x)
        return x


def _light_groups(layers: Iterable[nn.Module]) -> list[list[nn.Module]]:
    """Layers in groups that are recomputed together, if at all; sequences are taken apart.

    A group begins with a batch norm, and ends with the next convolution, or before the next norm.
    """
    groups: list[list[nn.Module]] = []
    for layer in layers:
        for part in layer if type(layer) is nn.Sequential else (layer,):
            last = groups[-1][-1] if groups else None
            ended = last is None or isinstance(last, nn.Conv2d | Recomputable)
            if (ended or isinstance(part, _BatchNorm | Recomputable)) and not _is_small_stem(groups):
                groups.append([])
            groups[-1].append(part)
    return groups


def _is_small_stem(groups: list[list[nn.Module]]) -> bool:
    """Whether all so far is a convolution of the pixels."""
    if len(groups) != 1 or len(groups[0]) != 1:
        return False
    (first,) = groups[0]
    return isinstance(first, nn.Conv2d) and first.in_channels <= _PIXEL_CHANNELS


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
            own = frozenset(() if layer.WITHIN in chosen else layer.RECOMPUTABLE)
            layer.recomputed = chosen & own


def _contexts(
    module: nn.Module, *, uses_once: bool
) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Around the first pass, and around the second."""
    return _uncached() if uses_once else nullcontext(), _uncounted(module)


@contextmanager
def _uncached() -> Iterator[None]:
    """Autocast keeps no rounded weights until the forward pass ends: none is used again before that."""
    before = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    try:
        yield
    finally:
        torch.set_autocast_cache_enabled(before)


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
