"""One optimizer step: forward, backward, clipping, update; nothing that is not finite gets through."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vocr_cli.core.data.loader.batch import Batch
from vocr_cli.core.errors import VocrError, reason_of
from vocr_cli.core.machine.out_of_memory import is_out_of_memory
from vocr_cli.core.training.optim.stages import train_mode
from vocr_cli.core.training.parallel.distributed import SINGLE_PROCESS, ProcessGroup
from vocr_cli.core.training.step.batch_norm import BatchNormStatistics
from vocr_cli.core.training.step.objective import Objective
from vocr_cli.core.training.step.train_state import TrainState


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


@dataclass(frozen=True)
class _Gradients:
    """What the backward passes of a step came to.

    Attributes:
        losses: The sum of each batch's losses, of this rank's batches.
        mean_loss: Over all ranks' lines or tokens.
        weight: What this rank's gradients are to be multiplied by before they are added to the others'.
        norm: Of the gradients, multiplied already; None: not known yet.
    """

    losses: list[float]
    mean_loss: float
    weight: float
    norm: float | None = None


class UpdateOutOfMemory(VocrError):
    """Memory is short for what smaller batches do not make smaller: optimizer, exchange of ranks."""


class TrainStep:
    """Takes optimizer steps.

    Args:
        state: What the steps change.
        objective: Gives the loss.
        augmentation: Makes (B, C, H, W) float images on the device out of a batch.
        process_group: The ranks that take each step together, each with other batches.
        exact_widths: Whether batches are taken apart by width, since the model reads padding as text.
    """

    def __init__(
        self,
        state: TrainState,
        objective: Objective,
        augmentation: Callable[[Batch], Tensor],
        process_group: ProcessGroup = SINGLE_PROCESS,
        *,
        exact_widths: bool = False,
    ) -> None:
        self._state, self._objective, self._augmentation = state, objective, augmentation
        self._process_group, self._exact_widths = process_group, exact_widths
        self._batch_norm = BatchNormStatistics(state.module)

    def __call__(self, batches: Sequence[Batch], lr: float) -> StepResult:
        """Steps on the mean loss of all ranks' batches together; the gradient is that of one large batch.

        A loss or gradient that is not finite leaves weights, BatchNorm's statistics, the optimizer's state
        and the average as they were; in fp16 it halves the loss scale.

        Args:
            batches: At least one.
            lr: Learning rate; a group's `lr_scale`, if it has one, multiplies it.

        Raises:
            RuntimeError: Memory was short for the gradients, on any rank: all ranks raise it together,
                nothing was changed, and the step may be taken again.
            UpdateOutOfMemory: Memory was short behind that, where no rank can take the step again alone.
        """
        state = self._state
        if self._exact_widths:
            batches = [piece for batch in batches for piece in batch.of_one_width()]
        train_mode(state.module)
        for group in state.optimizer.param_groups:
            group["lr"] = lr * group.get("lr_scale", 1.0)
        state.optimizer.zero_grad(set_to_none=True)
        self._batch_norm.take()
        try:
            gradients = self._gradients_of_all_ranks(batches)
        except RuntimeError:
            self._batch_norm.restore()
            raise
        try:
            return self._update(batches, gradients)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise UpdateOutOfMemory(
                f"Memory is short for the update of the weights: {reason_of(error)}.",
                "Free memory that other programs hold, or choose a smaller model.",
            ) from error

    def _gradients_of_all_ranks(self, batches: Sequence[Batch]) -> _Gradients:
        """Has each rank compute its gradients, and tells what all of them came to.

        Raises:
            RuntimeError: Memory was short on some rank: all raise it. Or something is wrong with this one, or
                not all ranks have made the same steps.
        """
        if self._process_group.world_size == 1:
            return self._gradients(batches)
        short: RuntimeError | None = None
        losses, count = [0.0], 0
        try:
            on_device, count = self._backward(batches)
            losses = on_device.tolist()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            short = error.with_traceback(None)  # which would hold on to what was allocated
        rows = self._process_group.all_gather(short is not None, sum(losses), count, self._state.ema.steps)
        if len({row[3] for row in rows}) > 1:
            raise RuntimeError("The ranks are out of step: one of them failed within its last one.")
        if any(row[0] for row in rows):  # one that tried again alone would wait for the others in vain
            raise short or torch.OutOfMemoryError("Memory was short on another rank.")
        of_all = sum(row[2] for row in rows)
        return _Gradients(losses, sum(row[1] for row in rows) / of_all, count / of_all)

    def _gradients(self, batches: Sequence[Batch]) -> _Gradients:
        """Computes the gradients of a single process, and fetches losses and norm from the device at once.

        Every fetch waits until a GPU has done all that it was asked for, and leaves it idle behind that.
        """
        losses, count = self._backward(batches)
        norm = None
        if self._state.clipper.knows_norm_first and not self._state.scaler.is_enabled():
            *values, norm = torch.cat((losses, self._state.clipper.norm()[None])).tolist()
        else:
            values = losses.tolist()
        return _Gradients(values, sum(values) / count, 1.0, norm)

    def _update(self, batches: Sequence[Batch], gradients: _Gradients) -> StepResult:
        """Takes the step that the gradients give, if loss and gradients are finite."""
        state, loss = self._state, gradients.mean_loss
        norm, clipped = math.nan, False
        if math.isfinite(loss) and gradients.norm is not None:
            norm, clipped = state.clipper.clip(gradients.norm)
        elif math.isfinite(loss):
            self._reduce_gradients(gradients.weight)
            state.scaler.unscale_(state.optimizer)
            norm, clipped = state.clipper.clip()
        if math.isfinite(norm):
            state.scaler.step(state.optimizer)
            state.scaler.update()
            state.ema.update(state.module)
            return StepResult(loss, norm, clipped)
        self._batch_norm.restore()
        if state.scaler.is_enabled():
            state.scaler.update(state.scaler.get_scale() * state.scaler.get_backoff_factor())
        what = "gradient" if math.isfinite(loss) else "loss"
        lines = self._non_finite_lines(batches, gradients.losses)
        return StepResult(loss, norm, clipped, f"{what} not finite", lines)

    def _backward(self, batches: Sequence[Batch]) -> tuple[Tensor, int]:
        """Adds up the gradients of all losses over their count, which is known before the first of them.

        Over that of one batch alone, which may be a few short lines, they would not fit into fp16's numbers.

        Returns:
            (batches,) float, the sum of each batch's losses, on the device; and how many losses there are.
        """
        losses: list[Tensor] = []
        count = sum(self._objective.count(batch) for batch in batches)
        lines = sum(len(batch.texts) for batch in batches)
        for batch in batches:
            images = self._augmentation(batch)  # (B, C, H, W)
            with self._batch_norm.moved_by(len(batch.texts) / lines):
                total, _ = self._objective.loss(self._state.module, images, batch)
            losses.append(total.detach())
            self._state.scaler.scale(total / count).backward()
        return torch.stack(losses), count

    def _reduce_gradients(self, weight: float) -> None:
        """Makes the gradients the sum of all ranks', each multiplied by its `weight`.

        BatchNorm's statistics, which each rank has by its own batches, become the mean of all ranks'.
        """
        gradients, statistics = self._state.clipper.gradients(), self._batch_norm.running_statistics()
        if weight != 1:
            torch._foreach_mul_(gradients, weight)
        if self._process_group.world_size > 1:
            if statistics:
                torch._foreach_mul_(statistics, 1 / self._process_group.world_size)
            self._process_group.all_reduce_([*gradients, *statistics])

    def _non_finite_lines(self, batches: Sequence[Batch], losses: list[float]) -> tuple[str, ...]:
        """Names the lines of all ranks' batches whose loss is not finite; where there are none, all lines."""
        bad = [batch for batch, loss in zip(batches, losses, strict=True) if not math.isfinite(loss)]
        for suspects in (bad, batches):
            names = [name for batch in suspects for name in batch.names]
            gathered = self._process_group.all_gather_objects(names)
            if of_all_ranks := tuple(name for rank_names in gathered for name in rank_names):
                return of_all_ranks
        return ()
