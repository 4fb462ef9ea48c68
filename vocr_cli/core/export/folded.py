"""The same function in fewer operations: what an exported graph holds. B lines, T columns, D width, N heads.

Three things that cost a runtime more than they compute are moved into the weights: the scale and shift of
each LayerNorm, the division of attention's scores by the root of the head width, and the rotation of halves
for rotary positions, which becomes a second product with rotated weights. Tables of positions are stored.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vocr_cli.core.config.image import ImageConfig
from vocr_cli.core.config.tree import COLUMN_PX
from vocr_cli.core.models.ctc import AttentionLayer, CtcRecognizer, rotary_table


class FoldedRecognizer(nn.Module):
    """A `CtcRecognizer` for inference, without padding: (B, channels, H, W) to (B, T, C).

    Args:
        model: In evaluation mode; its weights are copied where they change.
        image: Its width limit sizes the tables.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, model: CtcRecognizer, image: ImageConfig) -> None:
        super().__init__()
        self.trunk = model.trunk
        self.collapse = model.collapse
        self.mixer = nn.ModuleList(
            FoldedAttention(layer) for layer in model.mixer if isinstance(layer, AttentionLayer)
        )
        self.column_outputs = model.column_outputs
        self.norm = norm_without_affine(model.norm)
        self.head = _after_norm(model.norm, model.head.weight, model.head.bias)
        cos, sin = rotary_table(
            image.max_width_px // COLUMN_PX + 1, model.head_width, torch.device("cpu"), torch.float32
        )
        self.register_buffer("cos", torch.cat((cos, cos), dim=1)[:, None])  # (T, 1, head width)
        self.register_buffer("sin", torch.cat((sin, sin), dim=1)[:, None])

    def forward(self, images: Tensor) -> Tensor:
        """(B, channels, H, W) float in 0..1 to (B, T, C) logits."""
        return self.read(self.trunk(images - 0.5))

    def read(self, features: Tensor) -> Tensor:
        """(B, channels, H/8, T) features of the trunk to (B, T, C) logits."""
        x = self.collapse(features)[:, :, 0].transpose(1, 2)  # (B, T, D)
        cos, sin = self.cos[: x.shape[1]], self.sin[: x.shape[1]]
        for layer in self.mixer:
            x = layer(x, cos, sin)
        logits: Tensor = self.head(self.norm(x))
        if self.column_outputs == 1:
            return logits
        classes = self.head.out_features // self.column_outputs
        return logits.unflatten(2, (self.column_outputs, classes)).flatten(1, 2)


class FoldedAttention(nn.Module):
    """An `AttentionLayer` that computes the same."""

    def __init__(self, layer: AttentionLayer) -> None:
        super().__init__()
        width = layer.qkv.in_features
        self.heads = layer.heads
        self.attention_norm = norm_without_affine(layer.attention_norm)
        q, k, v = layer.qkv.weight.split(width)  # each (D, D)
        q_bias, k_bias, v_bias = layer.qkv.bias.split(width)
        scale = (width // layer.heads) ** -0.5
        query_key = torch.cat((q * scale, k)), torch.cat((q_bias * scale, k_bias))
        rotated = tuple(rotate_half(rows, 2 * layer.heads) for rows in query_key)
        # The names of these two layers are those of tensors in ONNX files, which stay as they are.
        self.turned = _after_norm(layer.attention_norm, *query_key)
        self.exchanged = _after_norm(layer.attention_norm, *rotated)
        self.value = _after_norm(layer.attention_norm, v, v_bias)
        self.attention_out = layer.attention_out
        self.feed_norm = norm_without_affine(layer.feed_norm)
        first, activation, second = layer.feed
        assert isinstance(first, nn.Linear)
        self.feed = nn.Sequential(_after_norm(layer.feed_norm, first.weight, first.bias), activation, second)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """(B, T, D) to the same shape; `cos` and `sin` (T, 1, head width)."""
        b, t, d = x.shape
        normed = self.attention_norm(x)
        split = (b, t, 2 * self.heads, d // self.heads)
        query_key = self.turned(normed).view(split) * cos + self.exchanged(normed).view(split) * sin
        q, k = query_key.split(self.heads, dim=2)  # each (B, T, N, head width)
        v = self.value(normed).view(b, t, self.heads, d // self.heads).transpose(1, 2)
        scores = (q.transpose(1, 2) @ k.permute(0, 2, 3, 1)).softmax(-1)  # (B, N, T, T)
        x = x + self.attention_out((scores @ v).transpose(1, 2).reshape(b, t, d))
        fed: Tensor = x + self.feed(self.feed_norm(x))
        return fed


def norm_without_affine(norm: nn.LayerNorm) -> nn.LayerNorm:
    """The norm without its scale and shift, which `_after_norm` moves into the layer behind it."""
    return nn.LayerNorm(norm.normalized_shape, norm.eps, elementwise_affine=False)


def _after_norm(norm: nn.LayerNorm, weight: Tensor, bias: Tensor) -> nn.Linear:
    """The layer (out, D) that does to the norm without its affine what `weight` and `bias` do to `norm`."""
    linear = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        linear.weight.copy_(weight * norm.weight)
        linear.bias.copy_(bias + weight @ norm.bias)
    return linear


def rotate_half(rows: Tensor, heads: int) -> Tensor:
    """(heads × head width, ...) with each head's halves exchanged, the new first half negated.

    Rotary positions are then x cos + rotate_half(x) sin (Su et al., 2021).
    """
    left, right = rows.view(heads, 2, -1, *rows.shape[1:]).unbind(1)
    return torch.stack((-right, left), dim=1).reshape(rows.shape)
