"""The forms of attention agree, and the chunked one does not hold what it is there to avoid."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vocr_cli.core.config.families import TransformerConfig
from vocr_cli.core.config.tree import CtcConfig, ImageConfig
from vocr_cli.core.models.ctc import CtcRecognizer
from vocr_cli.core.models.layers import line_attention
from vocr_cli.core.models.layers.attention import attend, set_attention
from vocr_cli.core.models.vietocr.language_transformer import LanguageTransformer

FORMS = ("sdpa", "chunked", "lines", "plain")


def make_mask(kind: str, lines: int, queries: int, keys: int) -> Tensor | None:
    if kind == "padding":  # the first line has no key at all
        return (
            torch.arange(keys) < torch.randint(1, keys + 1, (lines, 1)) * (torch.arange(lines) > 0)[:, None]
        )[:, None, None, :]
    if kind == "some":
        return torch.rand(lines, 1, queries, keys) < 0.6
    if kind == "added":
        return torch.randn(queries, keys).masked_fill(torch.rand(queries, keys) < 0.3, -math.inf)
    return None


def results(form: str, inputs: list[Tensor], weight: Tensor, **options: object) -> list[Tensor]:
    """What comes out, and the gradients of q, k and v."""
    leaves = [tensor.clone().requires_grad_() for tensor in inputs]
    out = attend(*leaves, form=form, **options)  # type: ignore[arg-type]
    (out * weight).sum().backward()
    return [out.detach(), *(leaf.grad for leaf in leaves)]  # type: ignore[misc]


@settings(max_examples=60)
@given(
    lines=st.integers(1, 3),
    heads=st.integers(1, 2),
    queries=st.integers(1, 40),
    keys=st.integers(1, 40),
    width=st.sampled_from([4, 8]),
    chunk=st.integers(1, 50),
    kind=st.sampled_from(["none", "padding", "some", "added", "causal"]),
    seed=st.integers(0, 99),
)
def test_forms_agree_in_value_and_gradient(lines, heads, queries, keys, width, chunk, kind, seed):
    torch.manual_seed(seed)
    inputs = [torch.randn(lines, heads, length, width) for length in (queries, keys, keys)]
    weight = torch.randn(lines, heads, queries, width)
    options = {"mask": make_mask(kind, lines, queries, keys), "causal": kind == "causal"}
    plain = results("plain", inputs, weight, **options)
    for form in ("sdpa", "chunked", "lines"):
        found = results(form, inputs, weight, chunk=chunk, **options)
        for ours, reference in zip(found, plain, strict=True):
            torch.testing.assert_close(ours, reference, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mask", [torch.zeros(1, 1, 5, 7, dtype=torch.bool), torch.full((5, 7), -math.inf)])
def test_a_query_without_a_key_gives_zeros_and_no_nan(form, mask):
    out, *gradients = results(
        form, [torch.randn(2, 2, n, 4) for n in (5, 7, 7)], torch.ones(2, 2, 5, 4), mask=mask, chunk=3
    )
    assert not out.any()
    assert all(not gradient.any() for gradient in gradients)


def test_scores_of_any_size_do_not_overflow():
    inputs = [200 * torch.randn(1, 1, 9, 8) for _ in range(3)]
    weight = torch.ones(1, 1, 9, 8)
    for ours, reference in zip(
        results("chunked", inputs, weight, chunk=4), results("plain", inputs, weight), strict=True
    ):
        assert ours.isfinite().all()
        torch.testing.assert_close(ours, reference, atol=2e-3, rtol=1e-4)


@pytest.mark.parametrize(("form", "chunk"), [("chunked", 3), ("chunked", 64), ("lines", 64)])
def test_gradients_are_those_of_a_forms_own_dropout(form, chunk, monkeypatch):
    monkeypatch.setattr(line_attention, "_WEIGHTS_AT_ONCE", 2 * 7 * 8)  # one line at a time
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 2, n, 4, dtype=torch.float64, requires_grad=True) for n in (7, 8, 8))

    def drawn_alike(*inputs: Tensor) -> Tensor:
        torch.manual_seed(5)
        return attend(*inputs, dropout=0.4, form=form, chunk=chunk)

    assert not torch.allclose(drawn_alike(q, k, v), attend(q, k, v, form=form))
    assert torch.autograd.gradcheck(drawn_alike, (q, k, v))


@pytest.mark.parametrize("form", ["chunked", "lines"])
def test_dropout_keeps_the_mean(form):
    torch.manual_seed(0)
    q, k, v = torch.randn(1, 1, 4, 4), torch.randn(1, 1, 6, 4), torch.ones(1, 1, 6, 4)
    read = torch.stack([attend(q, k, v, dropout=0.3, form=form, chunk=4) for _ in range(2000)])
    assert abs(float(read.mean()) - 1) < 0.02
    assert float(read.std()) > 0.1


def test_short_lines_on_a_cpu_keep_a_byte_a_weight_under_dropout():
    """Weights, and what dropout left of them, in float32 were most of what VietOCR's transformer kept."""
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        inputs = [torch.randn(4, 2, 96, 8, requires_grad=True) for _ in range(3)]
        attend(*inputs, dropout=0.1)
    weights = [x for x in kept if x.numel() >= 96 * 96]
    assert sum(x.numel() for x in weights) == 4 * 2 * 96 * 96
    assert {x.dtype for x in weights} == {torch.uint8}


def test_auto_on_a_cpu_keeps_no_weights_under_dropout():
    """Torch's CPU kernel knows no dropout: it would fall back on the plain computation."""
    for dropout in (0.0, 0.1):
        with _Largest() as seen:
            inputs = [torch.randn(1, 1, 300, 8, requires_grad=True) for _ in range(3)]
            attend(*inputs, dropout=dropout).sum().backward()
        assert seen.numel < 300 * 300, f"dropout {dropout}: a tensor of {seen.numel:,} numbers"


class _Largest(TorchDispatchMode):
    """The size of the largest tensor that any operation made."""

    numel = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = function(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]
        self.numel = max([self.numel, *sizes])
        return out


def test_a_mask_and_causal_together_are_refused():
    q = torch.randn(1, 1, 3, 4)
    with pytest.raises(ValueError, match="exclude"):
        attend(q, q, q, torch.ones(3, 3, dtype=torch.bool), causal=True)


@pytest.mark.parametrize("form", ["chunked", "plain"])
def test_models_read_alike_in_every_form(form):
    torch.manual_seed(0)
    ctc = CtcRecognizer(
        CtcConfig(channels=(8, 8, 8), blocks=(0, 0, 0), hidden=32, column_blocks=0), ImageConfig(), 7
    ).eval()
    text = LanguageTransformer(
        TransformerConfig(
            d_model=16, heads=4, encoder_layers=1, decoder_layers=1, feed_forward=24, positions=300
        ),
        7,
    ).eval()
    calls = (
        (ctc, (torch.rand(2, 1, 40, 600), torch.tensor([150, 60]))),
        (text, (torch.randn(200, 2, 16), torch.randint(1, 7, (2, 9)))),
    )
    for module, inputs in calls:
        names = list(module.state_dict())
        torch.testing.assert_close(
            _in_form(module, form, inputs), _in_form(module, "sdpa", inputs), atol=1e-5, rtol=1e-5
        )
        assert list(module.state_dict()) == names


def _in_form(module: torch.nn.Module, form: str, inputs: tuple[Tensor, ...]) -> Tensor:
    set_attention(module, form)  # type: ignore[arg-type]
    with _Used() as used, torch.no_grad():
        out = module(*inputs)
    assert used.fused == (form == "sdpa"), "the model did not use that form"
    return out


class _Used(TorchDispatchMode):
    fused = False

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.fused |= "scaled_dot_product" in str(function)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("form", FORMS)
def test_mixed_precision_takes_parts_of_different_formats(form):
    """Under autocast the rotated queries and keys are float32 and the values bfloat16."""
    torch.manual_seed(0)
    q, k, v = torch.randn(1, 2, 9, 8), torch.randn(1, 2, 9, 8), torch.randn(1, 2, 9, 8).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = attend(q, k, v, form=form, chunk=4)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), attend(q, k, v.float()), atol=0.05, rtol=0.05)


@pytest.mark.gpu
@pytest.mark.parametrize("form", ["sdpa", "chunked"])
def test_forms_agree_on_a_gpu(form):
    torch.manual_seed(0)
    inputs = [torch.randn(2, 2, n, 32, device="cuda") for n in (90, 130, 130)]
    weight = torch.randn(2, 2, 90, 32, device="cuda")
    mask = (torch.arange(130) < torch.tensor([130, 40])[:, None])[:, None, None, :].cuda()
    for ours, reference in zip(
        results(form, inputs, weight, mask=mask), results("plain", inputs, weight, mask=mask), strict=True
    ):
        torch.testing.assert_close(ours, reference, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("form", ["sdpa", "chunked", "plain"])
def test_bf16_gradients_are_not_drowned_in_rounding(form):
    """Values with a common part: the gradient of a score is then a small difference of large numbers."""
    torch.manual_seed(0)
    q, k = 3 * torch.randn(2, 4, 60, 32), 3 * torch.randn(2, 4, 70, 32)
    v = 8 + torch.randn(2, 4, 70, 32)
    out_grad = torch.randn(2, 4, 60, 32) + 1

    def gradients(dtype):
        inputs = [x.to(torch.bfloat16).float().requires_grad_() for x in (q, k, v)]
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            attend(*(x.to(dtype) for x in inputs), form=form).float().backward(out_grad)
        return [x.grad for x in inputs]

    for true, found in zip(gradients(torch.float32), gradients(torch.bfloat16), strict=True):
        assert (found - true).norm() < 0.1 * true.norm()
