"""The chart of `vocr bench claims`: what it writes stays beside, not on, one another."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from vocr_cli.core.bench.suites.claims_chart import draw_claims
from vocr_cli.core.bench.suites.promises import Promise

MARGIN_PX = 36


def drawn(*promises: Promise) -> np.ndarray[Any, Any]:
    """The picture of a report that measured little, (H, W) bool: true where there is ink."""
    machine = SimpleNamespace(gpu="", cpu_model="a processor")
    report = SimpleNamespace(
        promises=promises, training=(), reading=(), memory=(SimpleNamespace(name="way", shown_mb=None),),
        memory_lines=32, memory_width_px=400, mean_width_px=400.0, data="lines",
        setup=SimpleNamespace(model="vi-small", machine=machine, threads=2, vocr="0"),
        budget=SimpleNamespace(rounds=3),
    )  # fmt: skip
    return np.asarray(draw_claims(cast(Any, report)).convert("L")) < 160


def promise(verdict: str, **others: Any) -> Promise:
    known: dict[str, Any] = {
        "baseline": "95.00 % CER (93.05–96.67)",
        "all_on": "95.67 % CER (93.73–97.35)",
        "change": 0.01,
    }
    return Promise(name="accuracy", promised="kept", verdict=verdict, **(known | others))


def test_why_a_promise_is_not_measured_stands_in_rows_of_its_own_within_the_margin() -> None:
    plain = drawn(promise("met"))
    explained = drawn(promise("not measured: " + "take more --accuracy-steps, or other lines; " * 6))
    assert not explained[:, -MARGIN_PX + 2 :].any()
    assert len(explained) >= len(plain) + 3 * 30
    figures = slice(130, 148), slice(390, 780)
    assert np.array_equal(explained[figures], plain[figures]), "something is written over the figures"


def test_a_promise_kept_by_recomputing_alone_says_so() -> None:
    plain = drawn(promise("missed"))
    lean = drawn(promise("missed", lean="130 MB", lean_change=-0.51, lean_verdict="met"))
    assert len(lean) == len(plain) + 30 and lean[160:178, 872:].any()
