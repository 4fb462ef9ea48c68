"""The mean of models: of their weights, of one architecture only, by the command."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from vocr_cli.app import app
from vocr_cli.core.models.files import load_model, save_model

runner = CliRunner()


def shifted(model: Path, out: Path, by: float) -> Path:
    """The same model, all of its weights greater by so much."""
    loaded = load_model(model)
    with torch.no_grad():
        for weight in loaded.module.parameters():
            weight += by
    save_model(out, loaded)
    return out


def test_weights_are_the_mean_of_all(tiny_model: Path, tmp_path: Path) -> None:
    others = [shifted(tiny_model, tmp_path / f"{by}.safetensors", by) for by in (0.25, 0.5)]
    out = tmp_path / "mean.safetensors"
    options = [word for other in others for word in ("--average", str(other))]
    result = runner.invoke(app, ["export", str(tiny_model), str(out), *options])
    assert result.exit_code == 0, result.output
    assert "the mean of 3 models" in result.output
    mean, first = load_model(out), load_model(tiny_model)
    for one, other in zip(mean.module.parameters(), first.module.parameters(), strict=True):
        torch.testing.assert_close(one, other + 0.25)
    assert len(mean.provenance["mean of"]) == 3 and mean.charset == first.charset


def test_other_models_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "mean.safetensors"
    result = runner.invoke(app, ["export", str(tiny_model), str(out), "--average", "vi-small"])
    assert result.exit_code == 1 and not out.exists()
    assert "another architecture" in str(result.exception)


@pytest.mark.parametrize(
    ("out", "more"), [("mean.onnx", ()), ("mean.safetensors", ("--grow", "attention_layers=3"))]
)
def test_what_does_not_go_together_is_a_mistake(
    tiny_model: Path, tmp_path: Path, out: str, more: tuple[str, ...]
) -> None:
    line = ["export", str(tiny_model), str(tmp_path / out), "--average", str(tiny_model), *more]
    assert runner.invoke(app, line).exit_code == 2
