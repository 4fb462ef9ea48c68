"""Fine-tuning: stages that are frozen, learning rates by depth, lines that are stretched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import write_annotations
from tiny_vietocr import make_model

from vocr_cli.core.config.tree import Config, ImageConfig, OptimConfig, parse_config
from vocr_cli.core.data.images.fit import fitted_width
from vocr_cli.core.errors import ConfigError, ModelError
from vocr_cli.core.export.average import averaged_model
from vocr_cli.core.export.prune import prune_model
from vocr_cli.core.models.files import ModelFile, build_module, load_model, save_model
from vocr_cli.core.text import Charset
from vocr_cli.core.training.best_model import save_best_model
from vocr_cli.core.training.loop import train
from vocr_cli.core.training.optim.optimizer import parameter_groups
from vocr_cli.core.training.optim.stages import freeze, layer_ids, stage_of, stages_of
from vocr_cli.core.training.run import build_run
from vocr_cli.core.training.run_settings import read_run_settings

TINY = {"channels": [8, 8, 16], "blocks": [0, 1, 1], "hidden": 32, "column_blocks": 1, "dropout": 0}


def config_of(annotations: Path, **sections: object) -> Config:
    tree = {
        "model": TINY,
        "image": {"max_width_px": 800},
        "data": {"train": [{"annotations": str(annotations)}], "workers": 0},
        "optim": {"lr": 1e-2, "ema_decay": 0},
        "schedule": {"name": "constant", "warmup_steps": 0},
        "train": {"max_steps": 2, "log_every_steps": 1},
        "precision": {"amp": "off"},
        **sections,
    }
    return parse_config(tree, "test")


def test_frozen_stages_keep_weights_and_statistics(tmp_path: Path, tiny_model: Path) -> None:
    config = config_of(
        write_annotations(tmp_path, ["ab", "ba"]), optim={"lr": 1e-2, "freeze": ["trunk", "collapse"]}
    )
    run = build_run(config, tmp_path / "run", init=str(tiny_model), device="cpu")
    list(train(run))
    before = load_model(tiny_model).module.state_dict()
    for key, value in run.module.state_dict().items():
        stage = stage_of(key, stages_of(run.module))
        if stage in ("trunk", "collapse"):
            assert torch.equal(value, before[key]), key
        elif key.endswith("weight"):
            assert not torch.equal(value, before[key]), key


@pytest.mark.parametrize(
    ("names", "words"), [(("backbone",), "trunk"), (("trunk", "collapse", "mixer", "head"), "nothing")]
)
def test_stages_that_cannot_be_frozen_are_named(tiny_model: Path, names: tuple, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        freeze(load_model(tiny_model).module, names)
    assert words in f"{caught.value.problem} {caught.value.fix}"


@pytest.mark.parametrize("sequence", ["transformer", "seq2seq", "convseq2seq"])
def test_every_weight_of_the_other_family_has_a_stage(sequence: str) -> None:
    module = make_model(sequence).module
    layers = layer_ids(module)
    found = {name: stage_of(name, stages_of(module)) for name, _ in module.named_parameters()}
    assert set(found.values()) == {"backbone", "encoder", "decoder", "head"}
    assert {layers[name] for name, stage in found.items() if stage == "head"} == {0}
    deepest = {stage: max(layers[name] for name in found if found[name] == stage) for stage in found.values()}
    assert deepest["backbone"] > deepest["encoder"] > deepest["decoder"] > 0


def test_rates_fall_layer_by_layer_from_the_head_back(tiny_model: Path) -> None:
    module = load_model(tiny_model).module
    freeze(module, ("collapse",))
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    groups = parameter_groups(module, OptimConfig(layer_decay=0.5))
    scales = {names[id(p)]: group["lr_scale"] for group in groups for p in group["params"]}
    assert scales["head.weight"] == scales["norm.weight"] == 1
    assert scales["mixer.0.qkv.weight"] == scales["mixer.0.feed_norm.bias"] == 0.5
    assert scales["trunk.4.first.0.weight"] == 0.5 ** (1 + 2 + 1)  # the collapse and its column block between
    assert scales["trunk.0.0.weight"] == scales["trunk.0.1.bias"] == 0.5 ** (4 + 4)
    assert not any(name.startswith("collapse") for name in scales)
    assert all((group["weight_decay"] > 0) == (p.ndim > 1) for group in groups for p in group["params"])


def test_new_characters_are_reported_and_old_rows_kept(tmp_path: Path, tiny_model: Path) -> None:
    config = config_of(write_annotations(tmp_path, ["aß", "bẵ"]), charset={"unknown": "extend"})
    run = build_run(config, tmp_path / "run", init=str(tiny_model), device="cpu")
    old = load_model(tiny_model)
    assert run.notes[-1].endswith("new characters: ß")
    row = run.charset.encode("ẵ")[0]
    assert torch.equal(run.module.head.weight[row], old.module.head.weight[row])  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("characters", "kept"),
    [(None, "vi"), (" abcdefghijklmnopqrstuvwxyz", "")],
    ids=["ours", "another language"],
)
def test_what_is_trained_from_a_model_keeps_its_language_model_in_its_language(
    tmp_path: Path, tiny_model: Path, characters: str | None, kept: str
) -> None:
    """Fine-tuned on handwriting, vi-small made a quarter more errors unless `--lm vi` was given."""
    start = tmp_path / "start.safetensors"
    save_model(start, replace(load_model(tiny_model), language_model="vi"))
    lines = write_annotations(tmp_path, ["ab", "ba"])
    config = config_of(lines, **({"charset": {"characters": characters}} if characters else {}))
    run = build_run(config, tmp_path / "run", init=str(start), device="cpu")
    list(train(run))
    resumed = build_run(config, tmp_path / "run", device="cpu")
    resumed.checkpoints.restore(resumed)
    save_best_model(resumed, None)
    best = load_model(run.checkpoints.best_path)
    assert best.language_model == kept
    for name, made in (("mean", averaged_model([best, best])), ("pruned", prune_model(best, 0.5, {}))):
        save_model(tmp_path / f"{name}.safetensors", made)
        assert load_model(tmp_path / f"{name}.safetensors").language_model == kept
    assert not load_model(tiny_model).language_model


def test_another_height_is_refused(tmp_path: Path, tiny_model: Path) -> None:
    config = config_of(write_annotations(tmp_path, ["ab"]), image={"max_width_px": 800, "height_px": 48})
    with pytest.raises(ModelError, match="height_px is 40, not 48"):
        build_run(config, tmp_path / "run", init=str(tiny_model), device="cpu")


def test_stretched_lines_have_more_columns_and_the_file_says_so(tmp_path: Path, tiny_model: Path) -> None:
    wide = ImageConfig(stretch=1.7)
    assert fitted_width(100, 40, wide) == 176 and fitted_width(100, 40, ImageConfig()) == 104
    config = config_of(write_annotations(tmp_path, ["ab"]), image={"max_width_px": 800, "stretch": 1.7})
    run = build_run(config, tmp_path / "run", init=str(tiny_model), device="cpu")
    list(train(run))
    assert run.data.train[0].widths.tolist() == [fitted_width(90, 30, config.image)]  # type: ignore[union-attr]
    assert load_model(run.checkpoints.best_path).image.stretch == 1.7
    save_model(tmp_path / "again.safetensors", load_model(run.checkpoints.best_path))


def test_a_config_without_a_word_about_the_model_takes_that_of_the_weights(
    tmp_path: Path, tiny_model: Path
) -> None:
    lines = write_annotations(tmp_path, ["ab", "ba"])
    config = tmp_path / "config.yaml"
    config.write_text(
        f"data: {{train: [{{annotations: {lines}}}], workers: 0}}\ntrain: {{max_steps: 1}}\n",
        encoding="utf-8",
    )

    def settings(*overrides: str) -> Config:
        sections = {"data": {}, "train": {}}
        return read_run_settings(config, sections=sections, overrides=overrides, init=str(tiny_model)).config

    theirs = load_model(tiny_model).config
    assert settings("optim.lr=1e-3").model == theirs
    assert settings("model.dropout=0.5").model == theirs.model_copy(update={"dropout": 0.5})
    config.write_text(config.read_text("utf-8") + "model: {hidden: 64}\n", encoding="utf-8")
    assert settings().model == parse_config({"model": {"hidden": 64}}, "test").model


def test_a_config_that_names_no_characters_keeps_those_of_the_weights(
    tmp_path: Path, tiny_model: Path
) -> None:
    """Signs that the default charset lacks were forgotten else, as vi-small's ₂ and ✓."""
    start = load_model(tiny_model)
    more = Charset(f"{start.charset.characters}₂✓")
    module = build_module(start.config, start.image, more)
    save_model(tmp_path / "more.safetensors", ModelFile(module, start.config, start.image, more))
    config = tmp_path / "config.yaml"

    def characters(written: str, *overrides: str) -> str:
        config.write_text(written, encoding="utf-8")
        sections, init = {"data": {}, "train": {}}, str(tmp_path / "more.safetensors")
        found = read_run_settings(config, sections=sections, overrides=overrides, init=init).config
        return found.charset.characters

    for written in ("", "charset: {unknown: skip-line}\n", "model: {hidden: 64}\n"):
        assert characters(written) == more.characters
    assert characters("charset: {characters: ' abc'}\n") == " abc"
    assert characters("", "charset.characters=' ab'") == " ab"
    assert characters("model: {family: vietocr}\n") == Charset().characters
