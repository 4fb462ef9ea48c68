"""core.bench claims_ways: both sides of a claim train in a way that suits where they start."""

from __future__ import annotations

from pathlib import Path

import pytest

from vocr_cli.core.bench.inputs import choose_model
from vocr_cli.core.bench.measure import BenchBudget
from vocr_cli.core.bench.suites.claims_ways import ClaimSettings, ClaimWays
from vocr_cli.core.training.optim.fine_tuning_rate import rate_advice


def ways(model: str) -> ClaimWays:
    settings = ClaimSettings(
        model=model, data=None, valid=None, device="cpu", threads=1, budget=BenchBudget(batch_lines=32)
    )
    return ClaimWays(settings=settings, choice=choose_model(model))


@pytest.mark.parametrize("start_cer", (0.03, 0.4))
def test_trained_weights_of_vietocr_are_not_trained_at_the_rate_of_random_ones(start_cer: float) -> None:
    claims = ways("vgg_transformer")
    random = claims.accuracy_config(Path("lines.lmdb"), 60)
    trained = claims.accuracy_config(Path("lines.lmdb"), 60, start_cer=start_cer, width_px=120.0)
    assert trained.optim.lr < 0.7 * random.optim.lr
    assert rate_advice(trained, start_cer) is None
    assert trained.schedule == random.schedule and trained.train.max_steps == 60


def test_weights_that_read_nothing_are_not_warned_of_a_rate_that_makes_them_worse() -> None:
    claims = ways("vgg_transformer")
    random = claims.accuracy_config(Path("lines.lmdb"), 60)
    config = random.model_copy(update={"optim": random.optim.model_copy(update={"lr": 1e-2})})
    assert rate_advice(config, 6.33) is None
    assert "only 3.0%" in str(rate_advice(config, 0.03))


def test_short_lines_make_small_steps_whose_rate_is_lower() -> None:
    claims = ways("vgg_transformer")
    short, wide = (
        claims.accuracy_config(Path("lines.lmdb"), 60, start_cer=0.1, width_px=width).optim.lr
        for width in (100.0, 400.0)
    )
    assert wide == pytest.approx(2 * short, rel=0.05)
