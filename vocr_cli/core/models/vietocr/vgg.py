"""VietOCR's VGG backbones: 3×3 convolutions with batch norm (Simonyan and Zisserman, 2015), average pools.

Legend: B lines, H and W px, h and w after the pools, D width of the features.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from vocr_cli.core.config.families import VietocrConfig
from vocr_cli.core.models.layers.dropout import Dropout
from vocr_cli.core.models.layers.recompute import LIGHT, Recomputable

_STAGES = {
    "vgg11_bn": ((64,), (128,), (256, 256), (512, 512), (512, 512)),
    "vgg19_bn": ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4),
}
"""Channels of the convolutions before each of the five pools."""

VGG_CONVOLUTIONS = {sum(map(len, stages)): name for name, stages in _STAGES.items()}
"""How many convolutions tell which network."""


def _slices_to_recompute(layers: list[nn.Module]) -> list[tuple[int, int]]:
    """Where slices of at most two convolutions and the pool behind them start and end."""
    slices, start, convolutions = [], 0, 0
    for index, layer in enumerate(layers):
        if isinstance(layer, nn.Conv2d):
            if convolutions == 2:
                slices.append((start, index))
                start, convolutions = index, 0
            convolutions += 1
        if isinstance(layer, nn.AvgPool2d):
            slices.append((start, index + 1))
            start, convolutions = index + 1, 0
    return slices


class Vgg(Recomputable):
    """Line images to feature maps.

    Args:
        config: Which of the two, its pools, D.
        channels: Of the images.
    """

    RECOMPUTABLE: ClassVar = (LIGHT, "backbone")

    def __init__(self, config: VietocrConfig, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        stages = zip(_STAGES[config.backbone], config.pool_kernels, config.pool_strides, strict=True)
        for widths, kernel, stride in stages:
            for width in widths:
                layers += [
                    nn.Conv2d(channels, width, 3, padding=1),
                    nn.BatchNorm2d(width),
                    nn.ReLU(inplace=True),
                ]
                channels = width
            layers.append(nn.AvgPool2d(kernel, stride))
        self.features = nn.Sequential(*layers)
        self._slices = _slices_to_recompute(layers)
        self.dropout = Dropout(config.feature_dropout)
        self.last_conv_1x1 = nn.Conv2d(channels, config.hidden, 1)
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, D, h, w)."""
        x = images
        if "backbone" in self.recomputed:
            for start, stop in self._slices:
                x = self.run_stage("backbone", self.features[start:stop], x)
        else:
            x = self.run_layers(self.features, x)
        maps: Tensor = self.last_conv_1x1(self.dropout(x))
        return maps
