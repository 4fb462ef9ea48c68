"""Attention of a few lines at a time, its weights computed again in the backward pass (Chen et al., 2016).

Legend: B lines, N heads, L queries, S keys, d width of a head.

All weights of all lines, (B, N, L, S) in float32, and again what dropout leaves of them, are the most that a
transformer over short lines keeps for the backward pass: a gigabyte for 32 lines of 512 px in VietOCR's. Here
a byte each is kept, the mask. The weights of a few lines at a time stay in a processor's cache besides, from
the scores to the products with the values, so that computing them twice takes no longer than keeping them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from vocr_cli.core.models.layers.dropout import DropoutMasks

_WEIGHTS_AT_ONCE = 400_000
"""1.6 MB: what the second-level caches of two cores hold, of one on processors with AMX."""


def attention_weights(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Softmax over the keys; a query that may see no key gets zeros.

    Args:
        scores: (B, N, L, S) float32 or wider.
        mask: Broadcast to the scores: bool, True where a key is seen, or float, added to them; None: all are
            seen.
    """
    if mask is None:
        return scores.softmax(-1)
    if mask.dtype != torch.bool:
        scores = scores + mask
        mask = mask > -math.inf
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)  # -inf makes NaN of rows without a key
    return scores.softmax(-1).masked_fill(~mask, 0)


class LineAttention(torch.autograd.Function):
    """Attends from q (B, N, L, d) to k and v (B, N, S, d), a few lines at a time.

    `apply(q, k, v, mask, dropout)`; the arguments are those of `attend`, of one number format, and the
    products are computed in float32 at least. No gradient flows to the mask.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
        """See `attend`."""
        masks = DropoutMasks(dropout) if dropout else None
        ctx.scale = 1.0 if masks is None else masks.scale
        out = torch.empty_like(q)
        stays = []
        for lines in _few_lines(q, k):
            wide_q, wide_k, wide_v = _wide(q[lines]), _wide(k[lines]), _wide(v[lines])
            weights = _weights(wide_q, wide_k, _of_lines(mask, lines))
            if masks is not None:
                stays.append(masks.draw(weights.shape))
                weights = weights.mul_(stays[-1])
            out[lines] = weights @ wide_v.mul(ctx.scale)
        ctx.save_for_backward(q, k, v, mask, *stays)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of q, k and v."""
        q, k, v, mask, *stays = ctx.saved_tensors
        with torch.autocast(q.device.type, enabled=False):
            grad_q, grad_k, grad_v = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
            for index, lines in enumerate(_few_lines(q, k)):
                wide_q, wide_k, wide_v = _wide(q[lines]), _wide(k[lines]), _wide(v[lines])
                weights = _weights(wide_q, wide_k, _of_lines(mask, lines))
                grad_out = _wide(grads[0][lines]).mul(ctx.scale)  # (b, N, L, d)
                grad_weights = grad_out @ wide_v.mT
                if stays:
                    grad_weights.mul_(stays[index])
                    grad_v[lines] = (weights * stays[index]).mT @ grad_out
                else:
                    grad_v[lines] = weights.mT @ grad_out
                grad_scores = torch.ops.aten._softmax_backward_data(grad_weights, weights, -1, weights.dtype)
                scale = q.shape[-1] ** -0.5
                grad_q[lines] = (grad_scores @ wide_k).mul_(scale)
                grad_k[lines] = (grad_scores.mT @ wide_q).mul_(scale)
        return grad_q, grad_k, grad_v, None, None


def _weights(q: Tensor, k: Tensor, mask: Tensor | None) -> Tensor:
    return attention_weights((q * q.shape[-1] ** -0.5) @ k.mT, mask)


def _few_lines(q: Tensor, k: Tensor) -> Iterator[slice]:
    """Slices of the lines, of not too many weights each."""
    lines, heads, queries, _ = q.shape
    at_once = max(1, _WEIGHTS_AT_ONCE // max(1, heads * queries * k.shape[-2]))
    for start in range(0, lines, at_once):
        yield slice(start, min(start + at_once, lines))


def _of_lines(mask: Tensor | None, lines: slice) -> Tensor | None:
    return mask[lines] if mask is not None and mask.ndim == 4 and len(mask) > 1 else mask


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
