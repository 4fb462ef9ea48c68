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


class Staged(nn.Module):
    """A module whose parts belong to named stages, each of which can be recomputed."""

    STAGES: ClassVar[tuple[str, ...]] = ()
    recomputed: frozenset[str] = frozenset()
    """The stages that are recomputed: `set_recompute`."""

    def part(self, stage: str, part: Callable[..., Any], *inputs: Any) -> Any:
        """Calls a part; if its stage is recomputed, only its inputs are kept for the backward pass.

        A part is a module or a method of one, when halves of a module are recomputed one by one.
        Random numbers and the number format are as in the first pass, and batch norms count the batch once.
        """
        if stage not in self.recomputed or not torch.is_grad_enabled():
            return part(*inputs)
        contexts: Callable[[], tuple[AbstractContextManager[None], AbstractContextManager[None]]]
        owner: Any = getattr(part, "__self__", part)
        contexts = partial(_contexts, owner)
        return checkpoint(part, *inputs, use_reentrant=False, context_fn=contexts)


def stages(module: nn.Module) -> tuple[str, ...]:
    """The stages of a model that can be recomputed, first to last."""
    found = [name for part in module.modules() if isinstance(part, Staged) for name in part.STAGES]
    return tuple(dict.fromkeys(found))


def set_recompute(module: nn.Module, names: Sequence[str]) -> None:
    """Chooses the stages of a model that are recomputed; weights and their names stay as they are.

    Args:
        module: A model.
        names: Stages; `all`: each that the model has; empty: none.

    Raises:
        ConfigError: The model has no stage of that name.
    """
    known = stages(module)
    unknown = [name for name in names if name not in (*known, "all")]
    if unknown:
        raise ConfigError(
            f"This model has no stage {unknown[0]!r} to recompute.",
            f"Set precision.recompute to off, all, or some of {', '.join(known)}.",
        )
    chosen = frozenset(known if "all" in names else names)
    for part in module.modules():
        if isinstance(part, Staged):
            part.recomputed = chosen & frozenset(part.STAGES)


def _contexts(part: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Around the first pass, and around the second."""
    return nullcontext(), _uncounted(part)


@contextmanager
def _uncounted(part: nn.Module) -> Iterator[None]:
    """Batch norms inside update copies of their running statistics, which are then thrown away."""
    names = ("running_mean", "running_var", "num_batches_tracked")
    norms = [norm for norm in part.modules() if isinstance(norm, _BatchNorm)]
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
