"""Clipping: exact values on small tensors, and limits that hold for any gradient."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from vocr_cli.core.config.tree import OptimConfig, parse_config
from vocr_cli.core.training.optim.clipping import Clipper

NUMBERS = st.floats(-1e3, 1e3, width=32)
GRADIENTS = st.tuples(
    st.lists(NUMBERS, min_size=6, max_size=6), st.lists(NUMBERS, min_size=2, max_size=2)
).map(lambda pair: (torch.tensor(pair[0]).view(2, 3), torch.tensor(pair[1])))


class Layer(nn.Module):
    """A matrix, a bias and a classifier, as adaptive clipping tells them apart."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(3, 2)
        self.head = nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.body.weight.copy_(torch.tensor([[3.0, 0, 4], [0, 0, 0]]))  # units of norm 5 and 0
            self.body.bias.copy_(torch.tensor([0.6, 0.8]))


def clipper(
    weight: Tensor, bias: Tensor | None = None, head: Tensor | None = None, **optim: object
) -> Clipper:
    layer = Layer()
    layer.body.weight.grad, layer.body.bias.grad, layer.head.weight.grad = weight.clone(), bias, head
    return Clipper(layer, OptimConfig(**optim))  # type: ignore[arg-type]


def flat(made: Clipper) -> Tensor:
    return torch.cat([gradient.flatten() for gradient in made.gradients()])


def test_norm_scales_the_whole_gradient_to_the_limit() -> None:
    made = clipper(torch.tensor([[3.0, 0, 0], [0, 0, 0]]), torch.tensor([0.0, 4.0]), clip_norm=1)
    assert made.clip() == (5.0, True)
    torch.testing.assert_close(flat(made), torch.tensor([0.6, 0, 0, 0, 0, 0, 0, 0.8]))


def test_value_cuts_only_the_elements_that_exceed_it() -> None:
    weight = torch.tensor([[3.0, -4.0, 0.5], [0, 0, 0]])
    made = clipper(weight, clip="value", clip_value=1.0)
    assert made.clip() == (pytest.approx(math.sqrt(25.25)), True)
    assert flat(made).tolist() == [1, -1, 0.5, 0, 0, 0]


def test_off_only_measures() -> None:
    made = clipper(torch.tensor([[300.0, 0, 400], [0, 0, 0]]), clip="off")
    assert made.clip() == (500.0, False)
    assert flat(made).tolist() == [300, 0, 400, 0, 0, 0]


def test_adaptive_holds_each_unit_to_its_own_weights_and_leaves_the_head() -> None:
    weight = torch.tensor([[0.0, 2, 0], [0, 2, 0]])
    made = clipper(
        weight, torch.tensor([3.0, 4.0]), torch.full((2, 2), 9.0), clip="adaptive", agc_ratio=0.1,
        clip_percentile=100,
    )  # fmt: skip
    norm, clipped = made.clip()
    assert norm == pytest.approx(math.sqrt(4 + 4 + 25 + 4 * 81)) and clipped
    rows = made.gradients()
    torch.testing.assert_close(rows[0], torch.tensor([[0, 0.5, 0], [0, 1e-4, 0]]))  # 0.1 × 5; 0.1 × 1e-3
    torch.testing.assert_close(rows[1], torch.tensor([0.06, 0.08]))  # the bias, of norm 1, is one unit
    assert (rows[2] == 9).all()


def test_the_adaptive_threshold_follows_the_norms_seen() -> None:
    options = {"clip": "adaptive", "clip_percentile": 50, "agc_ratio": 1e9}
    made = clipper(torch.zeros(2, 3), **options)
    for norm, left in [(1.0, 1.0), (3.0, 2.0), (5.0, 3.0), (5.0, 4.0), (5.0, 5.0), (0.5, 0.5)]:
        made.gradients()[0].copy_(torch.tensor([[norm, 0, 0], [0, 0, 0]]))
        assert made.clip() == (norm, left < norm)
        assert float(flat(made).norm()) == pytest.approx(left)
    again = clipper(torch.tensor([[9.0, 0, 0], [0, 0, 0]]), **options)
    again.load_state_dict(made.state_dict())
    again.clip()
    assert float(flat(again).norm()) == pytest.approx(5)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_no_threshold_follows_a_gradient_that_is_not_finite(bad: float) -> None:
    made = clipper(torch.tensor([[bad, 0, 0], [0, 0, 0]]), clip="adaptive")
    norm, clipped = made.clip()
    assert not math.isfinite(norm) and not clipped and not made.norms


def test_the_history_of_norms_is_bounded() -> None:
    made = clipper(torch.ones(2, 3), clip="adaptive", agc_ratio=1e9)
    made.load_state_dict({"norms": [1.0] * 1_000})
    made.clip()
    assert len(made.norms) == 1_000 and made.norms[-1] == pytest.approx(math.sqrt(6))


@settings(max_examples=50)
@given(GRADIENTS, st.floats(1e-3, 10))
def test_a_clipped_norm_is_within_its_limit_and_keeps_its_direction(
    gradients: tuple[Tensor, Tensor], limit: float
) -> None:
    made = clipper(*gradients, clip_norm=limit)
    before = flat(made).clone()
    norm, clipped = made.clip()
    after = flat(made)
    assert float(after.norm()) <= limit * (1 + 1e-5)
    torch.testing.assert_close(after, before * (limit / norm if clipped else 1.0))


@settings(max_examples=50)
@given(GRADIENTS, st.floats(1e-3, 10))
def test_no_clipped_value_exceeds_its_limit_or_changes_sign(
    gradients: tuple[Tensor, Tensor], limit: float
) -> None:
    made = clipper(*gradients, clip="value", clip_value=limit)
    before = flat(made).clone()
    made.clip()
    torch.testing.assert_close(flat(made), before.clamp(-limit, limit), rtol=1e-6, atol=0)


@settings(max_examples=50)
@given(GRADIENTS, st.floats(1e-3, 1))
def test_no_unit_exceeds_its_ratio_and_each_keeps_its_direction(
    gradients: tuple[Tensor, Tensor], ratio: float
) -> None:
    made = clipper(*gradients, clip="adaptive", agc_ratio=ratio, clip_percentile=100)
    units = [gradients[0][0], gradients[0][1], gradients[1]]
    before = [unit.clone() for unit in units]
    made.clip()
    weight, bias = made.gradients()
    for now, was, scale in zip((weight[0], weight[1], bias), before, (5.0, 1e-3, 1.0), strict=True):
        limit = ratio * scale
        assert float(now.norm()) <= limit * (1 + 1e-5)
        torch.testing.assert_close(now, was * min(1.0, limit / max(float(was.norm()), 1e-6)))


def test_off_is_a_word_in_yaml_too() -> None:
    assert parse_config({"optim": {"clip": False}}, "test").optim.clip == "off"
