"""`vocr autoconf` through the command line, and the steps that it times."""

from __future__ import annotations

import re
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
import yaml
from conftest import EXAMPLE_LINES, FONTS
from PIL import Image
from typer.testing import CliRunner

from vocr_cli.app import app
from vocr_cli.core.config.tree import load_config, parse_config
from vocr_cli.core.data.lmdb.store import LineWriter, StoredLine
from vocr_cli.core.errors import ConfigError, DataError, FontError, ModelError

runner = CliRunner()
TINY = {
    "model": {"channels": [8, 8, 8], "blocks": [0, 0, 0], "hidden": 16, "attention_layers": 1, "heads": 1},
    "image": {"height_px": 32, "max_width_px": 640},
}


def write_lines(path: Path, texts: list[str], width: int = 200, height: int = 40) -> Path:
    buffer = BytesIO()
    Image.new("L", (width, height), 255).save(buffer, "PNG")
    with LineWriter(path) as writer:
        for number, text in enumerate(texts):
            writer.add(StoredLine(buffer.getvalue(), text, f"{number}.png"), width, height)
    return path


@pytest.fixture
def database(tmp_path):
    return write_lines(tmp_path / "train.lmdb", ["Đường Nguyễn Huệ"] * 30)


@pytest.fixture
def tiny_model(tmp_path):
    from vocr_cli.core.models.files import ModelFile, build_module, save_model
    from vocr_cli.core.text import Charset

    config, charset = parse_config(TINY, "test"), Charset(" abcdeĐđườngNuyễHệ")
    module = build_module(config.model, config.image, charset)
    path = tmp_path / "tiny.safetensors"
    save_model(path, ModelFile(module, config.model, config.image, charset))
    return path


@pytest.fixture
def quick(monkeypatch):
    for name in ("_TIMED_SECONDS", "_SIZED_SECONDS"):
        monkeypatch.setattr(f"vocr_cli.core.autoconf.time_steps.{name}", 0.01)
    monkeypatch.setattr("vocr_cli.core.autoconf.time_steps._FEWEST_ROUNDS", 1)
    monkeypatch.setattr("vocr_cli.core.autoconf.time_loader._RUN_SECONDS", 0.1)
    # Whatever else runs here, no trial is left out for want of time.
    limits = ("time_loader._LONGEST_STEP_MS", "time_loader._TOTAL_SECONDS")
    for name in (*limits, "time_steps._SIZING_SECONDS", "time_steps._TOTAL_SECONDS"):
        monkeypatch.setattr(f"vocr_cli.core.autoconf.{name}", 60_000)
    small = {"ctc": (20_000, 40_000), "autoregressive": (5_000, 10_000)}
    monkeypatch.setattr("vocr_cli.core.autoconf.candidates._CPU_PIXELS", small)


def invoke(*arguments: object):
    return runner.invoke(app, ["autoconf", *map(str, arguments)])


def test_autoconf_prints_a_config_and_nothing_else_on_stdout(database, tmp_path):
    result = invoke("--data", database, "--no-probe", "--device", "cpu")
    assert result.exit_code == 0, result.output
    file = tmp_path / "config.yaml"
    file.write_text(result.stdout, encoding="utf-8")
    config = load_config(file)
    assert [source.lmdb for source in config.data.train] == [database]
    assert parse_config(yaml.safe_load(result.stdout), "stdout") == config
    assert re.search(r"^  pixels: \d+  # not timed", result.stdout, re.M)


def test_autoconf_finds_the_lines_that_build_lmdb_held_back(database, tmp_path):
    held_back = write_lines(tmp_path / "train.lmdb-valid", ["Huế", "Cần Thơ"])
    out = tmp_path / "new" / "config.yaml"
    result = invoke("--data", database, "--no-probe", "--device", "cpu", "--out", out)
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert load_config(out).data.valid == (held_back,)
    assert "2 lines that build-lmdb held back" in out.read_text(encoding="utf-8")
    assert f"vocr train {out}" in result.stderr


def test_autoconf_says_that_there_is_nothing_to_validate_on(database):
    result = invoke("--data", database, "--no-probe", "--device", "cpu")
    assert "--valid-share" in result.stderr


def test_autoconf_does_not_overwrite_an_edited_config(tmp_path):
    out = tmp_path / "config.yaml"
    out.write_text("mine")
    result = invoke("--no-probe", "--out", out)
    assert isinstance(result.exception, ConfigError)
    assert out.read_text() == "mine"


def test_autoconf_without_data_plans_for_rendered_lines(tmp_path):
    out = tmp_path / "config.yaml"
    result = invoke("--no-probe", "--device", "cpu", "--out", out)
    assert result.exit_code == 0, result.output
    (source,) = load_config(out).data.train
    assert source.synth is not None


@pytest.mark.slow
def test_autoconf_takes_over_what_a_model_file_fixes(tiny_model, database, quick, tmp_path):
    out = tmp_path / "config.yaml"
    result = invoke("--model", tiny_model, "--data", database, "--device", "cpu", "--out", out)
    assert result.exit_code == 0, result.output
    config = load_config(out)
    assert config.image.height_px == 32
    assert config.model.hidden == 16
    assert config.charset.characters == " abcdeĐđườngNuyễHệ"
    told = " ".join(result.stderr.split())
    assert "from random weights" in told
    assert f"vocr autoconf --data {database} --init {tiny_model}" in told
    assert "Next: vocr train" in told and "--init" not in told.partition("Next: ")[2]
    assert "measured: " in out.read_text(encoding="utf-8")
    assert re.search(r"20,000 .* off ", result.stderr), "the table of timed steps is missing"
    assert "lines/s of whole runs by workers" in out.read_text(encoding="utf-8")


@pytest.fixture
def fine_tuning(tiny_model, database, tmp_path):
    """Writes a plan to fine-tune the tiny model on the database; the config and its text."""
    write_lines(tmp_path / "train.lmdb-valid", ["Đường Huế"])

    def planned(*arguments: object):
        out = tmp_path / "fine.yaml"
        result = invoke(
            "--data", database, "--init", tiny_model, "--no-probe", "--device", "cpu", "-o", out, *arguments
        )
        assert result.exit_code == 0, result.output
        assert f"vocr train {out} --init {tiny_model}" in result.stderr
        return load_config(out), out.read_text(encoding="utf-8")

    return planned


def test_a_fine_tuning_plan_is_for_the_weights_it_starts_from(fine_tuning):
    config, _ = fine_tuning()
    start = parse_config(TINY, "test")
    assert config.model == start.model.model_copy(update={"dropout": 0.1})
    assert config.image == replace(start.image, stretch=config.image.stretch)
    assert config.charset.characters == " abcdeĐđườngNuyễHệ"
    assert config.charset.unknown == "extend"
    assert (config.optim.name, config.optim.lr, config.batch.pixels) == ("muon", 4e-3, 400_000)


def test_a_rate_for_handwriting_is_neither_planned_nor_kept_quiet_about_for_print(tmp_path):
    """vi-small reads the example lines: trained at Muon's 4e-3 it would read such lines worse."""
    lines, out = tmp_path / "print.lmdb", tmp_path / "fine.yaml"
    assert runner.invoke(app, ["build-lmdb", str(EXAMPLE_LINES / "labels.tsv"), str(lines)]).exit_code == 0
    result = invoke("--data", lines, "--init", "vi-small", "--no-probe", "--device", "cpu", "-o", out)
    assert result.exit_code == 0, result.output
    config = load_config(out)
    assert (config.optim.name, config.optim.lr) == ("muon", 1e-3)
    assert "the starting weights read" in out.read_text(encoding="utf-8")
    told = {}
    for rate in ("3e-4", "4e-3"):
        options = ["--set", f"optim.lr={rate}", "--set", "data.workers=0", "--set", "batch.pixels=20000"]
        run = ["train", out, "--init", "vi-small", "--out", tmp_path / rate, "--valid", lines, *options]
        result = runner.invoke(app, [*map(str, run), "--max-steps", "1", "--device", "cpu"])
        assert result.exit_code == 0, result.output
        told[rate] = " ".join(result.stderr.split())
    assert "have more to learn" in told["4e-3"] and "--set optim.lr=0.0003" in told["4e-3"]
    assert "have more to learn" not in told["3e-4"]


def test_every_value_in_which_a_fine_tuning_plan_differs_has_its_reason(fine_tuning):
    config, text = fine_tuning("--replay", "0.3", "--fonts", FONTS)
    defaults = parse_config({}, "test").model_dump(mode="json", by_alias=True)
    section, reasoned = "", set()
    for line in text.splitlines():
        if top := re.match(r"(\w+):( +# )?", line):
            section = top[1]
            reasoned |= {section} if top[2] else set()
        elif key := re.match(r"  (\w+):.*  # ", line):
            reasoned.add(f"{section}.{key[1]}")
    for section, values in config.model_dump(mode="json", by_alias=True).items():
        for key, value in values.items():
            if value != defaults[section].get(key):
                assert {section, f"{section}.{key}"} & reasoned, (section, key)
    assert {"model", "model.dropout", "image.stretch", "optim.lr", "schedule.warmup_steps"} <= reasoned


def test_lines_are_stretched_until_their_labels_have_twice_the_columns_they_need(fine_tuning):
    config, _ = fine_tuning()  # 16 characters, and 200 × 40 px, which are 160 px and 40 columns at height 32
    assert config.image.stretch == 1.0
    crowded = write_lines(config.data.train[0].lmdb.parent / "crowded.lmdb", ["Đường Nguyễn Huệ"], width=100)
    narrow = invoke("--data", crowded, "--init", "vi-small", "--no-probe", "--device", "cpu")
    assert yaml.safe_load(narrow.stdout)["image"]["stretch"] == round(2 * 16 / 25, 1)


def test_replay_adds_rendered_lines_at_its_share(fine_tuning, database):
    config, text = fine_tuning("--replay", "0.3", "--fonts", FONTS)
    stored, rendered = config.data.train
    assert (stored.lmdb, stored.weight) == (database, 0.7)
    assert (rendered.synth.fonts, rendered.weight) == ((FONTS,), 0.3)
    assert rendered.synth.seed != 0, "the lines that `vocr synth` renders for tests"
    assert "30% are rendered ones, so that print is not forgotten" in text


def test_a_fine_tuning_plan_trains_from_its_weights(fine_tuning, tiny_model, tmp_path):
    fine_tuning("--replay", "0.5", "--fonts", FONTS)
    out, run = tmp_path / "fine.yaml", tmp_path / "run"
    arguments = ["train", out, "--init", tiny_model, "--out", run, "--max-steps", 2, "--device", "cpu"]
    result = runner.invoke(app, [*map(str, arguments), "--set", "data.workers=0"])
    assert result.exit_code == 0, result.output
    assert f"Started from {tiny_model.stem}" in result.stderr
    assert (run / "checkpoints" / "best.safetensors").is_file()


@pytest.mark.slow
def test_replayed_lines_are_rendered_while_workers_are_tried(
    database, tiny_model, quick, tmp_path, monkeypatch
):
    from vocr_cli.core.autoconf import time_loader

    timed_sources = []
    measure = time_loader.measure_run

    def watched(config, *arguments):
        timed_sources.append(config.data.train)
        return measure(config, *arguments)

    monkeypatch.setattr(time_loader, "measure_run", watched)
    out = tmp_path / "fine.yaml"
    result = invoke(
        "--data", database, "--init", tiny_model, "--replay", "0.5", "--fonts", FONTS, "--device", "cpu",
        "--out", out,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert timed_sources
    for stored, rendered in timed_sources:
        assert stored.weight == rendered.weight == 0.5 and rendered.synth.fonts == (FONTS,)


def test_a_plan_for_long_lines_widens_the_model_and_trains_from_its_weights(tiny_model, tmp_path):
    long = write_lines(tmp_path / "long.lmdb", ["Đường Nguyễn Huệ"] * 30, width=1200)
    out = tmp_path / "long.yaml"
    result = invoke("--data", long, "--init", tiny_model, "--no-probe", "--device", "cpu", "--out", out)
    assert result.exit_code == 0, result.output
    assert load_config(out).image.max_width_px > 640 and "squeezed" not in result.stderr
    run = tmp_path / "run"
    arguments = ["train", out, "--init", tiny_model, "--out", run, "--max-steps", 1, "--device", "cpu"]
    result = runner.invoke(app, [*map(str, arguments)])
    assert result.exit_code == 0, (result.output, result.exception)


@pytest.mark.slow
def test_a_config_with_schedule_plateau_is_planned_and_timed(database, quick, tmp_path):
    valid = write_lines(tmp_path / "valid.lmdb", ["Đường Nguyễn Huệ"] * 3)
    tree = {**TINY, "schedule": {"name": "plateau"}, "data": {"valid": [str(valid)]}}
    (tmp_path / "plateau.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    result = invoke("--data", database, "--model", tmp_path / "plateau.yaml", "--device", "cpu")
    assert result.exit_code == 0, (result.output, result.exception)
    assert parse_config(yaml.safe_load(result.stdout), "stdout").schedule.name == "plateau"


@pytest.mark.slow
def test_vietocrs_weights_are_fine_tuned_with_adamw(database, tmp_path):
    from tiny_vietocr import make_model

    from vocr_cli.core.models.files import save_model

    model, out = tmp_path / "tiny.safetensors", tmp_path / "config.yaml"
    file = make_model("transformer")
    save_model(model, file)
    result = invoke("--data", database, "--init", model, "--no-probe", "--device", "cpu", "--out", out)
    assert result.exit_code == 0, result.output
    config = load_config(out)
    assert (config.model, config.image, config.optim.name) == (file.config, file.image, "adamw")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--init", "vi-small", "--model", "ctc"], "--model"),
        (["--replay", "0.3"], "--init"),
        (["--init", "vi-small", "--replay", "0.3"], "--data"),
        (["--data", "lines.lmdb", "--fonts", "fonts"], "--replay"),
        (["--init", "vi-small", "--replay", "1"], "--replay"),
    ],
)
def test_options_that_contradict_each_other_are_refused(arguments, named):
    result = invoke("--no-probe", *arguments)
    assert result.exit_code == 2
    assert named in result.stderr


def test_replay_without_a_usable_font_is_refused_with_a_remedy(database, tmp_path):
    (tmp_path / "fonts").mkdir()
    arguments = ("--data", database, "--init", "vi-small", "--replay", "0.3", "--no-probe")
    result = invoke(*arguments, "--fonts", tmp_path / "fonts")
    assert isinstance(result.exception, FontError)
    assert "--fonts" in result.exception.fix


@pytest.mark.parametrize("init", ["nothing", "vgg_transformer", "run.yaml"])
def test_only_weights_can_be_started_from(init):
    result = invoke("--no-probe", "--init", init)
    assert isinstance(result.exception, ModelError)
    assert "embedded model" in result.exception.fix


def test_autoconf_reports_characters_that_the_charset_lacks(tmp_path, database):
    odd = write_lines(tmp_path / "odd.lmdb", ["Straße", "ß"])
    out = tmp_path / "config.yaml"
    result = invoke("--data", database, "--data", odd, "--no-probe", "--device", "cpu", "--out", out)
    assert result.exit_code == 0, result.output
    assert load_config(out).charset.unknown == "extend"
    assert "U+00DF" in result.stderr
    assert "line 0" in result.stderr


def test_autoconf_refuses_what_is_not_there_with_a_remedy(tmp_path):
    missing = invoke("--data", tmp_path / "none.lmdb", "--no-probe")
    assert isinstance(missing.exception, DataError)
    foreign = invoke("--model", "resnet", "--no-probe")
    assert isinstance(foreign.exception, ModelError)


def test_autoconf_names_a_missing_gpu(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    result = invoke("--device", "cuda", "--no-probe")
    assert isinstance(result.exception, ConfigError)
    assert "--device cpu" in result.exception.fix


@pytest.mark.parametrize("limit", ["0.5", "500MB", "0.47GiB"])
def test_a_memory_limit_is_kept_to(database, tmp_path, limit):
    out = tmp_path / "config.yaml"
    result = invoke("--no-probe", "--device", "cpu", "--memory-limit", limit, "--out", out)
    assert result.exit_code == 0, result.output
    assert load_config(out).batch.pixels < 400_000


def test_a_memory_limit_that_is_no_size_or_too_small_is_refused():
    assert isinstance(invoke("--no-probe", "--memory-limit", "much").exception, ConfigError)
    small = invoke("--no-probe", "--device", "cpu", "--memory-limit", "50MB")
    assert isinstance(small.exception, ConfigError)
    assert "--memory-limit" in small.exception.fix


@pytest.mark.parametrize("name", ["vgg_transformer", "vgg_seq2seq", "vgg_convseq2seq", "resnet_transformer"])
def test_vietocrs_models_are_planned_for_by_name(database, tmp_path, name):
    out = tmp_path / "config.yaml"
    result = invoke("--data", database, "--model", name, "--no-probe", "--device", "cpu", "--out", out)
    assert result.exit_code == 0, result.output
    config = load_config(out)
    assert config.model.family == "vietocr"
    assert config.model.sequence == name.partition("_")[2]
    assert config.schedule.name == "onecycle"
    assert "--init" not in result.stderr


def test_ctc_comes_in_two_sizes():
    small, large = (
        yaml.safe_load(invoke("--model", name, "--no-probe", "--device", "cpu").stdout)
        for name in ("ctc", "ctc-large")
    )
    assert small["model"]["hidden"] < large["model"]["hidden"]


@pytest.mark.slow
@pytest.mark.parametrize("sequence", ["transformer", "seq2seq"])
def test_steps_of_vietocrs_models_are_those_of_their_training(database, quick, tmp_path, sequence):
    from tiny_vietocr import make_model

    from vocr_cli.core.models.files import save_model

    model, out = tmp_path / "tiny.safetensors", tmp_path / "config.yaml"
    save_model(model, make_model(sequence))
    result = invoke("--data", database, "--model", model, "--device", "cpu", "--out", out)
    assert result.exit_code == 0, result.output
    assert load_config(out).model.sequence == sequence
    assert re.search(r"pixels: \d+  # measured: ", out.read_text(encoding="utf-8"))


def test_a_timed_step_is_as_large_as_it_says(quick):
    from vocr_cli.core.autoconf.candidates import StepShape, with_step_settings
    from vocr_cli.core.autoconf.facts import Recompute, StepSettings
    from vocr_cli.core.autoconf.time_steps import probe_step

    settings = StepSettings(50_000, "off", recompute=Recompute.ALL)
    config = with_step_settings(parse_config(TINY, "test"), settings, max_lines=12)
    result = probe_step(config, "cpu", settings, [StepShape(80, 0), StepShape(160, 0)])
    assert not result.failure
    assert result.lines == (12 + 50_000 // (160 * 32)) // 2
    assert result.most_pixels == 50_000 // (160 * 32) * 160 * 32
    assert result.pixels_per_second == pytest.approx(50_000_000 / result.step_ms)


@pytest.mark.slow
def test_memory_grows_with_the_step(quick):
    from vocr_cli.core.autoconf.candidates import StepShape, with_step_settings
    from vocr_cli.core.autoconf.facts import StepSettings
    from vocr_cli.core.autoconf.time_steps import probe_step
    from vocr_cli.core.machine.memory import resident_bytes

    if not resident_bytes():
        pytest.skip("this system does not tell what a process holds")
    peaks = []
    for pixels in (50_000, 1_000_000):
        settings = StepSettings(pixels, "off")
        config = with_step_settings(parse_config(TINY, "test"), settings, max_lines=1_000)
        peaks.append(probe_step(config, "cpu", settings, [StepShape(160, 0)]).peak_bytes)
    assert peaks[1] > peaks[0] + 1_000_000 * 4


def test_probing_leaves_torchs_threads_as_they_were(quick):
    import torch

    from vocr_cli.core.autoconf.time_steps import probe_steps
    from vocr_cli.core.machine.hardware import read_hardware

    before = torch.get_num_threads()
    seen = []
    config = parse_config(TINY, "test")
    for probe in probe_steps(config, read_hardware(), "cpu", None, threads=1):
        seen.append((probe.typical, torch.get_num_threads()))
    assert torch.get_num_threads() == before
    assert {threads for _, threads in seen} == {1}
    assert {typical for typical, _ in seen} == {False, True}


def test_the_sample_for_timed_runs_holds_no_line_that_would_stop_them(tmp_path):
    from vocr_cli.core.autoconf.read_data import draw_sample, read_data
    from vocr_cli.core.data.lmdb.store import LineStore

    config = parse_config(TINY, "test")
    mixed = write_lines(tmp_path / "mixed.lmdb", ["Huế", "Straße", "Cần Thơ", "ß"])
    facts = read_data([mixed], config)
    with LineStore(draw_sample(facts, config, tmp_path / "sample", 100)) as store:
        assert [line.text for line in store] == ["Huế", "Cần Thơ"]
    foreign = write_lines(tmp_path / "foreign.lmdb", ["ß"])
    assert draw_sample(read_data([foreign], config), config, tmp_path / "none", 100) is None
