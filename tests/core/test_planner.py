"""From facts to a config: what must never be planned, and why each value is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from vocr_cli.core.config import load_config, parse_config
from vocr_cli.core.hardware import Gpu, Hardware
from vocr_cli.core.planner import annotated_yaml, plan
from vocr_cli.core.text import UnknownCharacter
from vocr_cli.core.trials import CPU_PIXELS, DataFacts, ProbeResult, amp_choices, memory_limit, pixel_choices

GB = 1_000_000_000


def machine(cores=2, flags=(), available=16 * GB, shared=8 * GB, gpus=()) -> Hardware:
    return Hardware(
        "a CPU",
        cores,
        frozenset(flags),
        2 * available,
        available,
        100 * GB,
        shared,
        "2.13",
        cores,
        tuple(gpus),
    )


def gpu(bf16=True, capability=(9, 0), free=70 * GB) -> Gpu:
    return Gpu("a GPU", 80 * GB, free, capability, bf16)


def lines(count=2_000, width=400.0, length=30, **more) -> DataFacts:
    return DataFacts(((Path("train.lmdb"), count),), np.full(count, width), np.full(count, length), **more)


def timed(pixels, amp, speed, peak=GB) -> ProbeResult:
    return ProbeResult(pixels, amp, pixels // 16_000, 1_000 * pixels / speed, speed, peak)


facts = st.builds(lines, count=st.integers(1, 3_000), width=st.floats(1, 20_000), length=st.integers(1, 300))
probe_lists = st.lists(
    st.builds(
        timed,
        st.sampled_from(CPU_PIXELS),
        st.sampled_from(["bf16", "off"]),
        st.floats(1e3, 1e9),
        st.integers(1, 100 * GB),
    ),
    max_size=4,
)


@settings(deadline=None)
@given(
    data=st.none() | facts,
    cores=st.integers(1, 256),
    shared=st.none() | st.integers(0, GB),
    available=st.integers(0, 64 * GB),
    probes=probe_lists,
    # YAML folds line breaks of every kind, NEL among them: no file is named so.
    path=st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=10),
)
def test_whatever_the_facts_the_plan_is_a_config_that_reads_back(
    tmp_path_factory, data, cores, shared, available, probes, path
):
    if data is not None:
        data = DataFacts(((Path(path), len(data.widths_px)),), data.widths_px, data.label_lengths)
    made = plan(machine(cores, available=available, shared=shared), "cpu", data, probes=probes)
    file = tmp_path_factory.mktemp("plan") / "config.yaml"
    file.write_text(annotated_yaml(made, ["heading"]), encoding="utf-8")
    assert load_config(file) == made.config


def test_every_chosen_value_has_its_reason_on_its_line():
    data = lines(valid=((Path("train.lmdb-valid"), 100),))
    made = plan(machine(), "cpu", data, probes=[timed(100_000, "off", 1e6)])
    shown = annotated_yaml(made).splitlines()
    for key, reason in made.reasons.items():
        name = key.split(".")[1]
        assert [line for line in shown if line.startswith(f"  {name}:") and line.endswith(f"# {reason}")], key
    for key in ("batch.pixels", "precision.amp", "data.workers", "train.max_steps", "validate.every_steps"):
        assert key in made.reasons


def test_a_value_that_differs_from_the_defaults_never_lacks_a_reason():
    base = parse_config({}, "test").model_dump(mode="json", by_alias=True)
    made = plan(machine(64, gpus=[gpu()]), "cuda", lines(50_000, 700.0, valid=((Path("v"), 900),)))
    chosen = made.config.model_dump(mode="json", by_alias=True)
    changed = {f"{s}.{k}" for s, part in chosen.items() for k, value in part.items() if value != base[s][k]}
    assert changed <= set(made.reasons)


def test_the_smallest_step_near_the_fastest_is_taken():
    probes = [timed(100_000, "off", 0.7e6), timed(200_000, "off", 0.95e6), timed(400_000, "off", 1e6)]
    assert plan(machine(), "cpu", None, probes=probes).config.batch.pixels == 200_000


def test_half_precision_is_taken_only_where_it_is_faster():
    slow = [timed(100_000, "bf16", 1e6), timed(100_000, "off", 2e6)]
    fast = [timed(100_000, "bf16", 3e6), timed(100_000, "off", 2e6)]
    assert plan(machine(), "cpu", None, probes=slow).config.precision.amp == "off"
    made = plan(machine(), "cpu", None, probes=fast)
    assert made.config.precision.amp == "bf16"
    assert made.reasons["precision.amp"] == "measured: 1.5 × the speed of fp32"


def test_a_step_beyond_the_memory_limit_is_not_taken_though_it_is_the_fastest():
    probes = [timed(100_000, "off", 1e6, GB), timed(400_000, "off", 9e6, 3 * GB)]
    made = plan(machine(), "cpu", None, probes=probes, limit_bytes=2 * GB)
    assert made.config.batch.pixels == 100_000


def test_where_no_timed_step_fits_a_smaller_one_is_planned_and_said():
    made = plan(machine(), "cpu", None, probes=[timed(100_000, "off", 1e6, GB)], limit_bytes=GB // 2)
    assert made.config.batch.pixels == 45_000
    assert "1.00 GB, more than the 0.50 GB allowed" in made.reasons["batch.pixels"]


def test_probes_that_all_failed_leave_a_plan_by_rule():
    failed = [ProbeResult(1_000_000, "bf16", failure="out of memory")]
    made = plan(machine(gpus=[gpu()]), "cuda", None, probes=failed)
    assert made.reasons["batch.pixels"].startswith("not timed")


def test_bf16_is_tried_only_where_the_hardware_has_it():
    assert amp_choices(machine(flags=["avx512_vnni"]), "cpu") == ("off",)
    assert amp_choices(machine(flags=["amx_bf16"]), "cpu") == ("bf16", "off")
    assert amp_choices(machine(gpus=[gpu()]), "cuda") == ("bf16", "off")
    assert amp_choices(machine(gpus=[gpu(False, (7, 5))]), "cuda") == ("fp16", "off")
    assert amp_choices(machine(gpus=[gpu(False, (6, 1))]), "cuda") == ("off",)


def test_a_small_set_gets_small_steps_on_a_gpu_too():
    assert max(pixel_choices("cuda", lines(2_000), 40)) < 1_000_000
    assert max(pixel_choices("cuda", None, 40)) >= 4_000_000
    assert pixel_choices("cpu", lines(1), 40) == (100_000,)


def test_training_leaves_memory_for_the_rest():
    assert memory_limit(machine(available=10 * GB), "cpu") < 10 * GB
    assert memory_limit(machine(gpus=[gpu(free=20 * GB)]), "cuda") < 20 * GB


def test_docker_with_64_mb_of_shared_memory_does_not_starve_workers():
    data = lines(100_000)
    batches = plan(machine(32, shared=64 << 20, gpus=[gpu()]), "cuda", data).config
    assert 5 * batches.batch.pixels * batches.data.workers <= 64 << 20
    assert plan(machine(32, gpus=[gpu()]), "cuda", data).config.data.workers == 16


def test_long_lines_are_not_squeezed_in_silence():
    made = plan(machine(), "cpu", lines(width=3_000.0))
    assert made.config.image.max_width_px >= 3_000
    made = plan(machine(), "cpu", lines(10, width=9_000.0))
    assert made.config.image.max_width_px < 9_000
    assert any("10 lines are squeezed" in note for note in made.notes)


def test_image_settings_of_a_given_model_are_kept_so_that_its_weights_still_fit():
    base = parse_config({"image": {"height_px": 32, "max_width_px": 800}}, "test")
    made = plan(machine(), "cpu", lines(width=3_000.0), base=base)
    assert made.config.image == base.image


def test_labels_longer_than_their_columns_are_reported():
    made = plan(machine(), "cpu", lines(7, width=100.0, length=26))
    assert any(note.startswith("7 lines cannot be learned") for note in made.notes)
    assert not any(
        "learned" in note for note in plan(machine(), "cpu", lines(7, width=104.0, length=26, valid=())).notes
    )


@pytest.mark.parametrize(("found", "policy"), [(0, "error"), (1, "skip-line"), (200, "extend")])
def test_characters_outside_the_charset_are_named_and_decided_on(found, policy):
    unknown = (UnknownCharacter("ß", found, "line 3"),) if found else ()
    made = plan(machine(), "cpu", lines(2_000, unknown=unknown, unknown_lines=found))
    assert made.config.charset.unknown == policy
    assert ("U+00DF" in made.reasons["charset.unknown"]) == bool(found)


def test_lines_held_back_are_validated_on_and_their_lack_is_said():
    made = plan(machine(), "cpu", lines(valid=((Path("train.lmdb-valid"), 100),)))
    assert made.config.data.valid == (Path("train.lmdb-valid"),)
    made = plan(machine(), "cpu", lines())
    assert any("--valid-share" in note for note in made.notes)


def test_lines_of_several_databases_come_equally_often():
    data = DataFacts(((Path("a"), 10), (Path("b"), 990)), np.full(1_000, 400.0), np.full(1_000, 30))
    weights = [source.weight for source in plan(machine(), "cpu", data).config.data.train]
    assert weights[1] / weights[0] == 99


@pytest.mark.parametrize("count", [50, 2_000, 100_000, 1_000_000])
def test_a_run_sees_enough_lines_and_is_validated_about_twenty_times(count):
    config = plan(
        machine(), "cpu", lines(count, valid=((Path("v"), 100),)), probes=[timed(100_000, "off", 1e6)]
    ).config
    step_lines = 100_000 // 16_000
    assert config.train.max_steps * step_lines >= 5 * count
    assert 15 <= config.train.max_steps / config.validate_.every_steps <= 20.5
    assert config.schedule.warmup_steps < config.train.max_steps / 10


def test_validation_takes_no_more_than_a_tenth_of_the_time():
    data = lines(100, valid=((Path("v"), 2_000),))
    config = plan(machine(), "cpu", data, probes=[timed(100_000, "off", 1e6)]).config
    between = config.validate_.every_steps * (100_000 // 16_000)
    assert 2_000 / 3 <= between / 10 + 1


def test_reasons_cannot_break_the_yaml():
    made = plan(machine(), "cpu", None)
    made.reasons["optim.lr"] = "one\nmodel: {}\n# two"
    tree = yaml.safe_load(annotated_yaml(made))
    assert parse_config(tree, "test") == made.config
