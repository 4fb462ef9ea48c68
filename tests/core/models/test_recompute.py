"""Recomputed training is plain training: losses, gradients, running statistics, random numbers."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vocr_cli.core.config.families import ConvSeq2SeqConfig, Seq2SeqConfig, TransformerConfig, VietocrConfig
from vocr_cli.core.config.tree import CtcConfig, ImageConfig, parse_config
from vocr_cli.core.errors import ConfigError
from vocr_cli.core.models.ctc import AttentionLayer, CtcRecognizer, ResidualBlock
from vocr_cli.core.models.layers.recompute import recomputable_stages, set_recompute
from vocr_cli.core.models.vietocr.constants import VIETOCR_IMAGE
from vocr_cli.core.models.vietocr.recognizer import VietocrRecognizer

CLASSES = 9
VIETOCR = ("resnet50 transformer", "vgg11_bn transformer", "resnet50 seq2seq", "resnet50 convseq2seq")


def make(kind: str) -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    """A tiny model with dropout everywhere, and a batch."""
    torch.manual_seed(0)
    if kind == "ctc":
        config = CtcConfig(channels=(8, 8, 16), blocks=(1, 1, 1), hidden=32, column_blocks=1, dropout=0.2)
        return CtcRecognizer(config, ImageConfig(), CLASSES), (
            torch.rand(3, 1, 40, 96),
            torch.tensor([24, 20, 9]),
        )
    backbone, sequence = kind.split()
    sizes = {
        "hidden": 16,
        "transformer": TransformerConfig(
            d_model=16,
            heads=4,
            encoder_layers=2,
            decoder_layers=2,
            feed_forward=24,
            positions=300,
            dropout=0.2,
        ),
        "seq2seq": Seq2SeqConfig(encoder_hidden=10, decoder_hidden=12, embedding=14, dropout=0.2),
        "convseq2seq": ConvSeq2SeqConfig(
            embedding=16, hidden=20, encoder_layers=2, decoder_layers=2, dropout=0.2
        ),
    }
    model = VietocrConfig(backbone=backbone, sequence=sequence, **sizes)  # type: ignore[arg-type]
    batch = torch.rand(2, 3, 32, 64), torch.randint(1, CLASSES, (2, 6))
    return VietocrRecognizer(model, VIETOCR_IMAGE, CLASSES), batch


def train(module: nn.Module, batch: tuple[Tensor, Tensor], dtype: torch.dtype = torch.float32) -> list[float]:
    """Losses of three steps of plain descent, from the same random numbers."""
    torch.manual_seed(1)
    optimizer = torch.optim.SGD(module.parameters(), 1e-3)
    losses = []
    for _ in range(3):
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss = module(*batch).float().log_softmax(-1)[..., 3].mean().neg()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize("stage", ["all", "light"])
@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        *((kind, torch.float32) for kind in ("ctc", *VIETOCR)),
        ("ctc", torch.bfloat16),
        (VIETOCR[0], torch.bfloat16),
    ],
)
def test_recomputed_steps_are_the_plain_ones(kind, dtype, stage):
    plain, batch = make(kind)
    recomputed = copy.deepcopy(plain)
    set_recompute(recomputed, [stage])
    assert train(recomputed, batch, dtype) == train(plain, batch, dtype)
    for (name, ours), (_, reference) in zip(
        recomputed.named_parameters(), plain.named_parameters(), strict=True
    ):
        assert torch.equal(ours.grad, reference.grad), name
    expected = plain.state_dict()
    for name, ours in recomputed.state_dict().items():  # running statistics, and their counts, among them
        assert torch.equal(ours, expected[name]), name


@pytest.mark.parametrize("kind", ["ctc", "resnet50 transformer", "vgg11_bn transformer", "resnet50 seq2seq"])
def test_each_stage_saves_activations(kind):
    module, batch = make(kind)
    module.train()
    plain = _kept_bytes(module, batch)
    for stage in recomputable_stages(module):
        set_recompute(module, [stage])
        assert _kept_bytes(module, batch) < plain, stage
    set_recompute(module, ["all"])
    everything = _kept_bytes(module, batch)
    assert everything < plain / 2
    set_recompute(module, [])
    assert _kept_bytes(module, batch) == plain


@pytest.mark.parametrize("kind", ["ctc", *VIETOCR])
def test_the_light_stage_computes_no_large_product_twice(kind):
    """Convolutions of pixels aside, which are small, and the first of the two of a feed-forward layer."""

    def products(stages: list[str]) -> tuple[int, int]:
        module, batch = make(kind)
        module.train()
        set_recompute(module, stages)
        with FlopCounterMode(display=False) as counter:
            module(*batch).sum().backward()
        flops = counter.get_flop_counts()["Global"]
        return flops[torch.ops.aten.convolution], sum(flops.values())

    plain, light, everything = products([]), products(["light"]), products(["all"])
    assert light[0] <= 1.1 * plain[0] < everything[0]
    assert plain[1] <= light[1] < 1.1 * plain[1] < everything[1]


def test_a_stage_that_is_recomputed_as_a_whole_is_not_recomputed_within():
    module, _ = make("ctc")
    set_recompute(module, ["light", "trunk"])
    blocks = [layer for layer in module.modules() if isinstance(layer, ResidualBlock)]
    mixed = [layer for layer in module.modules() if isinstance(layer, AttentionLayer)]
    assert not any(block.recomputed for block in blocks)
    assert mixed and all(layer.recomputed == {"light"} for layer in mixed)
    set_recompute(module, ["all"])
    assert not any(layer.recomputed for layer in (*blocks, *mixed))


def test_rounded_weights_are_kept_where_they_are_used_again():
    module, batch = make("ctc")
    set_recompute(module, ["light"])
    with torch.autocast("cpu", torch.bfloat16):
        before = torch.is_autocast_cache_enabled()
        module(*batch)
        assert torch.is_autocast_cache_enabled() == before


def _kept_bytes(module: nn.Module, batch: tuple[Tensor, Tensor]) -> int:
    """Bytes that are kept for the backward pass, each memory block once; parameters aside."""
    own = {parameter.untyped_storage().data_ptr() for parameter in module.parameters()}
    kept: dict[int, tuple[int, Tensor]] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes(), tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = module(*batch)
    del out
    return sum(size for size, _ in kept.values())


def test_a_model_names_its_stages_and_refuses_others():
    module, _ = make("ctc")
    assert recomputable_stages(module) == ("light", "trunk", "collapse", "mixer")
    with pytest.raises(ConfigError) as refused:
        set_recompute(module, ["backbone"])
    assert "trunk, collapse, mixer" in refused.value.fix
    stages = recomputable_stages(make("vgg11_bn transformer")[0])
    assert stages == ("light", "backbone", "encoder", "decoder")


def test_an_unknown_stage_in_a_config_names_the_known_ones():
    with pytest.raises(ConfigError) as refused:
        parse_config({"precision": {"recompute": ["trunc"]}}, "run.yaml")
    assert "trunk" in str(refused.value)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (False, ()),
        ("off", ()),
        ("all", ("all",)),
        ("mixer", ("mixer",)),
        ("light", ("light",)),
        (["trunk", "mixer"], ("trunk", "mixer")),
    ],
)
def test_recompute_takes_words_and_lists(given, meant):
    assert parse_config({"precision": {"recompute": given}}, "run.yaml").precision.recompute == meant
