"""Dropout with masks of its own."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.checkpoint import checkpoint

from vocr_cli.core.models.layers.dropout import Dropout, apply_dropout


@given(st.floats(0, 0.9), st.integers(0, 2**32))
def test_what_is_kept_is_scaled_and_its_gradient_too(share, seed):
    torch.manual_seed(seed)
    x = torch.rand(40, 50, requires_grad=True)
    out = apply_dropout(x + 1, share)
    out.sum().backward()
    kept = out != 0
    torch.testing.assert_close(out[kept], (x + 1)[kept] / (1 - share), rtol=1e-3, atol=0)
    torch.testing.assert_close(x.grad, kept / (1 - share), rtol=1e-3, atol=0)
    assert abs(float(kept.float().mean()) - (1 - share)) < 0.06


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_masks_follow_torchs_seed_and_are_drawn_anew(dtype):
    layer, x = Dropout(0.1).train(), torch.ones(300, dtype=dtype)
    torch.manual_seed(1)
    first, second = layer(x), layer(x)
    torch.manual_seed(1)
    assert torch.equal(layer(x), first) and not torch.equal(first, second)
    assert first.dtype == dtype
    assert layer.eval()(x) is x


def test_a_recomputed_stage_draws_the_same_mask():
    layer, x = Dropout(0.5).train(), torch.rand(1000, requires_grad=True)
    out = checkpoint(lambda y: layer(y) * y, x, use_reentrant=False)
    out.sum().backward()
    assert torch.equal(x.grad == 0, out == 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_relu_with_dropout_is_relu_then_dropout_and_keeps_its_result_alone(dtype):
    layer, dense = Dropout(0.3).train(), torch.nn.Linear(20, 30, dtype=dtype)
    x = torch.randn(40, 50, 20, dtype=dtype, requires_grad=True)
    kept: list[torch.Tensor] = []
    torch.manual_seed(3)
    with torch.autograd.graph.saved_tensors_hooks(lambda y: kept.append(y) or y, lambda y: y):
        out = layer.relu(dense(x))
    grads = torch.autograd.grad(out.sum(), (x, dense.weight))
    torch.manual_seed(3)
    plain = layer(torch.relu(dense(x)))
    assert torch.equal(out, plain)
    for ours, reference in zip(grads, torch.autograd.grad(plain.sum(), (x, dense.weight)), strict=True):
        torch.testing.assert_close(ours, reference)
    assert sum(y.numel() for y in kept if y.numel() >= 40 * 50 * 30) == 40 * 50 * 30
    assert torch.equal(layer.eval().relu(x), torch.relu(x))
