"""Faults that only a GPU shows, each by a simulation that its test names."""

from __future__ import annotations

import copy
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from conftest import write_annotations
from torch import Tensor, nn

from vocr_cli.core.config.families import CtcConfig
from vocr_cli.core.config.tree import Config, ImageConfig, OptimConfig, parse_config
from vocr_cli.core.errors import ConfigError
from vocr_cli.core.models.files import build_module
from vocr_cli.core.text import Charset
from vocr_cli.core.training.checkpoint import random_states, set_random_states
from vocr_cli.core.training.determinism import explain_nondeterminism, set_deterministic
from vocr_cli.core.training.loop import train
from vocr_cli.core.training.optim.optimizer import make_optimizer
from vocr_cli.core.training.parallel import distributed
from vocr_cli.core.training.parallel.distributed import join_process_group
from vocr_cli.core.training.parallel.launch import Launch
from vocr_cli.core.training.record.events import Started
from vocr_cli.core.training.run import build_run
from vocr_cli.core.training.step import objective
from vocr_cli.core.training.step.objective import ctc_loss
from vocr_cli.core.training.step.train_state import make_train_state

SMALL = CtcConfig(channels=(4, 4, 8), blocks=(0, 0, 1), hidden=16, heads=2, dropout=0.0)


def module_of(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build_module(SMALL, ImageConfig(), Charset("abc"))


def steps(module: nn.Module, optimizer: torch.optim.Optimizer, count: int = 2) -> None:
    for seed in range(count):
        torch.manual_seed(seed)
        optimizer.zero_grad()
        module(torch.rand(2, 1, 40, 32)).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize("saved_by", ["this version", "an older one"])
def test_muon_s_count_of_steps_goes_to_the_device_of_the_weights(saved_by: str) -> None:
    """Simulation: weights on the meta device. On CUDA, the kernel would read a count that stayed behind."""
    module = module_of()
    optimizer = make_optimizer(module, OptimConfig(name="muon"))
    steps(module, optimizer)
    saved = copy.deepcopy(optimizer.state_dict())
    if saved_by == "an older one":
        for group in saved["param_groups"]:
            del group["fused"]
    on_device = module_of().to("meta")
    resumed = make_optimizer(on_device, OptimConfig(name="muon"))
    resumed.load_state_dict(saved)
    kept = [
        value for state in resumed.state.values() for value in state.values() if isinstance(value, Tensor)
    ]
    assert len(kept) > 4 and {value.device.type for value in kept} == {"meta"}
    assert any("step" in state for state in resumed.state.values())
    assert (
        "fused" not in saved["param_groups"][0] or saved_by == "this version"
    )  # the caller's stays as it was


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_a_run_goes_on_alike_with_another_layout_of_its_weights(name: str) -> None:
    """Fused AdamW goes through memory: it pairs moments in another order wrongly (CPU), or refuses (CUDA)."""
    optim = OptimConfig(name=name, ema_decay=0.9, clip="off")  # type: ignore[arg-type]
    first = make_train_state(module_of(), optim)  # type: ignore[arg-type]
    steps(first.module, first.optimizer, 3)
    first.ema.update(first.module)
    saved = copy.deepcopy(first.state_dict())
    other = module_of(1).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    resumed = make_train_state(other, optim)
    resumed.load_state_dict(saved)
    for weight, kept in resumed.optimizer.state.items():
        for value in kept.values():
            assert value.shape != weight.shape or value.stride() == weight.stride()
    for state in (first, resumed):
        steps(state.module, state.optimizer, 2)
        state.ema.update(state.module)
    moved = False
    for key, value in first.module.state_dict().items():
        torch.testing.assert_close(resumed.module.state_dict()[key], value, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(resumed.ema.state[key], first.ema.state[key], rtol=1e-4, atol=1e-6)
        moved |= value.is_floating_point() and not torch.equal(value, saved["module"][key])
    assert moved


@pytest.fixture
def two_cards(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Simulation: torch.cuda with two cards, this process on the second."""
    states = {0: torch.arange(4), 1: torch.arange(4) + 10}
    told: dict[str, Any] = {"set": []}

    def all_states() -> list[Tensor]:
        raise AssertionError("this makes a context on every card")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: told.get("initialized", True))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device=1: states[1])
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", all_states)
    monkeypatch.setattr(torch.cuda, "set_rng_state_all", lambda _: all_states())
    monkeypatch.setattr(
        torch.cuda, "set_rng_state", lambda state, device=1: told["set"].append(state.tolist())
    )
    return told


def test_a_checkpoint_touches_the_card_in_use_alone(two_cards: dict[str, Any]) -> None:
    states = random_states()
    assert [state.tolist() for state in states["cuda"]] == [[10, 11, 12, 13]]
    set_random_states(states)
    older = {
        **states,
        "cuda": [torch.arange(4), torch.arange(4) + 20],
    }  # of a version that saved every card's
    set_random_states({key: value for key, value in older.items() if key != "mps"})
    assert two_cards["set"] == [[10, 11, 12, 13], [20, 21, 22, 23]]
    two_cards["initialized"] = False
    assert random_states()["cuda"] == []  # a run on the CPU beside cards makes no context at all


def test_ranks_name_their_card_to_nccl(monkeypatch: pytest.MonkeyPatch, two_cards: dict[str, Any]) -> None:
    """Simulation: torch.cuda and init_process_group patched. Unnamed, NCCL guesses a card, and warns."""
    told: dict[str, Any] = {}
    monkeypatch.setattr(distributed, "choose_device", lambda device: "cuda")
    monkeypatch.setattr(torch.cuda, "set_device", lambda index: told.update(current=index))
    monkeypatch.setattr(distributed, "rendezvous", lambda *_, **__: iter([(dist.HashStore(), 1, 2)]))
    monkeypatch.setattr(distributed, "fresh_rendezvous_store", lambda store, *_: store)
    monkeypatch.setattr(
        dist, "init_process_group", lambda backend, **options: told.update(options, backend=backend)
    )
    monkeypatch.setattr(dist, "destroy_process_group", lambda: told.update(ended=True))
    with join_process_group(Launch(1, 1, 2), "auto") as group:
        assert group.rank == 1 and not told.get("ended")
    assert told["device_id"] == torch.device("cuda", 1) and told["current"] == 1 and told["ended"]
    assert "nccl" in told["backend"] and distributed._MEETING_TIMEOUT == timedelta(minutes=10)


def test_lengths_are_not_fetched_from_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lengths on a GPU would have to be waited for in every step. Simulation: the function is looked into."""
    seen: list[tuple[str, ...]] = []
    real = objective.F.ctc_loss

    def noted(log_probs: Tensor, targets: Tensor, columns: Tensor, lengths: Tensor, **options: Any) -> Tensor:
        seen.append((columns.device.type, lengths.device.type))
        return real(log_probs, targets, columns, lengths, **options)

    monkeypatch.setattr(objective.F, "ctc_loss", noted)
    logits = torch.randn(2, 10, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    columns, lengths, targets = torch.tensor([10, 7]), torch.tensor([3, 2]), torch.tensor([1, 2, 3, 4, 1])
    losses = ctc_loss(logits, columns, targets, lengths)
    log_probs = torch.log_softmax(logits, -1).transpose(0, 1)
    expected = real(log_probs, targets, columns, lengths, reduction="none", zero_infinity=True) / lengths
    assert torch.equal(losses, expected) and seen == [("cpu", "cpu")]


class OnDevice(Tensor):
    """A tensor that says it is on a device, and is in the CPU's memory."""

    @property
    def device(self) -> torch.device:
        return torch.device("mps")


def test_ctc_s_loss_is_computed_on_the_cpu_where_the_device_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulation: logits that say they are on MPS, which has no CTC loss."""
    real, where = objective.F.ctc_loss, []

    def noted(log_probs: Tensor, *rest: Any, **options: Any) -> Tensor:
        where.append(type(log_probs))
        return real(log_probs, *rest, **options)

    monkeypatch.setattr(objective.F, "ctc_loss", noted)
    monkeypatch.setattr(OnDevice, "cpu", lambda self: self.as_subclass(Tensor), raising=False)
    monkeypatch.setattr(objective, "to_device", lambda values, device: values)
    monkeypatch.setattr(Tensor, "to", lambda self, *_, **__: self)
    logits = torch.randn(1, 10, 5).as_subclass(OnDevice)
    ctc_loss(logits, torch.tensor([10]), torch.tensor([1, 2]), torch.tensor([2]))
    assert where == [Tensor]


def config_of(folder: Path, **sections: Any) -> Config:
    annotations = write_annotations(folder, ["ab", "abc", "a", "abcd"])
    tree = {
        "model": SMALL.model_dump(mode="json"),
        "data": {"train": [{"annotations": str(annotations)}], "workers": 0},
        "batch": {"max_lines": 2},
        "precision": {"amp": "off"},
        "train": {"max_steps": 2, "deterministic": True},
        **sections,
    }
    return parse_config(tree, "test")


@pytest.fixture
def as_before() -> Any:
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.deterministic = False
    os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)


def test_a_deterministic_run_says_what_cannot_be(tmp_path: Path, as_before: None) -> None:
    config = config_of(tmp_path, train={"max_steps": 2, "deterministic": True, "max_minutes": 5})
    run = build_run(config, tmp_path / "run", device="cpu")
    assert torch.are_deterministic_algorithms_enabled()
    started = next(event for event in train(run) if isinstance(event, Started))
    said = " ".join(note for note in started.notes if note.startswith("train.deterministic"))
    assert "CPU" in said and "train.max_minutes" in said
    plain = config_of(tmp_path, train={"max_steps": 2})
    assert not any("deterministic" in note for note in build_run(plain, tmp_path / "run", device="cpu").notes)
    assert not torch.are_deterministic_algorithms_enabled()


def test_determinism_on_a_gpu_is_set_up_before_cublas_starts(
    tmp_path: Path, as_before: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simulation: a device of type cuda that nothing is computed on."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    notes = list(set_deterministic(config_of(tmp_path), torch.device("cuda"), 2))
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8" and torch.backends.cudnn.deterministic
    assert any("CPU" in note and "CTC" in note for note in notes) and any(
        "processes" in note for note in notes
    )


def test_an_operation_that_cannot_be_repeated_is_named(as_before: None) -> None:
    """Simulation: the error that torch raises on CUDA, and a real one that it raises everywhere."""

    def on_cuda(batches: Any, lr: float) -> Any:
        raise RuntimeError(
            "max_pool2d_with_indices_backward_cuda does not have a deterministic implementation, but you set "
            "'torch.use_deterministic_algorithms(True)'."
        )

    with pytest.raises(ConfigError, match="max_pool2d_with_indices_backward_cuda"):
        explain_nondeterminism(on_cuda)([], 0.1)

    def otherwise(batches: Any, lr: float) -> Any:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        explain_nondeterminism(otherwise)([], 0.1)
