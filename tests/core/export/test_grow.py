"""Growing: the larger model computes the same, and all of it learns."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_vietocr import make_model
from typer.testing import CliRunner

from vocr_cli.app import app
from vocr_cli.core.errors import ConfigError, ModelError
from vocr_cli.core.export.grow import grow_model
from vocr_cli.core.models.files import load_model

runner = CliRunner()
LINES = torch.rand((2, 1, 40, 96), generator=torch.Generator().manual_seed(0))


def test_more_layers_compute_the_same(tiny_model: Path) -> None:
    model = load_model(tiny_model)
    had = model.config

    @settings(max_examples=10, deadline=None)
    @given(st.tuples(*[st.integers(0, 2)] * 3), st.integers(0, 2), st.integers(1, 2))
    def same(blocks: tuple[int, ...], columns: int, layers: int) -> None:
        depths = {
            "blocks": [a + b for a, b in zip(had.blocks, blocks, strict=True)],
            "column_blocks": had.column_blocks + columns,
            "attention_layers": had.attention_layers + layers,
        }
        larger = grow_model(model, depths)
        with torch.no_grad():
            assert torch.equal(larger.module.eval()(LINES), model.module.eval()(LINES))
        assert larger.provenance["parameters"] == sum(p.numel() for p in larger.module.parameters())

    same()


def test_growing_twice_gives_the_same_weights(tiny_model: Path) -> None:
    first, second = (grow_model(load_model(tiny_model), {"attention_layers": 4}).module for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_two_steps_change_every_weight(tiny_model: Path) -> None:
    larger = grow_model(
        load_model(tiny_model), {"blocks": [1, 1, 2], "column_blocks": 3, "attention_layers": 3}
    ).module.train()
    before = {name: value.clone() for name, value in larger.named_parameters()}
    step = torch.optim.SGD(larger.parameters(), 0.1)
    for _ in range(2):  # what ends a new layer learns in the first, what comes before it in the second
        step.zero_grad()
        larger(LINES).square().mean().backward()
        step.step()
    assert not [name for name, value in larger.named_parameters() if torch.equal(value, before[name])]


@pytest.mark.parametrize(
    ("depths", "says"),
    [
        ({"hidden": 64}, "hidden is no depth"),
        ({"attention_layers": 0}, "less than the model has"),
        ({"blocks": [0, 1]}, "blocks"),
        ({}, "no more than the model has"),
    ],
)
def test_what_is_no_growth_is_refused(tiny_model: Path, depths: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        grow_model(load_model(tiny_model), depths)


def test_other_families_are_refused() -> None:
    with pytest.raises(ModelError, match="only ctc"):
        grow_model(make_model(), {"attention_layers": 3})


def test_the_command_writes_a_model_to_train_from(tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "larger.safetensors"
    result = runner.invoke(app, ["export", str(tiny_model), str(out), "--grow", "attention_layers=3"])
    assert result.exit_code == 0, result.output
    assert "attention_layers: 3" in result.output and "--init" in result.output
    assert load_model(out).config.attention_layers == 3
    refused = runner.invoke(
        app, ["export", str(tiny_model), str(out), "--grow", "column_blocks=5", "--prune", "0.5"]
    )
    assert refused.exit_code == 2 and "One of" in refused.output
    refused = runner.invoke(
        app, ["export", str(tiny_model), str(tmp_path / "x.onnx"), "--grow", "column_blocks=5"]
    )
    assert refused.exit_code == 2 and "--grow" in refused.output
