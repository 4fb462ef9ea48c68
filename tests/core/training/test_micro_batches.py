"""Steps that do not fit in memory are taken in pieces that come to the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import line_image
from torch import Tensor, nn

from vocr_cli.core.config.tree import Config, parse_config
from vocr_cli.core.data.loader.batch import Batch
from vocr_cli.core.training.checkpoint import load_checkpoint
from vocr_cli.core.training.loop import train
from vocr_cli.core.training.record.events import OutOfMemory, StepDone
from vocr_cli.core.training.run import Run, build_run

SHORT = [
    torch.OutOfMemoryError("no more"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"),
]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    folder = tmp_path_factory.mktemp("lines")
    for number in range(16):
        line_image(number, 80).save(folder / f"{number}.png")
    rows = [f"{number}.png\t{'abcde'[: 1 + number % 5]}\n" for number in range(16)]
    (folder / "train.txt").write_text("".join(rows), encoding="utf-8")
    tree = {
        "model": {
            "channels": [8, 8, 16],
            "blocks": [0, 0, 0],
            "hidden": 32,
            "column_blocks": 1,
            "dropout": 0,
        },
        "data": {"train": [{"annotations": str(folder / "train.txt")}], "workers": 0},
        "batch": {"max_lines": 8},
        "augment": {"strength": 0},
        "train": {"max_steps": 3, "log_every_steps": 1},
        "precision": {"amp": "off"},
    }
    return parse_config(tree, "test")


def still(run: Run) -> Run:
    """With fixed batch statistics: those of micro-batches are not those of the whole."""
    for layer in run.module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.train = lambda mode=True, layer=layer: layer  # type: ignore[method-assign,misc]
            layer.training = False
    return run


def short_above(lines: int, loss: Callable[..., Any], error: RuntimeError) -> Callable[..., Any]:
    def failing(module: nn.Module, images: Tensor, batch: Batch) -> Any:
        if len(batch.texts) > lines:
            raise error
        return loss(module, images, batch)

    return failing


@pytest.mark.parametrize("error", SHORT)
def test_pieces_give_the_gradient_of_the_whole(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch, error: RuntimeError
) -> None:
    whole, cut = (still(build_run(config, tmp_path / name, device="cpu")) for name in ("whole", "cut"))
    monkeypatch.setattr(cut.objective, "loss", short_above(2, cut.objective.loss, error))
    events: list[object] = []
    for run, log in ((whole, []), (cut, events)):
        for event in train(run):
            log.append(event)
            if isinstance(event, StepDone) and event.step == 1:
                break
    assert [event for event in events if isinstance(event, OutOfMemory)] == [
        OutOfMemory(0, 2), OutOfMemory(0, 4),
    ]  # fmt: skip
    assert whole.state.micro_batches == 1 and cut.state.micro_batches == 4
    assert cut.state.lines == whole.state.lines
    pairs = zip(whole.module.parameters(), cut.module.parameters(), strict=True)
    for one, other in pairs:
        assert one.grad is not None and other.grad is not None
        torch.testing.assert_close(other.grad, one.grad, rtol=1e-4, atol=1e-6)


def test_the_number_of_pieces_outlasts_a_resume(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = build_run(config, tmp_path, device="cpu")
    monkeypatch.setattr(run.objective, "loss", short_above(4, run.objective.loss, SHORT[0]))
    events = list(train(run))
    assert sum(isinstance(event, OutOfMemory) for event in events) == 1
    assert load_checkpoint(run.checkpoints.last_path)["loop_state"]["micro_batches"] == 2
    again = build_run(config, tmp_path, device="cpu")
    again.checkpoints.restore(again)
    assert again.state.micro_batches == 2


def test_a_line_that_does_not_fit_alone_ends_the_run(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = build_run(config, tmp_path, device="cpu")
    monkeypatch.setattr(run.objective, "loss", short_above(0, run.objective.loss, SHORT[0]))
    with pytest.raises(torch.OutOfMemoryError):
        list(train(run))


def test_other_faults_are_not_taken_for_want_of_memory(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = build_run(config, tmp_path, device="cpu")
    fault = RuntimeError("shapes do not match")
    monkeypatch.setattr(run.objective, "loss", short_above(0, run.objective.loss, fault))
    with pytest.raises(RuntimeError, match="shapes"):
        list(train(run))
    assert run.state.micro_batches == 1
