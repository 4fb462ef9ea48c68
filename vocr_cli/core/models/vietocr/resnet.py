"""VietOCR's `resnet50`: basic blocks 1, 2, 5, 3 (He et al., 2016) between plain convolutions.

It is the recognition trunk of Cheng et al., 2017 ("Focusing Attention"), a pixel of height left at the end.
Legend: B lines, H and W px, D width of the features.
"""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from vocr_cli.core.models.layers.recompute import LIGHT, Recomputable

BLOCKS = (1, 2, 5, 3)


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)


class BasicBlock(Recomputable):
    """Two 3×3 convolutions around a shortcut, which is a 1×1 convolution where the channels change."""

    RECOMPUTABLE: ClassVar = (LIGHT,)
    WITHIN: ClassVar = "backbone"

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = _conv(inputs, outputs)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = _conv(outputs, outputs)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = (
            nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
            if inputs != outputs
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) to (B, outputs, h, w)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.run_layers((self.conv1, self.bn1, nn.ReLU(inplace=True), self.conv2), x)
        return F.relu(shortcut + self.bn2(x))


def _stage(inputs: int, outputs: int, blocks: int) -> nn.Sequential:
    rest = (BasicBlock(outputs, outputs) for _ in range(blocks - 1))
    return nn.Sequential(BasicBlock(inputs, outputs), *rest)


class ResNet(Recomputable):
    """Line images to feature maps.

    Args:
        hidden: D, a multiple of 16.
        channels: Of the images.
    """

    RECOMPUTABLE: ClassVar = (LIGHT, "backbone")

    def __init__(self, hidden: int, channels: int) -> None:
        super().__init__()
        quarter, half = hidden // 4, hidden // 2
        self.conv0_1 = _conv(channels, hidden // 16)
        self.bn0_1 = nn.BatchNorm2d(hidden // 16)
        self.conv0_2 = _conv(hidden // 16, hidden // 8)
        self.bn0_2 = nn.BatchNorm2d(hidden // 8)
        self.maxpool1 = nn.MaxPool2d(2, 2)
        self.layer1 = _stage(hidden // 8, quarter, BLOCKS[0])
        self.conv1 = _conv(quarter, quarter)
        self.bn1 = nn.BatchNorm2d(quarter)
        self.maxpool2 = nn.MaxPool2d(2, 2)
        self.layer2 = _stage(quarter, half, BLOCKS[1])
        self.conv2 = _conv(half, half)
        self.bn2 = nn.BatchNorm2d(half)
        self.maxpool3 = nn.MaxPool2d(2, (2, 1), padding=(0, 1))
        self.layer3 = _stage(half, hidden, BLOCKS[2])
        self.conv3 = _conv(hidden, hidden)
        self.bn3 = nn.BatchNorm2d(hidden)
        self.layer4 = _stage(hidden, hidden, BLOCKS[3])
        self.conv4_1 = nn.Conv2d(hidden, hidden, 2, (2, 1), padding=(0, 1), bias=False)
        self.bn4_1 = nn.BatchNorm2d(hidden)
        self.conv4_2 = nn.Conv2d(hidden, hidden, 2, bias=False)
        self.bn4_2 = nn.BatchNorm2d(hidden)

    def forward(self, images: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, D, H // 16 - 1, W // 4 + 1)."""
        layers = self._layers_to_recompute()
        if "backbone" not in self.recomputed:
            return self.run_layers(layers, images)
        x = images
        for layer in layers:
            x = self.run_stage("backbone", layer, x)
        return x

    def _layers_to_recompute(self) -> list[nn.Module]:
        """The layers in their order, in groups that can be recomputed one by one."""
        relu = nn.ReLU(inplace=True)
        return [
            nn.Sequential(self.conv0_1, self.bn0_1, relu, self.conv0_2, self.bn0_2, relu, self.maxpool1),
            *self.layer1,
            nn.Sequential(self.conv1, self.bn1, relu, self.maxpool2),
            *self.layer2,
            nn.Sequential(self.conv2, self.bn2, relu, self.maxpool3),
            *self.layer3,
            nn.Sequential(self.conv3, self.bn3, relu),
            *self.layer4,
            nn.Sequential(self.conv4_1, self.bn4_1, relu, self.conv4_2, self.bn4_2, relu),
        ]
