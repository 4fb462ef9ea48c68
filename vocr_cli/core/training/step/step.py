"""One optimizer step: forward, backward, clipping, update; nothing that is not finite gets through."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vocr_cli.core.config.tree import OptimConfig
from vocr_cli.core.data.loader.dataset import Batch
from vocr_cli.core.training.optim.clipping import Clipper
from vocr_cli.core.training.optim.ema import WeightAverage
from vocr_cli.core.training.optim.stages import train_mode
from vocr_cli.core.training.parallel.distributed import ALONE, Team
from vocr_cli.core.training.step.objective import Objective


@dataclass(frozen=True)
class StepResult:
    """What one step came to.

    Attributes:
        loss: Mean over the step's lines or tokens.
        norm: L2 norm of the gradient before clipping; NaN where the loss was not finite.
        clipped: Whether clipping changed the gradient.
        reason: Why the step was skipped; empty: it was made.
        lines: Where the lines of a skipped step came from; empty for one that was made.
    """

    loss: float
    norm: float
    clipped: bool = False
    reason: str = ""
    lines: tuple[str, ...] = ()

    @property
    def finite(self) -> bool:
        """Whether the step was made."""
        return not self.reason


class Stepper:
    """Takes optimizer steps, and holds all that they change.

    Args:
        module: The model being trained.
        objective: Its loss.
        optimizer: Over groups made by `optim.parameter_groups`.
        scaler: Enabled for fp16 only.
        average: Follows the weights.
        config: Clipping.
        as_input: A batch to (B, C, H, W) float images on the device.
        team: The ranks that take each step together, each with batches of its own.
    """

    def __init__(
        self,
        module: nn.Module,
        objective: Objective,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        average: WeightAverage,
        config: OptimConfig,
        as_input: Callable[[Batch], Tensor],
        team: Team = ALONE,
    ) -> None:
        self.module, self.objective, self.optimizer = module, objective, optimizer
        self.scaler, self.average, self.as_input, self.team = scaler, average, as_input, team
        self.clipper = Clipper(module, config)
        self._statistics = _Statistics(module)

    def step(self, batches: Sequence[Batch], rate: float) -> StepResult:
        """One step on the mean loss of all ranks' batches together; the gradient is that of one large batch.

        A loss or gradient that is not finite leaves weights, BatchNorm's statistics, the optimizer's state
        and the average as they were; in fp16 it halves the loss scale.

        Args:
            batches: At least one.
            rate: Learning rate; a group's `rate_share`, if it has one, multiplies it.
        """
        train_mode(self.module)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("rate_share", 1.0)
        self.optimizer.zero_grad(set_to_none=True)
        self._statistics.keep()
        try:
            losses, parts = self._backward(batches)
        except RuntimeError:  # memory is short: the caller may try again with smaller batches
            self._statistics.put_back()
            raise
        (loss, count), norm, clipped = self._over_ranks(losses, parts), math.nan, False
        if math.isfinite(loss):
            self._add_up(parts[0] / count)
            self.scaler.unscale_(self.optimizer)
            norm, clipped = self.clipper.clip()
        if math.isfinite(norm):
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.average.update(self.module)
            return StepResult(loss, norm, clipped)
        self._statistics.put_back()
        if self.scaler.is_enabled():
            self.scaler.update(self.scaler.get_scale() * self.scaler.get_backoff_factor())
        what = "gradient" if math.isfinite(loss) else "loss"
        return StepResult(loss, norm, clipped, f"{what} not finite", self._guilty(batches, losses))

    def _backward(self, batches: Sequence[Batch]) -> tuple[list[float], list[int]]:
        """Adds up the gradients of all losses over the first batch's count; returns sums and counts."""
        losses: list[Tensor] = []
        parts: list[int] = []
        for batch in batches:
            total, count = self.objective.loss(self.module, self.as_input(batch), batch)
            losses.append(total.detach())
            parts.append(count)
            self.scaler.scale(total / parts[0]).backward()
        return torch.stack(losses).tolist(), parts

    def _over_ranks(self, losses: list[float], parts: list[int]) -> tuple[float, float]:
        """The mean loss over all ranks, and the count that it is over.

        Raises:
            RuntimeError: Not all ranks have made the same steps.
        """
        rows = self.team.numbers(sum(losses), sum(parts), self.average.steps)
        if len({row[2] for row in rows}) > 1:
            raise RuntimeError("The ranks are out of step: one of them failed within its last one.")
        count = sum(row[1] for row in rows)
        return sum(row[0] for row in rows) / count, count

    def _add_up(self, share: float) -> None:
        """Makes the gradients those of all ranks, of which this one's count for `share`.

        BatchNorm's statistics, each rank's by its own batches, become the mean of all ranks'.
        """
        gradients, statistics = self.clipper.gradients(), self._statistics.moving()
        if share != 1:
            torch._foreach_mul_(gradients, share)
        if self.team.world > 1:
            if statistics:
                torch._foreach_mul_(statistics, 1 / self.team.world)
            self.team.add([*gradients, *statistics])

    def _guilty(self, batches: Sequence[Batch], losses: list[float]) -> tuple[str, ...]:
        """The lines of all ranks' batches whose loss is not finite; where there are none, of all batches."""
        bad = [batch for batch, loss in zip(batches, losses, strict=True) if not math.isfinite(loss)]
        for suspects in (bad, batches):
            own = [name for batch in suspects for name in batch.names]
            if names := tuple(name for part in self.team.objects(own) for name in part):
                return names
        return ()

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimizer, loss scale, average, norms seen: tensors and plain values."""
        return {
            "module": self.module.state_dict(),
            "average": self.average.state,
            "average_steps": self.average.steps,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "clipper": self.clipper.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What `state_dict` gave, on any device; other keys are left alone.

        Raises:
            RuntimeError: It is another model's.
        """
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.average.load(state["average"], state["average_steps"])
        self.clipper.load_state_dict(state["clipper"])


class _Statistics:
    """BatchNorm's running statistics, which a forward pass changes whatever becomes of the step."""

    def __init__(self, module: nn.Module) -> None:
        self._layers = [
            layer for layer in module.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)
        ]
        self._now = [buffer for layer in self._layers for buffer in layer.buffers(recurse=False)]
        self._kept = [buffer.clone() for buffer in self._now]

    def moving(self) -> list[Tensor]:
        """Means and variances, but for frozen layers."""
        moving = [layer for layer in self._layers if layer.training]
        return [
            value for layer in moving for value in layer.buffers(recurse=False) if value.is_floating_point()
        ]

    def keep(self) -> None:
        if self._now:
            torch._foreach_copy_(self._kept, self._now)

    def put_back(self) -> None:
        if self._now:
            torch._foreach_copy_(self._now, self._kept)
