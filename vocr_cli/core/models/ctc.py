"""The `ctc` family: plain 3×3 convolutions, a short transformer, one CTC layer.

Legend: B lines, H and W px, T outputs (W // 4), D width of the transformer, N heads, C classes. A column of
the transformer has one output, or two (`CtcConfig.column_outputs`); it is 4 or 8 px wide.

The trunk is a small ResNet (He et al., 2016) whose first layer halves both sides, as in PP-OCR's
recognisers; convolutions along the line and a pre-norm transformer (Vaswani et al., 2017) mix the columns,
with rotary positions (Su et al., 2021), so that a line may be longer than any seen in training; the loss is
CTC (Graves et al., 2006).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from vocr_cli.core.config.tree import CtcConfig, ImageConfig
from vocr_cli.core.models.layers.attention import AttentionModule, attend
from vocr_cli.core.models.layers.dropout import Dropout
from vocr_cli.core.models.layers.recompute import LIGHT, Recomputable
from vocr_cli.core.models.recognition_model import RecognitionModel, Stages


def _conv(inputs: int, outputs: int, stride: tuple[int, int] = (1, 1)) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class ResidualBlock(Recomputable):
    """Two 3×3 convolutions around a shortcut; channels and size stay as they are."""

    RECOMPUTABLE: ClassVar = (LIGHT,)
    WITHIN: ClassVar = "trunk"

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _conv(channels, channels)
        self.second = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, h, w) to the same shape."""
        out = self.run_layers((self.first, self.second), x)
        return out.add_(x).relu_()  # batch norm does not need its output again


def rotary_table(
    columns: int, head_width: int, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the rotary positions, each (T, head_width // 2)."""
    half = head_width // 2
    rates = 10_000.0 ** (-torch.arange(half, device=device, dtype=torch.float32) / half)
    angles = torch.arange(columns, device=device, dtype=torch.float32)[:, None] * rates
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
    """Turns (..., T, head_width) by the positions of its columns."""
    cos, sin = table
    left, right = x.chunk(2, dim=-1)
    return torch.cat((left * cos - right * sin, left * sin + right * cos), dim=-1)


class ColumnBlock(nn.Module):
    """A convolution along the line around a shortcut: cheap local context."""

    def __init__(self, width: int, kernel: int = 5) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(width, width, (1, kernel), padding=(0, kernel // 2), bias=False), nn.BatchNorm2d(width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, 1, T) to the same shape."""
        summed: Tensor = self.conv(x).add_(x)
        return summed.relu_()


class AttentionLayer(Recomputable, AttentionModule):
    """Self-attention over the columns, then a feed-forward layer; pre-norm."""

    RECOMPUTABLE: ClassVar = (LIGHT,)
    WITHIN: ClassVar = "mixer"

    def __init__(self, width: int, heads: int, feed_ratio: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.feed_norm = nn.LayerNorm(width)
        self.feed = nn.Sequential(
            nn.Linear(width, feed_ratio * width), nn.ReLU(), nn.Linear(feed_ratio * width, width)
        )
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, table: tuple[Tensor, Tensor], key_padding_mask: Tensor | None) -> Tensor:
        """(B, T, D) to the same shape; `key_padding_mask` (B, T) bool is True for padding columns."""
        return self.feed_forward(self.self_attention(x, table, key_padding_mask))

    def self_attention(
        self, x: Tensor, table: tuple[Tensor, Tensor], key_padding_mask: Tensor | None
    ) -> Tensor:
        """The first half: each column attends to all that are no padding."""
        b, t, d = x.shape
        qkv = (
            self.qkv(self.attention_norm(x)).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        )
        q, k = rotate(qkv[:2], table)  # each (B, N, T, D / N)
        seen = None if key_padding_mask is None else ~key_padding_mask[:, None, None, :]  # (B, 1, 1, T)
        attended = attend(q, k, qkv[2], seen, form=self.attention_form)  # (B, N, T, D / N)
        return x + self.dropout(self.attention_out(attended.transpose(1, 2).reshape(b, t, d)))

    def feed_forward(self, x: Tensor) -> Tensor:
        """The second half: the feed-forward layer, on each column by itself."""
        return x + self.dropout(self.run_stage(LIGHT, self.feed, self.feed_norm(x)))


class CtcRecognizer(Recomputable, RecognitionModel):
    """Line images to one row of class logits per column of 4 px.

    Args:
        config: Channels, depth and widths.
        image: Height and channels of the input.
        classes: C, the blank (class 0) included.
    """

    RECOMPUTABLE: ClassVar = (LIGHT, "trunk", "collapse", "mixer")
    STAGES: ClassVar[Stages] = {
        "trunk": ("trunk",),
        "collapse": ("collapse",),
        "mixer": ("mixer",),
        "head": ("norm", "head"),
    }
    CLASS_ROWS: ClassVar = ("head.weight", "head.bias")

    def __init__(self, config: CtcConfig, image: ImageConfig, classes: int) -> None:
        super().__init__()
        half, quarter, eighth = config.channels
        self.trunk = nn.Sequential(
            _conv(image.channels, half, (2, 2)),
            *(ResidualBlock(half) for _ in range(config.blocks[0])),
            _conv(half, quarter, (2, 2)),
            *(ResidualBlock(quarter) for _ in range(config.blocks[1])),
            _conv(quarter, eighth, (2, config.column_outputs)),
            *(ResidualBlock(eighth) for _ in range(config.blocks[2])),
        )
        rows = image.height_px // 8
        self.collapse = nn.Sequential(
            nn.Conv2d(eighth, config.hidden, (rows, 1), bias=False),
            nn.BatchNorm2d(config.hidden),
            nn.ReLU(inplace=True),
            *(ColumnBlock(config.hidden) for _ in range(config.column_blocks)),
        )
        self.mixer = nn.ModuleList(
            AttentionLayer(config.hidden, config.heads, config.feed_ratio, config.dropout)
            for _ in range(config.attention_layers)
        )
        self.norm = nn.LayerNorm(config.hidden)
        self.head = nn.Linear(config.hidden, config.column_outputs * classes)
        self.column_outputs = config.column_outputs
        self.head_width = config.hidden // config.heads

    def forward(self, images: Tensor, columns: Tensor | None = None) -> Tensor:
        """Class logits per column.

        Args:
            images: (B, C, H, W) float in 0..1, W a multiple of 4.
            columns: (B,) int64, columns before padding; None when nothing is padded.

        Returns:
            (B, T, C) logits, unnormalised.
        """
        x = images - 0.5
        if "trunk" in self.recomputed:
            stem, second, *others = self.trunk
            # What the stem gives is the largest of all: the second convolution is recomputed with it.
            x = self.run_stage("trunk", nn.Sequential(stem, second), x)  # (B, channels[1], H / 4, W / 4)
            for block in others:
                x = self.run_stage("trunk", block, x)
        else:
            x = self.run_layers(self.trunk, x)
        x = self.run_stage("collapse", self.collapse, x)  # (B, D, 1, T)
        x = x.squeeze(2).transpose(1, 2)  # (B, t, D), t columns
        t = x.shape[1]
        key_padding_mask = None
        if columns is not None:
            # (B, t)
            key_padding_mask = torch.arange(t, device=x.device) * self.column_outputs >= columns[:, None]
        table = rotary_table(t, self.head_width, x.device, x.dtype)
        for layer in self.mixer:
            assert isinstance(layer, AttentionLayer)
            x = self.run_stage("mixer", layer.self_attention, x, table, key_padding_mask)
            x = self.run_stage("mixer", layer.feed_forward, x)
        logits: Tensor = self.head(self.norm(x))  # (B, t, outputs * C)
        return logits.view(len(x), t * self.column_outputs, -1)
