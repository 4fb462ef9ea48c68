"""Prepared products against plain ones."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from vocr_cli.core.decoding import linear as module
from vocr_cli.core.decoding.linear import Linear


def check(rows, inputs, outputs, dtype):
    tolerance = 1e-5 if dtype == torch.float32 else 0.05
    weight, bias = torch.randn(outputs, inputs), torch.randn(outputs)
    x, shortcut = torch.randn(rows, inputs).to(dtype), torch.randn(rows, outputs).to(dtype)
    linear, bare = Linear(weight, bias, dtype), Linear(weight, None, dtype)
    expected = F.linear(x.double(), weight.to(dtype).double(), bias.to(dtype).double())
    plain = F.linear(x.double(), weight.to(dtype).double())

    def close(found, wanted):
        assert found.dtype == dtype
        torch.testing.assert_close(found.double(), wanted, rtol=tolerance, atol=tolerance * inputs**0.5)

    close(linear(x), expected)
    close(linear(x[None]), expected[None])
    close(linear.relu(x), expected.relu())
    close(bare(x), plain)
    before = shortcut.clone()
    close(bare.onto(shortcut, x), plain + shortcut.double())
    assert torch.equal(shortcut, before)


@settings(max_examples=12, deadline=None)
@given(
    rows=st.integers(1, 5),
    inputs=st.integers(1, 40),
    outputs=st.integers(1, 40),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_a_prepared_product_is_the_product(rows, inputs, outputs, dtype):
    check(rows, inputs, outputs, dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_where_torch_cannot_prepare_weights_plain_products_serve(monkeypatch, dtype):
    monkeypatch.setattr(module, "_packs", lambda dtype: False)
    check(3, 7, 5, dtype)
