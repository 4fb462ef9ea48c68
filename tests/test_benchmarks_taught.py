"""What `benchmarks/taught` teaches from is what the saved model computes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
import torch
from conftest import ROOT

from vocr_cli.core.config.families import TransformerConfig, VietocrConfig
from vocr_cli.core.models.vietocr.constants import VIETOCR_IMAGE
from vocr_cli.core.models.vietocr.recognizer import VietocrRecognizer


@pytest.fixture
def taught(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "taught"))
    import train

    yield train
    for name in ("train", "lines"):
        sys.modules.pop(name, None)


def test_features_are_those_of_the_scaled_backbone(taught: ModuleType) -> None:
    """In one autocast context the weights that were rounded before they were scaled went on."""
    torch.manual_seed(0)
    config = VietocrConfig(
        hidden=64, transformer=TransformerConfig(d_model=64, encoder_layers=1, decoder_layers=1)
    )
    model = VietocrRecognizer(config, VIETOCR_IMAGE, 233)
    lines = [
        taught.Line(
            torch.randint(0, 256, (32, width), dtype=torch.uint8), torch.zeros(width // 4).long(), "a"
        )
        for width in (40, 60, 40)
    ]
    found = taught.features_of(model, lines)
    for line, features in zip(lines, found, strict=True):
        with torch.no_grad():
            expected = model.features(taught.as_input([line]))[:, 0]
        torch.testing.assert_close(features.float(), expected, rtol=0.1, atol=0.01)
    assert float(torch.cat(found).float().std()) == pytest.approx(64**-0.5, rel=0.3)
