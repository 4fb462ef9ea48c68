"""Muon: what it makes orthogonal, whose step it takes, which weights it is for, and that it learns."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from vocr_cli.core.config.families import CtcConfig, VietocrConfig
from vocr_cli.core.config.tree import ImageConfig, OptimConfig
from vocr_cli.core.models.files import build_module
from vocr_cli.core.text import Charset
from vocr_cli.core.training.optim.muon import Muon, newton_schulz
from vocr_cli.core.training.optim.optimizer import make_optimizer, parameter_groups


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 3), rows=st.integers(1, 40), columns=st.integers(1, 40),
    scale=st.sampled_from([1e-4, 1.0, 1e4]), seed=st.integers(0, 99),
)  # fmt: skip
def test_singular_values_come_near_one_whatever_they_were(
    count: int, rows: int, columns: int, scale: float, seed: int
) -> None:
    matrices = random(count, rows, columns, seed=seed) * scale
    result = newton_schulz(matrices)
    assert result.shape == matrices.shape
    before, after = torch.linalg.svdvals(matrices), torch.linalg.svdvals(result)
    assert after.max() < 1.3
    assert (after[before > 0.02 * before[:, :1]] > 0.5).all()  # directions that hardly count may stay small
    alone = torch.cat([newton_schulz(matrix[None]) for matrix in matrices])
    torch.testing.assert_close(result, alone, rtol=1e-3, atol=1e-3)


def test_nothing_stays_nothing() -> None:
    assert torch.equal(newton_schulz(torch.zeros(2, 3, 5)), torch.zeros(2, 3, 5))


def stepped(optimizer: torch.optim.Optimizer, parameter: nn.Parameter, count: int = 4) -> torch.Tensor:
    for step in range(count):
        parameter.grad = random(*parameter.shape, seed=step)
        optimizer.step()
    return parameter.detach()


@pytest.mark.parametrize("shape", [(12, 30), (30, 12)])
def test_a_matrix_takes_the_step_of_torch_s_muon(shape: tuple[int, int]) -> None:
    """torch's orthogonalises in bf16, so that steps agree to its precision."""
    theirs = pytest.importorskip("torch.optim._muon", reason="this torch has no Muon").Muon
    mine, other = (nn.Parameter(random(*shape, seed=9)) for _ in range(2))
    group = {"params": [mine], "weight_decay": 0.1, "muon": True}
    start = mine.detach().clone()
    result = stepped(Muon([group], lr=0.02, betas=(0.9, 0.98)), mine) - start
    expected = theirs([other], lr=0.02, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    assert (result - (stepped(expected, other) - start)).norm() < 0.02 * result.norm()


def test_a_convolution_is_the_matrix_of_its_outputs() -> None:
    flat = nn.Parameter(random(8, 36))
    kernel = nn.Parameter(flat.detach().view(8, 4, 3, 3).to(memory_format=torch.channels_last))
    groups: list[list[dict[str, Any]]] = [
        [{"params": [parameter], "weight_decay": 0.0, "muon": True}] for parameter in (flat, kernel)
    ]
    for group in groups:
        optimizer, parameter = Muon(group, 0.02, (0.9, 0.98)), group[0]["params"][0]
        for step in range(3):
            parameter.grad = random(8, 36, seed=step).view_as(parameter)
            optimizer.step()
    torch.testing.assert_close(flat.view(8, 4, 3, 3), kernel.contiguous())


def test_all_other_weights_take_adamw_s_step() -> None:
    mine, other = (nn.Parameter(random(7, 5)) for _ in range(2))
    settings = {"lr": 0.01, "betas": (0.9, 0.98), "weight_decay": 0.1}
    groups = [{"params": [mine], "weight_decay": 0.1, "muon": False}]
    result = stepped(Muon(groups, 0.01, (0.9, 0.98)), mine)
    assert torch.equal(result, stepped(torch.optim.AdamW([other], fused=True, **settings), other))


def outer_names(config: CtcConfig | VietocrConfig) -> set[str]:
    """Matrices that Muon does not get."""
    module = build_module(config, ImageConfig(), Charset("abc"))
    groups = parameter_groups(module, OptimConfig(name="muon"))
    given = {id(parameter) for group in groups if group["muon"] for parameter in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(list(module.parameters()))
    return {
        name
        for name, parameter in module.named_parameters()
        if parameter.ndim > 1 and id(parameter) not in given
    }


def test_what_touches_pixels_characters_or_classes_is_not_muon_s() -> None:
    assert outer_names(CtcConfig()) == {"trunk.0.0.weight", "head.weight"}
    first = "cnn.model.features.0.weight"
    found = outer_names(VietocrConfig(sequence="transformer"))
    assert found == {first, "transformer.embed_tgt.weight", "transformer.fc.weight"}
    found = outer_names(VietocrConfig(sequence="seq2seq"))
    assert found == {first, "transformer.decoder.embedding.weight", "transformer.decoder.fc_out.weight"}
    found = outer_names(VietocrConfig(sequence="convseq2seq"))
    embeddings = {"tok_embedding", "pos_embedding", "fc_out"}
    decoder = {f"transformer.decoder.{name}.weight" for name in embeddings}
    assert found == {first, "transformer.encoder.pos_embedding.weight"} | decoder


def test_frozen_weights_stay_and_state_goes_on_where_it_was_saved() -> None:
    torch.manual_seed(0)
    config = CtcConfig(channels=(4, 4, 8), blocks=(0, 0, 1), hidden=16, heads=2, dropout=0.0)
    modules = [build_module(config, ImageConfig(), Charset("abc")) for _ in range(2)]
    modules[1].load_state_dict(modules[0].state_dict())
    optimizers = []
    for module in modules:
        module.trunk.requires_grad_(False)
        optimizers.append(make_optimizer(module, OptimConfig(name="muon")))

    def step(number: int) -> None:
        torch.manual_seed(7)
        optimizers[number].zero_grad()
        modules[number](torch.rand(2, 1, 40, 32)).square().mean().backward()
        optimizers[number].step()

    frozen = modules[0].trunk[1][0].weight.clone()
    step(0)
    modules[1].load_state_dict(modules[0].state_dict())
    optimizers[1].load_state_dict(deepcopy(optimizers[0].state_dict()))
    step(0)
    step(1)
    assert torch.equal(frozen, modules[0].trunk[1][0].weight)
    for mine, theirs in zip(modules[0].parameters(), modules[1].parameters(), strict=True):
        assert torch.equal(mine, theirs)
