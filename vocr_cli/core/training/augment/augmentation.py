"""What a batch goes through on its way into the model: to the device, and augmented there."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vocr_cli.core.config.tree import Config
from vocr_cli.core.data.loader.batch import Batch
from vocr_cli.core.training.augment.batch import BatchAugmenter
from vocr_cli.core.training.augment.strength import strength_of_run
from vocr_cli.core.training.step.objective import to_model_input


class Augmentation:
    """Makes the images of a training step, at a strength that follows training and validation.

    Args:
        config: Of the run.
        device: Where the model is.
        characters: How many the charset has.

    Attributes:
        strength: The run's; part of the checkpoint.
    """

    def __init__(self, config: Config, device: torch.device, characters: int) -> None:
        self._augmenter = BatchAugmenter(config)
        self.strength = strength_of_run(config, self._augmenter.active, characters)
        self._device, self._channels_last = device, config.precision.channels_last

    def __call__(self, batch: Batch) -> Tensor:
        """Returns (B, C, H, W) float images in 0..1 on the device, augmented."""
        images = to_model_input(batch.images, self._device, self._channels_last)
        return self._augmenter(images, batch, self.strength.value)

    def strength_of(self, batch: Batch) -> float:
        """Returns the strength that a batch gets now, which depends on its source."""
        return self._augmenter.strength_of(batch, self.strength.value)

    def add_training_loss(self, batches: Sequence[Batch], loss: float) -> None:
        """Takes the loss of a step into account, if all of its batches were augmented."""
        if all(self.strength_of(batch) for batch in batches):
            self.strength.trained(loss)
