"""How strong augmentation is: follows the gap between training and validation."""

from __future__ import annotations

import math
from typing import Any

from vocr_cli.core.config.tree import AugmentConfig, Config

_WIDE = 1.25  # validation's loss over training's: the training lines are being learnt by heart
_STALLED = 0.99  # of the lowest training loss at this strength: less gain than this is none
_CHANGE = 0.1
_LEAST_BATCHES = 50
_LEAST_GAP = 0.01  # loss; below, ratios mean nothing


class AdaptiveStrength:
    """Strength by a rule in three parts, asked at each validation.

    Compared are the mean training loss since the last validation, of augmented batches, and the loss of the
    clean validation lines; losses, not CERs, because training has them for nothing.

    - Validation's is over 1.25 times training's, although training's lines are the distorted ones: the
      model learns them by heart. Strength rises by 0.1.
    - Training's is the larger, and no longer falls (by 1 % below its lowest at this strength): the model
      cannot fit what it is given. Strength falls by 0.1.
    - Between these it stays, which keeps it from swinging.

    Args:
        config: The start and the bounds, which the start may lie outside of. Without `adaptive`, or from
            strength 0, which is off, it stays where it starts.
        able: False where nothing is augmented or nothing validated: it stays.
        floor: The lowest loss there can be, that of smoothed labels; taken off both.

    Attributes:
        value: The strength now, 0..1.
        moves: Whether it can change.
    """

    def __init__(self, config: AugmentConfig, able: bool = True, floor: float = 0.0) -> None:
        self.value = config.strength
        self.moves = able and config.adaptive and config.strength > 0
        self._low = min(config.min_strength, config.strength)
        self._high = max(config.max_strength, config.strength)
        self._floor = floor
        self._sum, self._batches = 0.0, 0
        self._lowest: float | None = None

    def trained(self, loss: float) -> None:
        """Takes the loss of an augmented step into account; one that is not finite counts for nothing."""
        if math.isfinite(loss):
            self._sum += loss
            self._batches += 1

    def validated(self, loss: float) -> None:
        """Moves the strength by the loss of a validation; after fewer than 50 steps it waits for more."""
        if self._batches < _LEAST_BATCHES or not math.isfinite(loss):
            return
        training = max(self._sum / self._batches - self._floor, 0.0)
        validation = max(loss - self._floor, 0.0)
        self._sum, self._batches = 0.0, 0
        stalled = self._lowest is not None and training > _STALLED * self._lowest
        self._lowest = training if self._lowest is None else min(training, self._lowest)
        if not self.moves:
            return
        if validation > max(_WIDE * training, training + _LEAST_GAP):
            self._move(_CHANGE)
        elif stalled and training >= validation:
            self._move(-_CHANGE)

    def _move(self, change: float) -> None:
        moved = min(max(round(self.value + change, 6), self._low), self._high)
        if moved != self.value:
            self.value, self._lowest = moved, None  # losses at another strength do not compare

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {"value": self.value, "sum": self._sum, "batches": self._batches, "lowest": self._lowest}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from a checkpoint, within the bounds; a strength that stays is the one of the settings."""
        if self.moves:
            self.value = min(max(state["value"], self._low), self._high)
        self._sum = state["sum"]
        self._batches, self._lowest = state["batches"], state["lowest"]


def strength_of_run(config: Config, augments: bool, characters: int) -> AdaptiveStrength:
    """The strength of a run; it stays where there is nothing to go by.

    Args:
        config: Of the run. With a teacher, training's loss is not that of validation.
        augments: Whether any line is augmented.
        characters: Of the charset.
    """
    able = augments and bool(config.data.valid) and config.train.teacher is None
    others = config.model.smoothed_classes(characters)
    smoothing = config.optim.label_smoothing if others else 0.0
    return AdaptiveStrength(config.augment, able, smoothed_floor(smoothing, others))


def smoothed_floor(smoothing: float, classes: int) -> float:
    """The lowest cross entropy that labels smoothed over `classes` wrong classes allow: their entropy."""
    if not 0 < smoothing < 1:
        return 0.0
    return -(1 - smoothing) * math.log(1 - smoothing) - smoothing * math.log(smoothing / max(classes, 1))
