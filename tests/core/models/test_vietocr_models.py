"""VietOCR's models: what they compute, against torch's own layers and against laws they must keep."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from vocr_cli.core.config.families import ConvSeq2SeqConfig, Seq2SeqConfig, TransformerConfig, VietocrConfig
from vocr_cli.core.models.vietocr.constants import VIETOCR_IMAGE
from vocr_cli.core.models.vietocr.language_transformer import LanguageTransformer
from vocr_cli.core.models.vietocr.recognizer import VietocrRecognizer
from vocr_cli.core.models.vietocr.seq2seq import Attention
from vocr_cli.core.models.vietocr.vgg import Vgg

CLASSES = 9
SIZES = {
    "hidden": 16,
    "transformer": TransformerConfig(
        d_model=16, heads=4, encoder_layers=2, decoder_layers=2, feed_forward=24, positions=300
    ),
    "seq2seq": Seq2SeqConfig(encoder_hidden=10, decoder_hidden=12, embedding=14),
    "convseq2seq": ConvSeq2SeqConfig(embedding=16, hidden=20, encoder_layers=2, decoder_layers=3),
}
SEQUENCES = ("transformer", "seq2seq", "convseq2seq")


@pytest.fixture(scope="module", params=SEQUENCES)
def model(request: pytest.FixtureRequest) -> VietocrRecognizer:
    torch.manual_seed(1)
    config = VietocrConfig(backbone="resnet50", sequence=request.param, **SIZES)
    module = VietocrRecognizer(config, VIETOCR_IMAGE, CLASSES)
    with torch.no_grad():
        module(torch.rand(4, 3, 32, 96), torch.ones(4, 2, dtype=torch.int64))  # norms meet some lines
    return module.eval()


@torch.inference_mode()
def test_a_later_token_changes_no_earlier_logit(model: VietocrRecognizer) -> None:
    lines = torch.rand(2, 3, 32, 70)
    tokens = torch.tensor([[1, 5, 6, 7, 8], [1, 8, 8, 4, 5]])
    changed = tokens.clone()
    changed[:, 3] = 6
    before, after = model(lines, tokens), model(lines, changed)
    assert before.shape == (2, 5, CLASSES)
    assert torch.allclose(before[:, :3], after[:, :3], atol=1e-6)
    assert not torch.allclose(before[:, 3], after[:, 3], atol=1e-3)


@torch.inference_mode()
def test_a_batch_computes_what_its_lines_do_singly(model: VietocrRecognizer) -> None:
    lines, tokens = torch.rand(3, 3, 32, 60), torch.randint(1, CLASSES, (3, 6))
    single = torch.cat([model(lines[[row]], tokens[[row]]) for row in range(3)])
    assert torch.allclose(model(lines, tokens), single, atol=1e-5)


@torch.inference_mode()
def test_the_line_matters_to_every_logit(model: VietocrRecognizer) -> None:
    lines, tokens = torch.rand(1, 3, 32, 60), torch.randint(1, CLASSES, (1, 4))
    difference = (model(lines, tokens) - model(1 - lines, tokens)).abs().amax(dim=2)
    assert (difference > 1e-6).all()


@torch.inference_mode()
def test_padding_changes_nothing_before_it() -> None:
    torch.manual_seed(0)
    model = LanguageTransformer(SIZES["transformer"], CLASSES).eval()  # type: ignore[arg-type]
    features, tokens = torch.randn(7, 1, 16), torch.randint(1, CLASSES, (1, 6))
    padding = torch.tensor([[False] * 4 + [True] * 2])
    plain, padded = model(features, tokens), model(features, tokens, padding)
    assert torch.allclose(plain[:, :4], padded[:, :4], atol=1e-6)
    assert not torch.allclose(plain[:, 4:], padded[:, 4:], atol=1e-6)  # VietOCR's mask is no mask


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("training", [False, True])
def test_transformer_computes_as_torchs_own(training: bool) -> None:
    torch.manual_seed(0)
    sizes = SIZES["transformer"].model_copy(update={"dropout": 0.0, "position_dropout": 0.0})  # type: ignore[attr-defined]
    ours = LanguageTransformer(sizes, CLASSES).train(training)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    theirs = nn.Transformer(16, 4, 2, 2, 24, 0.0).train(training)
    theirs.load_state_dict(ours.transformer.state_dict())
    features, tokens = torch.randn(11, 3, 16), torch.randint(1, CLASSES, (3, 7))
    source = features * 4 + ours.pos_enc.pe[:11]
    target = ours.embed_tgt(tokens.T) * 4 + ours.pos_enc.pe[:7]
    mask = nn.Transformer.generate_square_subsequent_mask(7)
    expected = ours.fc(theirs(source, target, tgt_mask=mask).transpose(0, 1))
    assert torch.allclose(ours(features, tokens), expected, atol=1e-5)


def test_attention_of_the_recurrent_decoder_is_one_layer_over_state_and_memory() -> None:
    torch.manual_seed(0)
    layer = Attention(Seq2SeqConfig(encoder_hidden=5, decoder_hidden=6))
    memory, state = torch.randn(4, 2, 10), torch.randn(2, 6)
    joined = torch.cat((state.expand(4, 2, 6), memory), dim=2)
    expected = layer.v(torch.tanh(layer.attn(joined))).squeeze(2).softmax(0)
    assert torch.allclose(layer(state, layer.keys(memory)), expected, atol=1e-6)


@torch.inference_mode()
def test_features_go_column_by_column_from_top_to_bottom() -> None:
    config = VietocrConfig(backbone="vgg11_bn", **SIZES)
    model = VietocrRecognizer(config, VIETOCR_IMAGE, CLASSES).eval()
    lines = torch.rand(1, 3, 32, 40)
    maps, features = model.cnn.model(lines), model.features(lines)
    assert maps.shape == (1, 16, 2, 10) and features.shape == (20, 1, 16)
    for row in range(2):
        for column in range(10):
            assert torch.equal(features[2 * column + row], maps[:, :, row, column])


pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
fives = st.lists(pairs, min_size=5, max_size=5)


@settings(deadline=None)
@given(st.integers(32, 600), fives, fives)
def test_the_number_of_features_is_known_beforehand(
    width: int, kernels: list[tuple[int, int]], strides: list[tuple[int, int]]
) -> None:
    config = VietocrConfig(pool_kernels=kernels, pool_strides=strides)  # type: ignore[arg-type]
    pools = nn.Sequential(*(nn.AvgPool2d(*pair) for pair in zip(kernels, strides, strict=True)))
    steps = config.feature_steps(64, width)
    if steps > 0:
        assert pools(torch.zeros(1, 64, width)).numel() == steps
    else:
        with pytest.raises(RuntimeError):
            pools(torch.zeros(1, 64, width))


@torch.inference_mode()
@pytest.mark.parametrize(("height", "width"), [(32, 32), (32, 41), (64, 43), (48, 130)])
def test_the_number_of_features_of_a_resnet_is_known_too(
    model: VietocrRecognizer, height: int, width: int
) -> None:
    steps = model.config.feature_steps(height, width)
    assert model.features(torch.rand(2, 3, height, width)).shape == (steps, 2, 16)


@pytest.mark.parametrize(
    ("sequence", "name"),
    [
        ("transformer", "transformer.transformer.decoder.layers.1.multihead_attn.in_proj_weight"),
        ("seq2seq", "transformer.decoder.attention.attn.weight"),
        ("convseq2seq", "transformer.decoder.attn_emb2hid.bias"),
    ],
)
def test_names_of_weights_are_vietocrs(sequence: str, name: str) -> None:
    config = VietocrConfig(backbone="resnet50", sequence=sequence, **SIZES)  # type: ignore[arg-type]
    assert {name, "cnn.model.layer3.4.bn2.running_var"} <= set(
        VietocrRecognizer(config, VIETOCR_IMAGE, CLASSES).state_dict()
    )
    state = Vgg(VietocrConfig(), 3).state_dict()
    assert state["features.49.weight"].shape == (512, 512, 3, 3)  # the last convolution of a VGG19
    assert "last_conv_1x1.weight" in state


def test_settings_that_contradict_each_other_are_refused() -> None:
    for wrong in (
        {"hidden": 128},
        {"hidden": 30, "backbone": "resnet50", "sequence": "seq2seq"},
        {"transformer": {"heads": 3}},
        {"sequence": "convseq2seq", "convseq2seq": {"encoder_kernel": 4}},
    ):
        with pytest.raises(ValueError):
            VietocrConfig.model_validate(wrong)
