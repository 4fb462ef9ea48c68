"""Settings: misspelt keys, overrides, and the way to YAML and back."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from vocr_cli.core.config.families import FAMILIES, Settings
from vocr_cli.core.config.tree import Config, dump_config, load_config, parse_config
from vocr_cli.core.errors import ConfigError


@pytest.fixture
def file(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "config.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def default() -> Config:
    return parse_config({}, "test")


names = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=12)
sources = st.one_of(
    st.fixed_dictionaries({"lmdb": names, "weight": st.floats(0.01, 1e6)}),
    st.fixed_dictionaries(
        {
            "synth": st.fixed_dictionaries(
                {
                    "fonts": st.lists(names, max_size=2),
                    "font_weights": st.dictionaries(names, st.floats(0, 9), max_size=2),
                }
            )
        }
    ),
)
trees = st.fixed_dictionaries(
    {},
    optional={
        "data": st.fixed_dictionaries(
            {"train": st.lists(sources, max_size=3), "workers": st.integers(0, 64)}
        ),
        "charset": st.fixed_dictionaries(
            {"characters": names, "unknown": st.sampled_from(["error", "skip-line", "replace", "extend"])}
        ),
        "batch": st.fixed_dictionaries({"pixels": st.integers(1_000, 10**9)}),
        "optim": st.fixed_dictionaries(
            {"lr": st.floats(1e-9, 1), "betas": st.tuples(*[st.floats(0, 1, exclude_max=True)] * 2)}
        ),
        "validate": st.fixed_dictionaries({"every_steps": st.integers(1, 10**6)}),
        "precision": st.fixed_dictionaries({"amp": st.sampled_from(["auto", "bf16", "fp16", "off"])}),
    },
)


@given(trees)
def test_a_written_config_reads_back_the_same(tree):
    config = parse_config(tree, "test")
    assert parse_config(yaml.safe_load(dump_config(config)), "test") == config


@pytest.mark.parametrize(
    ("text", "key", "meant"),
    [
        ("optim: {lrr: 1}", "optim.lrr", "`lr`"),
        ("optimm: {lr: 1}", "optimm", "`optim`"),
        ("validate: {every_step: 5}", "validate.every_step", "`every_steps`"),
        ("data: {train: [{lmbd: x}]}", "data.train.0.lmbd", "`lmdb`"),
        ("data: {train: [{synth: {font: [x]}}]}", "data.train.0.synth.font", "`fonts`"),
        ("model: {hiden: 32}", "model.hiden", "`hidden`"),
    ],
)
def test_a_misspelt_key_is_named_with_the_nearest(file, text, key, meant):
    with pytest.raises(ConfigError) as caught:
        load_config(file(text))
    assert f"unknown key `{key}`, did you mean {meant}?" in caught.value.problem
    assert "config.yaml" in caught.value.problem
    assert caught.value.fix


def test_a_key_like_no_other_lists_the_known_ones(file):
    with pytest.raises(ConfigError, match=r"known here: .*max_steps.*seed"):
        load_config(file("train: {qqqqqqqq: 1}"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "data: {train: [lines.lmdb]}",
            "`data.train.0` takes settings, not 'lines.lmdb'; known here: lmdb, annotations",
        ),
        ("optim: adamw", "`optim` takes settings, not 'adamw'; known here: name, lr"),
        (
            "model: {family: vietocr, transformer: 6}",
            "`model.transformer` takes settings, not '6'; known here: d_model",
        ),
    ],
)
def test_a_value_where_settings_belong_is_told_with_their_names(file, text, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        load_config(file(text))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("image: {height_px: 41}", "image.height_px"),
        ("image: {channels: 2}", "image.channels"),
        ("batch: {pixels: many}", "batch.pixels"),
        ("optim: {lr: -1}", "optim.lr"),
        ("data: {train: [{weight: 2}]}", "data.train.0"),
        ("data: {train: [{lmdb: a, synth: {}}]}", "data.train.0"),
        ("augment: {min_strength: 0.9, max_strength: 0.1}", "augment"),
    ],
)
def test_a_value_out_of_range_names_its_place(file, text, place):
    with pytest.raises(ConfigError) as caught:
        load_config(file(text))
    assert f"`{place}`" in caught.value.problem


def test_all_wrong_settings_are_named_at_once(file):
    with pytest.raises(ConfigError) as caught:
        load_config(file("optim: {lr: -1, lrr: 2}\nbatch: {pixels: x}"))
    assert all(place in caught.value.problem for place in ("optim.lr`", "optim.lrr`", "batch.pixels`"))


def test_overrides_win_over_the_file_and_later_ones_over_earlier(file):
    path = file("optim: {lr: 0.5, weight_decay: 0.25}")
    config = load_config(
        path, ("optim.lr=1", "optim.lr=2e-3", "charset.unknown=extend", "optim.betas=[0.5, 0.75]")
    )
    assert (config.optim.lr, config.optim.weight_decay) == (2e-3, 0.25)
    assert config.charset.unknown == "extend"
    assert config.optim.betas == (0.5, 0.75)


@pytest.mark.parametrize(
    "override", ["optim.lr", "optim.lr.x=1", "optim.lr=[1", "nothing.like.this=1", "optim.lrr=1"]
)
def test_a_wrong_override_is_refused_with_a_remedy(file, override):
    with pytest.raises(ConfigError) as caught:
        load_config(file("optim: {lr: 0.5}"), (override,))
    assert caught.value.fix


@pytest.mark.parametrize("content", [b"a: [", b"- 1\n- 2\n", b"\xff\xfe\x00", b"just text"])
def test_what_is_no_yaml_mapping_is_refused(tmp_path, content):
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"broken\.yaml"):
        load_config(path)


@pytest.mark.parametrize(
    ("text", "key", "first", "second"),
    [
        ("optim:\n  lr: 1e-3\n  clip: norm\n  lr: 1e-2\n", "lr", 2, 4),
        ("data: {workers: 1}\noptim: {lr: 1e-3}\ndata: {workers: 2}\n", "data", 1, 3),
        ("data:\n  train:\n  - lmdb: a\n    lmdb: b\noptim: {lr: 1, lr: 2}\n", "lmdb", 3, 4),
    ],
)
def test_a_key_that_stands_twice_is_named_with_both_lines(file, text, key, first, second):
    with pytest.raises(ConfigError, match=f"line {second}: `{key}` stands in line {first}, too"):
        load_config(file(text))


def test_a_key_that_stands_twice_in_one_line_is_said_to(file):
    with pytest.raises(ConfigError, match="line 1: `lr` stands twice"):
        load_config(file("optim: {lr: 1, lr: 2}\n"))


def test_one_key_of_several_sources_stands_once(file):
    config = load_config(file("data:\n  train:\n  - {lmdb: a}\n  - {lmdb: b}\nimage: {height_px: 40}\n"))
    assert [str(source.lmdb) for source in config.data.train] == ["a", "b"]


def test_a_missing_file_names_the_command_that_writes_one(tmp_path):
    with pytest.raises(ConfigError, match="autoconf"):
        load_config(tmp_path / "none.yaml")


def test_an_empty_file_means_the_defaults(file):
    assert load_config(file("")) == default()


def test_a_byte_order_mark_does_no_harm(file):
    assert load_config(file("\ufeffoptim: {lr: 0.5}")).optim.lr == 0.5


def test_settings_cannot_be_changed_in_place():
    with pytest.raises(ValidationError):
        default().optim.lr = 1.0  # type: ignore[misc]


def numbers(settings: type[Settings], *path: str) -> Iterator[tuple[str, type]]:
    """Every setting that is one number, by its key."""
    for name, field in settings.model_fields.items():
        key, kind = (*path, field.alias or name), field.annotation
        kinds = {kind, *get_args(kind)}
        if isinstance(kind, type) and issubclass(kind, Settings):
            yield from numbers(kind, *key)
        elif kinds & {int, float}:
            yield ".".join(key), int if int in kinds else float


NUMBERS = [("ctc", *item) for item in numbers(Config)]
NUMBERS += [(name, *item) for name, family in FAMILIES.items() for item in numbers(family, "model")]


@pytest.mark.parametrize(("family", "key", "kind"), NUMBERS, ids=[" ".join(item[:2]) for item in NUMBERS])
def test_no_setting_takes_a_number_that_cannot_be_reckoned_with(family: str, key: str, kind: type) -> None:
    for value in [10**30, -(10**30)] if kind is int else [math.inf, -math.inf, math.nan]:
        tree: dict[str, Any] = {"model": {"family": family}}
        inner = tree
        *parents, last = key.split(".")
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = value
        with pytest.raises(ConfigError, match=rf"^c\.yaml: `.*{last}`"):
            parse_config(tree, "c.yaml")


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"train": {"seed": -1}}, "`train.seed` must be greater than or equal to 0"),
        ({"data": {"train": [{"synth": {"seed": -1}}]}}, "synth.seed` must be greater"),
        ({"data": {"train": [{"synth": {"font_weights": {"Serif": -1}}}]}}, "the weight of 'Serif' is -1"),
        ({"data": {"train": [{"lmdb": "a", "weight": math.inf}]}}, "weight` must be a finite number"),
        ({"optim": {"betas": [0.9, 1.5]}}, "`optim.betas`: both are at least 0 and less than 1"),
        ({"optim": {"betas": [0.9, 1.0]}}, "`optim.betas`: both are at least 0 and less than 1"),
        ({"image": {"max_width_px": 10**30}}, "image.max_width_px"),
        ({"image": {"stretch": math.nan}}, "image.stretch"),
        ({"model": {"channels": [0, 8, 8]}}, "channels must be at least 1"),
        ({"model": {"blocks": [0, -1, 0]}}, "blocks must be at least 0"),
        ({"model": {"hidden": 32, "heads": 3}}, "heads must divide hidden"),
        ({"model": {"hidden": 0}}, "`model.hidden` must be greater than or equal to 16"),
        ({"model": {"family": "vietocr", "pool_strides": [[0, 2]] * 5}}, "pool_strides must be at least 1"),
    ],
)
def test_numbers_that_would_end_in_a_traceback_are_refused(tree: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config(tree, "c.yaml")
    assert words in refused.value.problem


def test_types_are_called_by_words_of_yaml() -> None:
    with pytest.raises(ConfigError, match=r"`optim\.betas` must be a list: \[a, b\]"):
        parse_config({"optim": {"betas": 0.9}}, "c.yaml")
    with pytest.raises(ConfigError, match=r"`charset\.replacement` must be a text"):
        parse_config({"charset": {"replacement": 5}}, "c.yaml")
