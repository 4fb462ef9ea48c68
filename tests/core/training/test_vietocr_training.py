"""Training of the `vietocr` family, on one tiny model and a handful of lines."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from conftest import write_annotations
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_vietocr import make_model

from vocr_cli.core.config.tree import Config, parse_config
from vocr_cli.core.data.loader.batch import Batch
from vocr_cli.core.errors import ConfigError, DataError, ModelError
from vocr_cli.core.models.files import ModelFile, save_model
from vocr_cli.core.models.vietocr.constants import EOS, PAD, SOS, VIETOCR_CHARACTERS, VIETOCR_IMAGE
from vocr_cli.core.models.vietocr.recognizer import VietocrRecognizer
from vocr_cli.core.text import Charset
from vocr_cli.core.training.augment.preview import preview_batches
from vocr_cli.core.training.loop import train
from vocr_cli.core.training.record.events import StepDone, Validated
from vocr_cli.core.training.run import build_run
from vocr_cli.core.training.step.objective import make_objective, smoothed_cross_entropies, teacher_tokens

CPU = torch.device("cpu")
MODEL = {
    "family": "vietocr",
    "backbone": "resnet50",
    "hidden": 16,
    "feature_dropout": 0,
    "transformer": {
        "d_model": 16, "heads": 2, "encoder_layers": 1, "decoder_layers": 1, "feed_forward": 32,
        "positions": 200, "dropout": 0, "position_dropout": 0,
    },
}  # fmt: skip


def config_of(annotations: Path, **sections: object) -> Config:
    tree = {
        "model": MODEL,
        "data": {"train": [{"annotations": str(annotations)}], "workers": 0},
        "charset": {"characters": "abcd "},
        "augment": {"strength": 0, "masked_share": 0},
        "optim": {"lr": 5e-3, "ema_decay": 0},
        "schedule": {"name": "constant", "warmup_steps": 0},
        "train": {"max_steps": 2, "log_every_steps": 1},
        "precision": {"amp": "off"},
        **sections,
    }
    return parse_config(tree, "test")


def batch_of(labels: list[list[int]]) -> Batch:
    return Batch(
        torch.zeros((len(labels), 32, 40, 3), dtype=torch.uint8),
        torch.full((len(labels),), 40),
        torch.tensor([number for label in labels for number in label], dtype=torch.int64),
        torch.tensor([len(label) for label in labels]),
        ["?"] * len(labels),
        ["?"] * len(labels),
    )


def test_few_lines_of_several_widths_are_one_step_and_none_is_padded(tmp_path: Path) -> None:
    config = config_of(write_annotations(tmp_path, ["a", "b", "c", "d", "a b"], [30, 60, 90, 60, 400]))
    run = build_run(config, tmp_path / "run", device="cpu")
    step = next(run.batches())
    assert len(step.texts) == 5 and len(set(step.widths.tolist())) == 4
    shown = preview_batches(iter([step]), run.augmentation, exact_widths=True)
    assert [len(one.batch.texts) for one in shown] == [1, 2, 1, 1]
    assert all({one.images.shape[-1]} == set(one.batch.widths.tolist()) for one in shown)
    seen: list[int] = []
    run.train_state.module.register_forward_pre_hook(lambda module, given: seen.append(given[0].shape[-1]))
    assert run.train_step([step], 1e-3).finite
    assert seen == sorted(set(step.widths.tolist()))


def test_one_line_is_learnt_and_read_back(tmp_path: Path) -> None:
    annotations = write_annotations(tmp_path, ["abc"], [30])
    config = config_of(
        annotations,
        data={"train": [{"annotations": str(annotations)}], "valid": [str(annotations)], "workers": 0},
        optim={"lr": 1e-2, "ema_decay": 0, "label_smoothing": 0},
        train={"max_steps": 25, "log_every_steps": 1},
        validate={"every_steps": 25},
    )
    told = list(train(build_run(config, tmp_path / "run", device="cpu")))
    losses = [event.loss for event in told if isinstance(event, StepDone)]
    (validated,) = [event for event in told if isinstance(event, Validated)]
    assert losses[-1] < 0.5 * losses[0]
    assert validated.lines == 1 and validated.cer == 0 and validated.line_accuracy == 1
    assert math.isfinite(validated.loss)


def test_validation_of_one_line_by_an_untrained_model_is_no_nan(tmp_path: Path) -> None:
    annotations = write_annotations(tmp_path, ["abcad"], [30])
    data = {"train": [{"annotations": str(annotations)}], "valid": [str(annotations)], "workers": 0}
    config = config_of(annotations, data=data, train={"max_steps": 1}, validate={"every_steps": 1})
    told = list(train(build_run(config, tmp_path / "run", device="cpu")))
    (validated,) = [event for event in told if isinstance(event, Validated)]
    assert validated.lines == 1 and math.isfinite(validated.loss) and math.isfinite(validated.cer)


@pytest.mark.parametrize("sequence", ["transformer", "seq2seq", "convseq2seq"])
def test_padding_tokens_do_not_change_the_loss(sequence: str) -> None:
    model = make_model(sequence)
    config = Config(model=model.config, augment={"masked_share": 0})  # type: ignore[arg-type]
    objective = make_objective(config, model.charset, CPU, torch.float32)
    labels = [[1], [3, 4, 5, 6, 7, 8], []]
    images = torch.rand((3, 3, 32, 40))
    with torch.no_grad():
        together, count = objective.loss(model.module, images, batch_of(labels))
        alone = [
            objective.loss(model.module, images[place : place + 1], batch_of([label]))
            for place, label in enumerate(labels)
        ]
    assert count == sum(part for _, part in alone) == 7 + 3
    assert float(together) == pytest.approx(sum(float(total) for total, _ in alone), rel=1e-4)


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(1, 20), max_size=6), min_size=1, max_size=5), st.sampled_from([3, 4]))
def test_the_decoder_sees_the_start_first_and_is_to_say_the_end_last(
    labels: list[list[int]], specials: int
) -> None:
    seen, said = teacher_tokens(batch_of(labels), specials)
    for row_seen, row_said, label in zip(seen.tolist(), said.tolist(), labels, strict=True):
        own = [number - 1 + specials for number in label]
        padding = [PAD] * (len(row_said) - len(own) - 1)
        assert row_seen == [SOS, *own, *padding] and row_said == [*own, EOS, *padding]


def test_smoothing_spreads_over_the_wrong_classes_but_padding() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(2, 3, 6), torch.tensor([[3, 4, 2], [5, 2, 0]])
    spread = torch.full((2, 3, 6), 0.1 / 4)
    spread[..., PAD] = 0
    spread.scatter_(-1, targets[..., None], 0.9)
    smooth, sharp = (float(smoothed_cross_entropies(logits, targets, v).sum()) for v in (0.1, 0.0))
    by_hand = -(spread * F.log_softmax(logits, -1)).sum(-1)[targets != PAD].sum()
    assert smooth == pytest.approx(float(by_hand), rel=1e-5)
    plain = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=PAD, reduction="sum")
    assert sharp == pytest.approx(float(plain), rel=1e-5)


@pytest.mark.parametrize(("specials", "expected"), [(4, [3, 3, 3]), (3, [3, 4, 5])])
def test_only_characters_are_masked_and_only_where_there_is_a_mask_token(
    specials: int, expected: list[int]
) -> None:
    model = make_model(specials=specials)
    seen: list[torch.Tensor] = []

    class Listening(torch.nn.Module):
        def forward(self, images: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
            seen.append(tokens)
            return torch.zeros((*tokens.shape, model.module.classes))  # type: ignore[arg-type]

    config = Config(model=model.config, augment={"masked_share": 0.999999})  # type: ignore[arg-type]
    objective = make_objective(config, model.charset, CPU, torch.float32)
    objective.loss(Listening(), torch.zeros((2, 3, 32, 40)), batch_of([[1, 2], [3]]))
    assert seen[0][:, 0].tolist() == [SOS, SOS] and seen[0][1, 2] == PAD
    characters = seen[0][torch.tensor([[False, True, True], [False, True, False]])]
    assert characters.tolist() == expected


@pytest.mark.parametrize("sequence", ["transformer", "seq2seq", "convseq2seq"])
def test_init_matches_rows_by_character_and_by_special(tmp_path: Path, sequence: str) -> None:
    old = make_model(sequence, specials=3)
    save_model(tmp_path / "old.safetensors", old)
    annotations = write_annotations(tmp_path, ["a"], [30])
    model = old.config.model_dump() | {"specials": 4}
    characters = old.charset.characters[::-1] + "ß"
    config = config_of(annotations, model=model, charset={"characters": characters})
    run = build_run(config, tmp_path / "run", init=str(tmp_path / "old.safetensors"), device="cpu")
    assert "ß" in run.notes[-1]
    names = [name for name, value in old.module.state_dict().items() if len(value.shape) and len(value) == 29]
    assert len(names) >= 3
    before, after = old.module.state_dict(), run.module.state_dict()
    for name in names:
        for char in "am9":
            row, place = (charset.encode(char)[0] - 1 for charset in (old.charset, run.charset))
            assert torch.equal(after[name][place + 4], before[name][row + 3]), name
        assert torch.equal(after[name][:3], before[name][:3])
    untouched = "cnn.model.conv1_1.weight" if "cnn.model.conv1_1.weight" in before else next(iter(before))
    assert torch.equal(after[untouched], before[untouched])


def test_init_of_a_pth_takes_heads_from_the_config_and_refuses_other_sizes(tmp_path: Path) -> None:
    model = make_model()
    module = VietocrRecognizer(model.config, VIETOCR_IMAGE, 233)
    torch.save(module.state_dict(), tmp_path / "old.pth")
    annotations = write_annotations(tmp_path, ["a"], [30])
    config = config_of(annotations, model=model.config.model_dump())
    run = build_run(config, tmp_path / "run", init=str(tmp_path / "old.pth"), device="cpu")
    assert run.notes[-1].startswith("Started from old; its characters that this charset lacks")
    assert run.notes[-1].endswith(f" forgotten: {229 - len('abcd ')} of 229")
    old_row, row = VIETOCR_CHARACTERS.index("c") + 4, "abcd ".index("c") + 4
    ours, theirs = run.module.state_dict(), module.state_dict()
    assert torch.equal(ours["transformer.fc.weight"][row], theirs["transformer.fc.weight"][old_row])
    wider = model.config.model_dump()
    wider["transformer"] |= {"feed_forward": 48}
    with pytest.raises(ModelError, match=r"transformer\.feed_forward is 32, not 48"):
        build_run(
            config_of(annotations, model=wider), tmp_path / "b", init=str(tmp_path / "old.pth"), device="cpu"
        )


def test_a_model_of_the_other_family_is_refused_as_a_start(tmp_path: Path, tiny_model: Path) -> None:
    config = config_of(write_annotations(tmp_path, ["a"], [30]))
    with pytest.raises(ModelError, match="family is ctc, not vietocr"):
        build_run(config, tmp_path / "run", init=str(tiny_model), device="cpu")


def test_a_resumed_run_goes_on_from_its_step(tmp_path: Path) -> None:
    annotations = write_annotations(tmp_path, ["ab", "cd", "d a"], [30])
    first = build_run(config_of(annotations), tmp_path / "run", device="cpu")
    list(train(first))
    second = build_run(config_of(annotations, train={"max_steps": 3}), tmp_path / "run", device="cpu")
    second.checkpoints.restore(second)
    assert second.state.step == 2
    for key, value in first.module.state_dict().items():
        assert torch.equal(second.module.state_dict()[key], value), key
    list(train(second))
    assert second.state.step == 3


def test_steps_of_several_widths_go_on_bit_for_bit(tmp_path: Path) -> None:
    annotations = write_annotations(tmp_path, [*"abcdabcd"], [30, 60, 90])

    def trained(name: str, *ends: int) -> dict[str, torch.Tensor]:
        for end in ends:
            sections = {"augment": {"strength": 1.0}, "batch": {"max_lines": 3}}
            limits = {"max_steps": end, "log_every_steps": 1}
            config = config_of(annotations, train=limits, optim={"lr": 5e-3, "accumulate": 2}, **sections)
            run = build_run(config, tmp_path / name, device="cpu")
            if end != ends[0]:
                run.checkpoints.restore(run)
            list(train(run))
        averages = {f"average of {key}": value for key, value in run.train_state.ema.state.items()}
        return averages | run.module.state_dict()

    whole, cut = trained("whole", 7), trained("cut", 4, 7)
    assert all(torch.equal(value, cut[key]) for key, value in whole.items())


def test_lines_and_labels_beyond_the_models_positions_are_refused_at_the_start(tmp_path: Path) -> None:
    annotations = write_annotations(tmp_path, ["abcd " * 50 + "a"], [30])
    with pytest.raises(DataError, match=r"line 1 of .* 251 characters; the model writes at most 199"):
        build_run(config_of(annotations), tmp_path / "run", device="cpu")
    with pytest.raises(ConfigError, match="positions"):
        build_run(config_of(annotations, image={"max_width_px": 2000}), tmp_path / "run", device="cpu")


def test_image_settings_that_are_not_given_are_vietocrs() -> None:
    assert parse_config({"model": MODEL}, "test").image == VIETOCR_IMAGE
    taller = parse_config({"model": MODEL, "image": {"height_px": 64}}, "test").image
    assert taller == replace(VIETOCR_IMAGE, height_px=64)


def test_what_is_saved_is_a_model_of_the_family(tmp_path: Path) -> None:
    run = build_run(config_of(write_annotations(tmp_path, ["ab"], [30])), tmp_path / "run", device="cpu")
    list(train(run))
    from vocr_cli.core.models.files import load_model

    model = load_model(run.checkpoints.best_path)
    assert isinstance(model, ModelFile) and isinstance(model.module, VietocrRecognizer)
    assert model.charset == Charset("abcd ") and model.image == VIETOCR_IMAGE
