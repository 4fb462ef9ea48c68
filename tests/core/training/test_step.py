"""One optimizer step: accumulation weighs every line alike, and a bad step changes nothing."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vocr_cli.core.config.tree import Config, OptimConfig
from vocr_cli.core.data.loader.batch import Batch
from vocr_cli.core.text import Charset
from vocr_cli.core.training.optim.clipping import Clipper
from vocr_cli.core.training.step.objective import CtcObjective, Objective
from vocr_cli.core.training.step.step import TrainStep
from vocr_cli.core.training.step.train_state import TrainState, make_train_state

CPU = torch.device("cpu")
WITHOUT_CLIPPING = OptimConfig(clip="off", ema_decay=0.5)


class Columns(nn.Module):
    """(B, 1, H, W) to (B, W / 4, C) logits; with BatchNorm where asked."""

    def __init__(self, classes: int, norm: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 6, (8, 4), stride=(8, 4))
        self.norm: nn.Module = nn.BatchNorm2d(6) if norm else nn.Identity()
        self.head = nn.Linear(6, classes)

    def forward(self, images: Tensor, columns: Tensor) -> Tensor:
        logits: Tensor = self.head(self.norm(self.conv(images)).mean(2).transpose(1, 2))
        return logits


def batch_of(lines: int, seed: int, first: int = 0) -> Batch:
    made = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (lines, 8, 40, 1), dtype=torch.uint8, generator=made)
    lengths = torch.randint(1, 5, (lines,), generator=made)
    targets = torch.randint(1, 9, (int(lengths.sum()),), generator=made)
    names = [f"line {first + number}" for number in range(lines)]
    return Batch(images, torch.full((lines,), 40), targets, lengths, ["?"] * lines, names)


def joined(batches: Sequence[Batch]) -> Batch:
    return Batch(
        *(
            torch.cat([getattr(batch, part) for batch in batches])
            for part in ("images", "widths", "targets", "lengths")
        ),
        [text for batch in batches for text in batch.texts],
        [name for batch in batches for name in batch.names],
    )


def to_float(batch: Batch) -> Tensor:
    return batch.images.permute(0, 3, 1, 2).float() / 255


def make_step(
    norm: bool = False,
    objective: Objective | None = None,
    fp16: bool = False,
    augmentation: Callable[[Batch], Tensor] = to_float,
    optim: OptimConfig = WITHOUT_CLIPPING,
    exact_widths: bool = False,
) -> tuple[TrainStep, TrainState]:
    torch.manual_seed(3)
    charset = Charset("abcdefgh")
    module = Columns(charset.classes, norm)
    objective = objective or CtcObjective(Config(), charset, CPU, torch.float32)
    state = make_train_state(module, optim, dtype=torch.float16 if fp16 else torch.float32)
    return TrainStep(state, objective, augmentation, exact_widths=exact_widths), state


class Spoiled:
    """The CTC objective, but a batch that holds a certain line has a certain loss."""

    def __init__(self, line: str, factor: float) -> None:
        self.inner = CtcObjective(Config(), Charset("abcdefgh"), CPU, torch.float32)
        self.line, self.factor = line, factor

    def loss(self, module: nn.Module, images: Tensor, batch: Batch) -> tuple[Tensor, int]:
        total, parts = self.inner.loss(module, images, batch)
        return total * (self.factor if self.line in batch.names else 1.0), parts

    count = CtcObjective.count
    batch_evaluator = CtcObjective.batch_evaluator


def test_accumulated_gradients_are_those_of_one_large_batch() -> None:
    batches = [batch_of(lines, seed) for seed, lines in enumerate((1, 5, 2))]
    (step, apart), (large_step, together) = make_step(), make_step()
    first, second = step(batches, 1e-3), large_step([joined(batches)], 1e-3)
    assert first.loss == pytest.approx(second.loss, rel=1e-6)
    assert first.norm == pytest.approx(second.norm, rel=1e-5)
    for mine, theirs in zip(apart.module.parameters(), together.module.parameters(), strict=True):
        assert mine.grad is not None and theirs.grad is not None
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-5, atol=1e-6)


def test_lines_of_several_widths_go_through_the_model_without_padding() -> None:
    class Watched(Spoiled):
        def loss(self, module: nn.Module, images: Tensor, batch: Batch) -> tuple[Tensor, int]:
            seen.append((images.shape[-1], batch.names, images))
            return super().loss(module, images, batch)

    seen = list[tuple[int, list[str], Tensor]]()
    batch = batch_of(5, 0)
    batch.widths = torch.tensor([40, 24, 40, 30, 24])
    step, apart = make_step(objective=Watched("none", 1.0), exact_widths=True)
    result = step([batch], 1e-3)
    assert [(width, names) for width, names, _ in seen] == [
        (24, ["line 1", "line 4"]),
        (30, ["line 3"]),
        (40, ["line 0", "line 2"]),
    ]
    assert all(torch.equal(one, to_float(batch)[int(name[-1])][..., :width])
               for width, names, images in seen for name, one in zip(names, images, strict=True))  # fmt: skip
    whole, together = make_step()  # CTC takes padding for what it is: the same lines, the same step
    assert result.loss == pytest.approx(whole([batch], 1e-3).loss, rel=1e-6)
    for mine, theirs in zip(apart.module.parameters(), together.module.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-5, atol=1e-6)


def test_the_pieces_of_a_step_move_statistics_together_as_far_as_one_batch() -> None:
    batch = batch_of(1, 0)
    moved = []
    for pieces in (1, 20):
        step, state = make_step(norm=True)
        step([batch] * pieces, 1e-3)
        norm = state.module.get_submodule("norm")
        assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and norm.momentum == 0.1
        moved.append(norm.running_mean)
    torch.testing.assert_close(moved[1], moved[0], rtol=0.06, atol=0)  # 1 - 0.995 ** 20 of it, and 0.1


def test_a_few_short_lines_first_cost_fp16_no_range() -> None:
    class Loud(Spoiled):  # with gradients near the end of fp16's range
        def loss(self, module: nn.Module, images: Tensor, batch: Batch) -> tuple[Tensor, int]:
            total, count = super().loss(module, images, batch)
            return total * 300, count

    scales = []
    for sizes in ((41,), (1, 40)):
        step, state = make_step(objective=Loud("none", 1.0), fp16=True)
        parameters = list(state.module.parameters())
        for parameter in parameters:  # as in fp16 all the way
            parameter.register_hook(lambda gradient: gradient.half().float())
        batches = [batch_of(size, seed) for seed, size in enumerate(sizes)]
        for _ in range(20):
            step(batches, 1e-6)
        scales.append(state.scaler.get_scale())
    assert scales[1] >= scales[0] / 2


@pytest.mark.parametrize("fp16", [False, True])
@pytest.mark.parametrize(("factor", "reason"), [(math.nan, "loss"), (math.inf, "loss"), (1e30, "gradient")])
def test_a_step_that_is_not_finite_changes_nothing_and_names_its_lines(
    factor: float, reason: str, fp16: bool
) -> None:
    step, state = make_step(norm=True, objective=Spoiled("line 7", factor), fp16=fp16)
    assert step([batch_of(3, 0)], 1e-3).finite
    scale = state.scaler.get_scale()
    before = {key: value.clone() for key, value in state.module.state_dict().items()}
    average = {key: value.clone() for key, value in state.ema.state.items()}
    result = step([batch_of(2, 1), batch_of(3, 2, first=6)], 1e-3)
    assert not result.finite and result.reason == f"{reason} not finite"
    if reason == "loss":
        assert result.lines == ("line 6", "line 7", "line 8")
    else:
        assert len(result.lines) == 5  # which of them it was cannot be told
    for key, value in state.module.state_dict().items():
        assert torch.equal(value, before[key]), key
    for key, value in state.ema.state.items():
        assert torch.equal(value, average[key]), key
    assert state.ema.steps == 1
    if fp16:
        assert state.scaler.get_scale() == scale / 2
    assert step([batch_of(3, 0)], 1e-3).finite


def test_statistics_of_a_bad_image_do_not_stay_in_the_model() -> None:
    step, state = make_step(norm=True, augmentation=lambda batch: to_float(batch) * math.nan)
    assert not step([batch_of(2, 0)], 1e-3).finite
    assert all(value.isfinite().all() for value in state.module.state_dict().values())


def test_a_step_that_ran_out_of_memory_changes_nothing() -> None:
    class Full(Spoiled):
        def loss(self, module: nn.Module, images: Tensor, batch: Batch) -> tuple[Tensor, int]:
            found = super().loss(module, images, batch)
            if self.line in batch.names:
                raise torch.OutOfMemoryError
            return found

    step, state = make_step(norm=True, objective=Full("line 7", 1.0))
    before = {key: value.clone() for key, value in state.module.state_dict().items()}
    with pytest.raises(torch.OutOfMemoryError):
        step([batch_of(2, 1), batch_of(3, 2, first=6)], 1e-3)
    for key, value in state.module.state_dict().items():
        assert torch.equal(value, before[key]), key
    fresh, _ = make_step(norm=True)
    assert step([batch_of(2, 1)], 1e-3) == fresh([batch_of(2, 1)], 1e-3)


@pytest.mark.parametrize("clip", ["norm", "off"])
@pytest.mark.parametrize("factor", [1.0, math.nan, 1e30])
def test_losses_and_norm_are_fetched_at_once(
    clip: str, factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every fetch waits for a GPU. What comes of a step is what it is with a fetch for each of them."""
    optim = OptimConfig(clip=clip, clip_norm=0.05)  # type: ignore[arg-type]
    batches = [batch_of(3, 0), batch_of(5, 1)]
    made = [make_step(norm=True, optim=optim, objective=Spoiled("line 4", factor)) for _ in range(2)]
    fetched: list[str] = []

    def noting(name: str) -> Callable[[Tensor], Any]:
        real = getattr(Tensor, name)

        def noted(tensor: Tensor) -> Any:
            fetched.append(name)
            return real(tensor)

        return noted

    with monkeypatch.context() as patched:
        for name in ("tolist", "item", "__float__", "__bool__"):
            patched.setattr(Tensor, name, noting(name))
        at_once = made[0][0](batches, 1e-2)
    assert fetched == ["tolist"]
    monkeypatch.setattr(Clipper, "knows_norm_first", False)
    one_by_one = made[1][0](batches, 1e-2)
    assert repr(at_once) == repr(one_by_one)  # of which a NaN is equal, too
    assert at_once.finite == (factor == 1.0) and at_once.clipped == (clip == "norm" and at_once.finite)
    for key, value in made[0][1].module.state_dict().items():
        assert torch.equal(value, made[1][1].module.state_dict()[key]), key


def test_a_step_takes_up_where_its_state_was_saved() -> None:
    (step, state), (again, restored) = make_step(norm=True), make_step(norm=True)
    for seed in range(3):
        step([batch_of(3, seed)], 1e-2)
    restored.load_state_dict(copy.deepcopy(state.state_dict()))
    assert step([batch_of(3, 9)], 1e-2) == again([batch_of(3, 9)], 1e-2)
    for key, value in state.ema.state.items():
        assert torch.equal(value, restored.ema.state[key]), key


def test_a_group_is_trained_at_its_scale_of_the_rate() -> None:
    step, state = make_step()
    state.optimizer.param_groups[0]["lr_scale"] = 0.25
    step([batch_of(2, 0)], 1e-2)
    assert [group["lr"] for group in state.optimizer.param_groups] == [0.25e-2, 1e-2]
