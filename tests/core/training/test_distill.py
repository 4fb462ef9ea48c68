"""Distillation: classes that are compared, what is refused, and that a student comes nearer its teacher."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import line_image
from tiny_vietocr import make_model
from typer.testing import CliRunner

from vocr_cli.app import app
from vocr_cli.core.config.tree import Config, parse_config
from vocr_cli.core.data.loader.batch import Batch
from vocr_cli.core.errors import ConfigError
from vocr_cli.core.models.files import ModelFile, build_module, load_model, save_model
from vocr_cli.core.text import Charset
from vocr_cli.core.training.step.distill import DistilledCtc, make_distillation_objective
from vocr_cli.core.training.step.objective import make_objective

CPU = torch.device("cpu")


def config_like(model: ModelFile, **train: object) -> Config:
    tree = {
        "model": model.config.model_dump(mode="json"),
        "image": model.image.to_dict(),
        "charset": {"characters": model.charset.characters},
        "augment": {"masked_share": 0},
        "precision": {"amp": "off", "channels_last": False},
        "train": {"teacher": "named elsewhere", **train},
    }
    return parse_config(tree, "test")


def batch_of(model: ModelFile, labels: list[str]) -> tuple[torch.Tensor, Batch]:
    classes = [model.charset.encode(label) for label in labels]
    images = torch.rand((len(labels), model.image.channels, model.image.height_px, 96))
    batch = Batch(
        torch.zeros(0, dtype=torch.uint8),
        torch.tensor([96] + [64] * (len(labels) - 1)),
        torch.tensor([number for label in classes for number in label]),
        torch.tensor([len(label) for label in classes]),
        labels,
        labels,
    )
    return images, batch


def loss_of(objective, module, images: torch.Tensor, batch: Batch) -> float:  # type: ignore[no-untyped-def]
    with torch.no_grad():
        total, parts = objective.loss(module.eval(), images, batch)
    return float(total / parts)


@pytest.mark.parametrize("sequence", ["ctc", "transformer", "seq2seq", "convseq2seq"])
def test_a_student_that_equals_its_teacher_has_nothing_to_learn_of_it(
    tiny_model: Path, sequence: str
) -> None:
    teacher = load_model(tiny_model) if sequence == "ctc" else make_model(sequence)
    config = config_like(teacher, teacher_weight=1.0)
    objective = make_distillation_objective(teacher, config, teacher.charset, CPU, torch.float32)
    images, batch = batch_of(teacher, ["abc", "0a"])
    same = build_module(teacher.config, teacher.image, teacher.charset)
    same.load_state_dict(teacher.module.state_dict())
    assert loss_of(objective, same, images, batch) == pytest.approx(0, abs=1e-5)
    other = build_module(teacher.config, teacher.image, teacher.charset)
    assert loss_of(objective, other, images, batch) > 0.01


@pytest.mark.parametrize("sequence", ["ctc", "transformer"])
def test_classes_are_compared_by_character(tiny_model: Path, sequence: str) -> None:
    """A student whose rows stand in another order, one character more, equals its teacher all the same."""
    teacher = load_model(tiny_model) if sequence == "ctc" else make_model(sequence)
    charset = Charset("ß" + teacher.charset.characters[::-1])
    student = build_module(teacher.config, teacher.image, charset)
    specials = 1 if sequence == "ctc" else 4
    state = teacher.module.state_dict()
    rows = [
        *range(specials),
        specials,
        *(specials + teacher.charset.encode(c)[0] - 1 for c in charset.characters[1:]),
    ]
    for key in (
        "head.weight",
        "head.bias",
        "transformer.embed_tgt.weight",
        "transformer.fc.weight",
        "transformer.fc.bias",
    ):
        if key in state:
            state[key] = state[key][rows]
    student.load_state_dict(state)
    config = config_like(teacher, teacher_weight=1.0)
    objective = make_distillation_objective(teacher, config, charset, CPU, torch.float32)
    images, batch = batch_of(replace(teacher, charset=charset), ["abc", "0a"])
    assert loss_of(objective, student, images, batch) == pytest.approx(0, abs=1e-5)


def test_the_weight_mixes_labels_and_teacher(tiny_model: Path) -> None:
    teacher = load_model(tiny_model)
    student = build_module(teacher.config, teacher.image, teacher.charset)
    images, batch = batch_of(teacher, ["abc", "0a"])
    losses = {}
    for weight in (1.0, 0.25):
        config = config_like(teacher, teacher_weight=weight)
        losses[weight] = loss_of(
            make_distillation_objective(teacher, config, teacher.charset, CPU, torch.float32),
            student,
            images,
            batch,
        )
    labels = loss_of(make_objective(config, teacher.charset, CPU, torch.float32), student, images, batch)
    assert losses[0.25] == pytest.approx(0.75 * labels + 0.25 * losses[1.0], rel=1e-4)


def test_nothing_is_fetched_to_see_what_the_teacher_reads_where_that_does_not_matter(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU would be waited for in each batch."""
    teacher = load_model(tiny_model)
    student = build_module(teacher.config, teacher.image, teacher.charset)
    images, batch = batch_of(teacher, ["abc", "0a"])
    asked: list[str] = []
    monkeypatch.setattr(DistilledCtc, "_right", lambda *_: asked.append("") or torch.tensor([True, True]))
    for lines in ("all", "right"):
        config = config_like(teacher, teacher_weight=0.5, teacher_lines=lines)
        objective = make_distillation_objective(teacher, config, teacher.charset, CPU, torch.float32)
        loss_of(objective, student, images, batch)
        assert len(asked) == (lines == "right")


@pytest.mark.parametrize("sequence", ["ctc", "transformer"])
def test_lines_that_the_teacher_reads_wrong_are_learned_from_labels_alone(
    tiny_model: Path, sequence: str
) -> None:
    teacher = load_model(tiny_model) if sequence == "ctc" else make_model(sequence)
    student = build_module(teacher.config, teacher.image, teacher.charset)
    config = config_like(teacher, teacher_weight=1.0, teacher_lines="right")
    objective = make_distillation_objective(teacher, config, teacher.charset, CPU, torch.float32)
    images, batch = batch_of(teacher, ["abc", "0a"])
    labels = make_objective(config, teacher.charset, CPU, torch.float32)
    wrong = loss_of(objective, student, images, batch)
    assert wrong == pytest.approx(loss_of(labels, student, images, batch), rel=1e-5)
    assert wrong != pytest.approx(loss_of(objective, teacher.module, images, batch), rel=1e-2)


def test_lines_that_the_teacher_reads_right_are_learned_from_it(tiny_model: Path) -> None:
    """The label of each line is what the teacher reads: its own weights have nothing to learn then."""
    teacher = load_model(tiny_model)
    config = config_like(teacher, teacher_weight=1.0, teacher_lines="right")
    objective = make_distillation_objective(teacher, config, teacher.charset, CPU, torch.float32)
    images, batch = batch_of(teacher, ["abc", "0a"])
    with torch.no_grad():
        best = teacher.module.eval()(images, batch.columns).argmax(-1)
    texts = []
    for row, count in zip(best, batch.columns.tolist(), strict=True):
        classes = torch.unique_consecutive(row[:count])
        texts.append("".join(teacher.charset.characters[number - 1] for number in classes if number))
    assert all(texts)
    _, read = batch_of(teacher, texts)
    assert loss_of(objective, teacher.module, images, read) == pytest.approx(0, abs=1e-5)
    assert loss_of(objective, teacher.module, images, batch) > 0.1


def test_padding_columns_are_not_compared(tiny_model: Path) -> None:
    teacher = load_model(tiny_model)
    objective = make_distillation_objective(
        teacher, config_like(teacher, teacher_weight=1.0), teacher.charset, CPU, torch.float32
    )
    logits = {}

    class Known(torch.nn.Module):
        def forward(self, images: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
            logits["own"] = teacher.module(images, columns)
            spoilt = logits["own"].clone()
            for line, count in enumerate(columns):
                spoilt[line, count:] = 5 * torch.rand(spoilt[line, count:].shape)
            return spoilt

    images, batch = batch_of(teacher, ["abc", "0a"])
    assert loss_of(objective, Known(), images, batch) == pytest.approx(0, abs=1e-5)


def test_teachers_that_cannot_be_compared_are_refused(tiny_model: Path) -> None:
    ctc, tokens = load_model(tiny_model), make_model()
    lacking = Charset(tokens.charset.characters + "ß")
    cases = [
        (tokens, config_like(ctc), ctc.charset, "family"),
        (ctc, config_like(tokens), tokens.charset, "family"),
        (
            replace(ctc, image=replace(ctc.image, height_px=48)),
            config_like(ctc),
            ctc.charset,
            "height_px",
        ),
        (
            replace(ctc, image=replace(ctc.image, stretch=2.0)),
            config_like(ctc),
            ctc.charset,
            "stretch",
        ),
        (ctc, config_like(ctc), Charset("ßþ"), "in common"),
        (make_model(specials=3), config_like(tokens), lacking, "ß"),
    ]
    for teacher, config, charset, words in cases:
        with pytest.raises(ConfigError, match=words):
            make_distillation_objective(teacher, config, charset, CPU, torch.float32)


def test_a_distilled_run_names_its_teacher(tmp_path: Path, tiny_model: Path) -> None:
    for number in range(4):
        line_image(number, 90).save(tmp_path / f"{number}.png")
    (tmp_path / "train.txt").write_text("".join(f"{n}.png\tab{n}\n" for n in range(4)), encoding="utf-8")
    (tmp_path / "config.yaml").write_text(
        "model: {channels: [8, 8, 8], blocks: [0, 1, 0], hidden: 16, column_blocks: 0}\n"
        "data: {workers: 0}\nprecision: {amp: 'off'}\ntrain: {max_steps: 2, log_every_steps: 1}\n"
    )
    save_model(tmp_path / "large.safetensors", load_model(tiny_model))
    arguments = ["train", tmp_path / "config.yaml", "--data", tmp_path / "train.txt", "--device", "cpu",
                 "--out", tmp_path / "run", "--teacher", tmp_path / "large.safetensors"]  # fmt: skip
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    student = load_model(tmp_path / "run" / "checkpoints" / "best.safetensors")
    assert student.provenance["teacher"] == "large.safetensors"
