"""Scaled dot-product attention (Vaswani et al., 2017) in four forms that agree to rounding.

Legend: B lines, N heads, L queries, S keys, d width of a head.

`sdpa` is torch's: fused kernels that never hold the (L, S) weights (Dao et al., 2022). On CPUs torch has one
only without dropout; with dropout it computes plainly and keeps every weight for the backward pass. Where a
gradient is wanted on a CPU it gets float32: the backward pass of its 16-bit kernel takes twice as long on
lines of 100 columns, and no less on longer ones.
`chunked` holds the weights of one block of queries and keys at a time, under an online softmax (Rabe and
Staats, 2021), and computes them again in the backward pass, so that its memory grows as L + S on any device;
`lines` holds those of a few lines at a time, and computes them again as well, on CPUs: elsewhere `chunked`
takes its place; `plain` holds them all: what the others are measured against.

All of ours compute in float32 at least, whatever the number format of q, k and v: the gradient of a score is
a small difference of large numbers, and in bfloat16 it drowned in rounding (a gradient five times as long as
the true one, and training that diverged).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vocr_cli.core.models.layers.dropout import apply_dropout
from vocr_cli.core.models.layers.line_attention import LineAttention, attention_weights

Form = Literal["auto", "sdpa", "chunked", "lines", "plain"]
CHUNK = 128
"""Queries, and keys, of a block."""

_FEW_WEIGHTS = 256 * 256  # of a head: 0.25 MB


class AttentionModule(nn.Module):
    """A module that attends, in the form that `set_attention` chose."""

    attention_form: Form = "auto"


def set_attention(module: nn.Module, form: Form) -> None:
    """Makes every attention of a model use a form; weights and their names stay as they are."""
    if form not in get_args(Form):
        raise ValueError(f"{form!r} is none of {', '.join(get_args(Form))}")
    for layer in module.modules():
        if isinstance(layer, AttentionModule):
            layer.attention_form = form


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None = None,
    *,
    causal: bool = False,
    dropout: float = 0.0,
    form: Form = "auto",
    chunk: int = CHUNK,
) -> Tensor:
    """softmax(q kᵀ / √d) v; a query that may see no key gets zeros.

    Args:
        q: (B, N, L, d).
        k: (B, N, S, d).
        v: (B, N, S, d).
        mask: Broadcast to (B, N, L, S): bool, True where a key is seen, or float, added to the scores;
            no gradient flows to it.
        causal: Query i sees keys 0..i; not together with a mask.
        dropout: Probability that a weight is dropped. The forms draw their random numbers differently.
        form: `auto`: `sdpa` where the device has a fused kernel for it, else `lines` for short lines, where
            it is the fastest, and `chunked` for long ones.
        chunk: Queries, and keys, of a block of `chunked`.

    Returns:
        (B, N, L, d).

    Raises:
        ValueError: Both a mask and `causal`.
    """
    if causal and mask is not None:
        raise ValueError("a mask and `causal` exclude one another")
    if form == "auto":
        form = "sdpa"
        if q.device.type == "cpu" and dropout > 0:
            form = "lines" if q.shape[-2] * k.shape[-2] <= _FEW_WEIGHTS else "chunked"
    kind = q.device.type
    if form == "lines" and kind != "cpu":
        form = "chunked"
    if form == "sdpa" and (kind != "cpu" or not torch.is_grad_enabled()):
        return F.scaled_dot_product_attention(q, k, v, mask, dropout, causal)
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else q.dtype
    with torch.autocast(kind, enabled=False):
        if form in ("sdpa", "plain"):
            wide = torch.promote_types(q.dtype, torch.float32)
            q, k, v = q.to(wide), k.to(wide), v.to(wide)
            if form == "sdpa":
                if mask is not None and mask.is_floating_point():
                    mask = mask.to(wide)
                return F.scaled_dot_product_attention(q, k, v, mask, dropout, causal).to(dtype)
            return _plain(q, k, v, _triangle(q, k) if causal else mask, dropout).to(dtype)
        q, k, v = q.to(dtype), k.to(dtype), v.to(dtype)
        if form == "lines":
            out: Tensor = LineAttention.apply(q, k, v, _triangle(q, k) if causal else mask, dropout)
        else:
            out = _Chunked.apply(q, k, v, mask, causal, dropout, chunk)
    return out


def _triangle(q: Tensor, k: Tensor) -> Tensor:
    return torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool, device=q.device).tril()


def _plain(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    weights = attention_weights((q * q.shape[-1] ** -0.5) @ k.mT, mask)  # (B, N, L, S)
    return apply_dropout(weights, dropout) @ v


def _blocks(length: int, chunk: int) -> list[slice]:
    return [slice(start, min(start + chunk, length)) for start in range(0, length, chunk)]


class _Blocks:
    """Scores and dropout of one block after another, the same ones each time it is walked through.

    Args:
        q: (B, N, L, d).
        k: (B, N, S, d).
        mask: See `attend`.
        causal: See `attend`.
        dropout: See `attend`.
        chunk: Queries, and keys, of a block.
        seed: Of the dropout.
    """

    def __init__(
        self, q: Tensor, k: Tensor, mask: Tensor | None, causal: bool, dropout: float, chunk: int, seed: int
    ) -> None:
        self._q, self._k, self._mask, self._causal = q, k, mask, causal
        self._dropout, self._chunk = dropout, chunk
        self._scale = q.shape[-1] ** -0.5
        self._dtype = torch.promote_types(q.dtype, torch.float32)
        self._random = torch.Generator(q.device).manual_seed(seed) if dropout else None

    def rows(self) -> list[slice]:
        """Of the queries."""
        return _blocks(self._q.shape[-2], self._chunk)

    def columns(self, rows: slice) -> Iterator[slice]:
        """Of the keys that some of these queries may see."""
        for columns in _blocks(self._k.shape[-2], self._chunk):
            if not self._causal or columns.start < rows.stop:
                yield columns

    def scores(self, rows: slice, columns: slice) -> Tensor:
        """(B, N, rows, columns) float32 or wider; -inf where nothing is seen."""
        queries, keys = self._q[..., rows, :].to(self._dtype), self._k[..., columns, :].to(self._dtype)
        scores = queries @ keys.mT * self._scale
        if self._causal and columns.stop > rows.start:
            queries_at = torch.arange(rows.start, rows.stop, device=scores.device)[:, None]
            ahead = torch.arange(columns.start, columns.stop, device=scores.device) > queries_at
            return scores.masked_fill_(ahead, -math.inf)
        if self._mask is None:
            return scores
        mask = self._mask[
            ...,
            rows if self._mask.shape[-2] > 1 else slice(None),
            columns if self._mask.shape[-1] > 1 else slice(None),
        ]
        return scores.masked_fill_(~mask, -math.inf) if mask.dtype == torch.bool else scores.add_(mask)

    def dropout_mask(self, block: Tensor) -> Tensor | None:
        """What to multiply a block's weights by under dropout; None: nothing is dropped."""
        if self._random is None:
            return None
        mask = torch.empty_like(block).bernoulli_(1 - self._dropout, generator=self._random)
        return mask.div_(1 - self._dropout)


class _Chunked(torch.autograd.Function):
    """Attention block by block. The backward pass follows Dao et al., 2022, appendix B."""

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, dropout: float,
        chunk: int,
    ) -> Tensor:  # fmt: skip
        """See `attend`."""
        seed = int(torch.randint(2**62, ())) if dropout else 0
        ctx.settings = (causal, dropout, chunk, seed)
        blocks = _Blocks(q, k, mask, *ctx.settings)
        wide = torch.promote_types(q.dtype, torch.float32)
        out = torch.empty(*q.shape[:-1], v.shape[-1], dtype=wide, device=q.device)
        log_sums = []
        for rows in blocks.rows():
            out[..., rows, :], log_sum = _attend_rows(blocks, rows, v)
            log_sums.append(log_sum)
        ctx.save_for_backward(q, k, v, mask, out, torch.cat(log_sums, dim=-2))
        return out.to(q.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of q, k and v."""
        with torch.autocast(grads[0].device.type, enabled=False):
            return _gradients(ctx, grads[0])


def _gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    q, k, v, mask, out, log_sums = ctx.saved_tensors
    blocks = _Blocks(q, k, mask, *ctx.settings)
    scale, dtype = q.shape[-1] ** -0.5, log_sums.dtype
    grad_q, grad_k, grad_v = (torch.zeros_like(x, dtype=dtype) for x in (q, k, v))
    for rows in blocks.rows():
        grad_out, queries = grad[..., rows, :].to(dtype), q[..., rows, :].to(dtype)
        mean = (grad_out * out[..., rows, :]).sum(-1, keepdim=True)  # of the weights' gradients
        for columns in blocks.columns(rows):
            weights = blocks.scores(rows, columns).sub_(log_sums[..., rows, :]).exp_()
            grad_weights = grad_out @ v[..., columns, :].to(dtype).mT
            dropout_mask = blocks.dropout_mask(weights)
            if dropout_mask is not None:
                grad_weights.mul_(dropout_mask)
            dropped_weights = weights if dropout_mask is None else dropout_mask.mul_(weights)
            grad_v[..., columns, :] += dropped_weights.mT @ grad_out
            grad_scores = grad_weights.sub_(mean).mul_(weights).mul_(scale)
            grad_q[..., rows, :] += grad_scores @ k[..., columns, :].to(dtype)
            grad_k[..., columns, :] += grad_scores.mT @ queries
    return grad_q.to(q.dtype), grad_k.to(k.dtype), grad_v.to(v.dtype), None, None, None, None


def _attend_rows(blocks: _Blocks, rows: slice, v: Tensor) -> tuple[Tensor, Tensor]:
    """What some queries read, (B, N, rows, d), and the logarithms of their sums, (B, N, rows, 1).

    The logarithm is inf for a query that sees nothing, so that exp(score - logarithm) is 0 for it.
    """
    top = total = out = None
    for columns in blocks.columns(rows):
        scores = blocks.scores(rows, columns)
        highest = scores.amax(-1, keepdim=True)
        new_top = highest if top is None else torch.maximum(top, highest)
        base = new_top.masked_fill(new_top == -math.inf, 0)
        weights = scores.sub_(base).exp_()
        summed = weights.sum(-1, keepdim=True)
        dropout_mask = blocks.dropout_mask(weights)
        block_out = (weights if dropout_mask is None else weights.mul_(dropout_mask)) @ v[..., columns, :].to(
            base
        )
        if top is not None and total is not None and out is not None:
            shrink = (top - base).exp_()
            summed, block_out = summed.add_(total * shrink), block_out.add_(out * shrink)
        top, total, out = new_top, summed, block_out
    assert top is not None and total is not None and out is not None  # S >= 1
    seen = total > 0
    log_sum = torch.where(seen, top + total.log(), math.inf)
    return out / torch.where(seen, total, 1), log_sum
