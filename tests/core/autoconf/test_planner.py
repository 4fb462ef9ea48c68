"""From facts to a config: what must never be planned, and why each value is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from vocr_cli.core.autoconf import planner
from vocr_cli.core.autoconf.candidates import amp_choices, candidates, memory_models, pixel_choices
from vocr_cli.core.autoconf.draft import annotated_yaml
from vocr_cli.core.autoconf.facts import (
    DataFacts,
    LoaderTiming,
    ProbeResult,
    Recompute,
    StepSettings,
    line_shapes,
    memory_limit,
)
from vocr_cli.core.autoconf.fine_tuning import FineTuning
from vocr_cli.core.config.tree import load_config, parse_config
from vocr_cli.core.errors import ConfigError
from vocr_cli.core.machine.hardware import Gpu, Hardware
from vocr_cli.core.text import UnknownCharacter

GB = 1_000_000_000
CPU_PIXELS = (100_000, 200_000, 400_000)
DEFAULTS = parse_config({}, "test")


def make_plan(hardware, device, data, *, base=None, size="auto", probes=(), timings=(), limit_bytes=None):
    return planner.plan(
        hardware, device, data, base=base, size=size, measured=planner.Measured(probes, timings, limit_bytes)
    )


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


def timed(pixels, amp, speed, peak=GB, recompute=Recompute.OFF, typical=True) -> ProbeResult:
    return ProbeResult(
        StepSettings(pixels, amp, recompute), pixels // 16_000, 1_000 * pixels / speed, speed, peak,
        pixels, typical=typical,
    )  # fmt: skip


def sized(amp="off", each=2_000, fixed=GB // 5, recompute=Recompute.OFF, speed=1e6) -> list[ProbeResult]:
    """Two small steps whose memory grows by `each` bytes a pixel."""
    return [
        timed(pixels, amp, speed, fixed + each * pixels, recompute, typical=False)
        for pixels in (100_000, 400_000)
    ]


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
    plan = make_plan(machine(cores, available=available, shared=shared), "cpu", data, probes=probes)
    file = tmp_path_factory.mktemp("plan") / "config.yaml"
    file.write_text(annotated_yaml(plan, ["heading"]), encoding="utf-8")
    assert load_config(file) == plan.config


def test_every_chosen_value_has_its_reason_on_its_line():
    data = lines(valid=((Path("train.lmdb-valid"), 100),))
    plan = make_plan(machine(), "cpu", data, probes=[timed(100_000, "off", 1e6)])
    shown = annotated_yaml(plan).splitlines()
    for key, reason in plan.reasons.items():
        section, _, name = key.partition(".")
        start = f"  {name}:" if name else f"{section}:"
        assert [line for line in shown if line.startswith(start) and line.endswith(f"# {reason}")], key
    for key in ("batch.pixels", "precision.amp", "data.workers", "train.max_steps", "validate.time_share"):
        assert key in plan.reasons


def test_a_value_that_differs_from_the_defaults_never_lacks_a_reason():
    base = parse_config({}, "test").model_dump(mode="json", by_alias=True)
    plan = make_plan(machine(64, gpus=[gpu()]), "cuda", lines(50_000, 700.0, valid=((Path("v"), 900),)))
    chosen = plan.config.model_dump(mode="json", by_alias=True)
    changed = {f"{s}.{k}" for s, part in chosen.items() for k, value in part.items() if value != base[s][k]}
    changed = {"model" if key.startswith("model.") else key for key in changed}
    assert changed <= set(plan.reasons)


def test_the_smallest_step_near_the_fastest_is_taken():
    probes = [timed(100_000, "off", 0.7e6), timed(200_000, "off", 0.98e6), timed(400_000, "off", 1e6)]
    assert make_plan(machine(), "cpu", None, probes=probes).config.batch.pixels == 200_000


def test_half_precision_is_taken_only_where_it_is_faster():
    slow = [timed(100_000, "bf16", 1e6), timed(100_000, "off", 2e6)]
    fast = [timed(100_000, "bf16", 3e6), timed(100_000, "off", 2e6)]
    assert make_plan(machine(), "cpu", None, probes=slow).config.precision.amp == "off"
    plan = make_plan(machine(), "cpu", None, probes=fast)
    assert plan.config.precision.amp == "bf16"
    assert str(plan.reasons["precision.amp"]) == "measured: 1.5 × the speed of fp32"


def test_a_format_that_measured_slower_says_why_it_was_chosen():
    large = [timed(100_000, "bf16", 0.9e6, GB), timed(100_000, "off", 1e6, 3 * GB)]
    plan = make_plan(machine(), "cpu", None, probes=large, limit_bytes=2 * GB)
    assert plan.config.precision.amp == "bf16"
    assert str(plan.reasons["precision.amp"]) == (
        "measured: 0.90 × the speed of fp32, whose steps of this size take more memory than allowed"
    )
    sizes = [timed(100_000, "bf16", 0.9e6), timed(100_000, "off", 1e6), timed(400_000, "bf16", 2e6)]
    plan = make_plan(machine(), "cpu", None, probes=sizes)
    assert plan.config.batch.pixels == 400_000
    assert str(plan.reasons["precision.amp"]) == (
        "measured at 100,000 px a step: 0.90 × the speed of fp32, "
        "whose steps of the size chosen could not be timed"
    )


def test_a_step_beyond_the_memory_limit_is_not_taken_though_it_is_the_fastest():
    probes = [timed(100_000, "off", 1e6, GB), timed(400_000, "off", 9e6, 3 * GB)]
    plan = make_plan(machine(), "cpu", None, probes=probes, limit_bytes=2 * GB)
    assert plan.config.batch.pixels == 100_000


def test_where_no_timed_step_fits_a_smaller_one_is_planned_and_said():
    plan = make_plan(machine(), "cpu", None, probes=[*sized(each=5_000), timed(400_000, "off", 1e6, 2 * GB)],
                limit_bytes=GB)  # fmt: skip
    assert 0 < plan.config.batch.pixels < 400_000
    assert str(plan.reasons["batch.pixels"]).startswith("the largest within 1.00 GB")


def test_a_limit_that_no_line_fits_is_refused_with_what_would_do():
    with pytest.raises(ConfigError, match="allowed") as caught:
        make_plan(machine(), "cpu", None, probes=sized(), limit_bytes=GB // 10)
    assert "--memory-limit" in caught.value.fix
    with pytest.raises(ConfigError, match="about"):
        make_plan(machine(), "cpu", None, limit_bytes=GB // 10)


def test_a_machine_short_of_memory_is_planned_for_with_a_warning():
    plan = make_plan(machine(available=GB // 10), "cpu", None, probes=sized())
    assert any("Free some memory" in str(note) for note in plan.notes)


@given(
    limit=st.integers(GB // 2, 20 * GB),
    each=st.floats(10, 20_000),
    saved=st.floats(0.1, 1),
    width=st.floats(40, 2_000),
    sequence=st.booleans(),
)
def test_a_step_is_never_planned_that_memory_is_expected_to_lack(limit, each, saved, width, sequence):
    base = parse_config({"model": {"family": "vietocr" if sequence else "ctc"}}, "test")
    data, device = lines(500, width), machine(available=40 * GB)
    shapes = line_shapes(data, base)
    probes = sized(each=each) + sized(each=each * saved, recompute=Recompute.ALL, speed=7e5)
    models = memory_models(probes)
    worth = candidates(probes, models, shapes, CPU_PIXELS, limit)
    for step in worth:
        model = models[step.amp, step.recompute]
        assert model.peak(*shapes.largest_step(step.pixels)) <= limit
        truth = GB // 5 + each * (saved if step.recompute else 1) * step.pixels
        probes.append(timed(step.pixels, step.amp, 1e6, int(truth), step.recompute))
    try:
        config = make_plan(device, "cpu", data, base=base, probes=probes, limit_bytes=limit).config
    except ConfigError:
        assert not worth
        return
    kind = (
        config.precision.amp,
        next(level for level in Recompute if level.setting == config.precision.recompute),
    )
    chosen = line_shapes(data, config)
    assert memory_models(probes)[kind].peak(*chosen.largest_step(config.batch.pixels)) <= limit


def test_recomputation_is_tried_only_where_plain_steps_do_not_fit():
    probes = sized(each=5_000) + sized(each=1_000, recompute=Recompute.ALL)
    shapes = line_shapes(None, parse_config({}, "test"))

    def tried(limit):
        return candidates(probes, memory_models(probes), shapes, CPU_PIXELS, limit)

    assert not any(step.recompute for step in tried(9 * GB))
    tight = tried(GB)
    assert any(step.recompute for step in tight)
    assert max(step.pixels for step in tight if not step.recompute) < max(
        step.pixels for step in tight if step.recompute
    )


def test_light_recomputation_comes_before_that_of_all_and_only_where_each_allows_larger_steps():
    def tried(light_saves: float) -> list[Recompute]:
        probes = sized(each=5_000) + sized(each=5_000 * light_saves, recompute=Recompute.LIGHT)
        probes += sized(each=1_000, recompute=Recompute.ALL)
        shapes = line_shapes(None, parse_config({}, "test"))
        worth = candidates(probes, memory_models(probes), shapes, CPU_PIXELS, GB)
        by_level = {step.recompute: step.pixels for step in reversed(worth)}
        assert list(sorted(by_level.values())) == [by_level[level] for level in sorted(by_level)]
        return [step.recompute for step in worth if step.recompute]

    assert tried(0.5) == [Recompute.LIGHT, Recompute.ALL]
    assert tried(0.95) == [Recompute.ALL]
    assert tried(0.15) == [Recompute.LIGHT]


def test_light_recomputation_is_written_down_by_its_name():
    probes = [*sized(), timed(100_000, "off", 1e6)]
    probes.append(timed(400_000, "off", 2e6, GB, recompute=Recompute.LIGHT))
    assert make_plan(machine(), "cpu", None, probes=probes).config.precision.recompute == ("light",)


def test_recomputation_that_allows_faster_steps_is_written_down():
    probes = [*sized(), timed(100_000, "off", 1e6), timed(400_000, "off", 2e6, GB, recompute=Recompute.ALL)]
    plan = make_plan(machine(), "cpu", None, probes=probes)
    assert plan.config.precision.recompute == ("all",)
    assert "recompute:  # without it" in annotated_yaml(plan)


def test_a_whole_run_that_held_more_than_its_steps_makes_the_plan_smaller():
    probes = [*sized(), timed(100_000, "off", 1e6), timed(400_000, "off", 2e6)]
    before = make_plan(machine(), "cpu", None, probes=probes, limit_bytes=2 * GB).config.batch.pixels
    timing = LoaderTiming(1, 50.0, 0.0, StepSettings(400_000, "off"), 2 * GB)
    after = make_plan(machine(), "cpu", None, probes=probes, timings=[timing], limit_bytes=2 * GB)
    assert (before, after.config.batch.pixels) == (400_000, 100_000)


@pytest.mark.parametrize(("rates", "workers"), [((100, 99, 50), 1), ((60, 100, 50), 2), ((90, 90, 100), 0)])
def test_the_fewest_workers_near_the_fastest_are_taken(rates, workers):
    step = StepSettings(100_000, "off")
    timings = [LoaderTiming(count, rate, 0.1, step) for count, rate in zip((1, 2, 0), rates, strict=True)]
    plan = make_plan(machine(), "cpu", lines(), probes=[timed(100_000, "off", 1e6)], timings=timings)
    assert plan.config.data.workers == workers


def test_a_large_model_is_planned_for_a_gpu_with_many_lines_alone():
    machines = machine(16, gpus=[gpu()])
    assert "ctc-large" in str(make_plan(machines, "cuda", lines(150_000)).reasons["model"])
    few = make_plan(machines, "cuda", lines(5_000))
    assert few.config.model == make_plan(machines, "cpu", lines(150_000)).config.model
    asked = make_plan(machines, "cpu", None, size="ctc-large")
    assert asked.config.model.hidden > few.config.model.hidden


def test_probes_that_all_failed_leave_a_plan_by_rule():
    failed = [ProbeResult(StepSettings(1_000_000, "bf16"), failure="out of memory")]
    plan = make_plan(machine(gpus=[gpu()]), "cuda", None, probes=failed)
    assert str(plan.reasons["batch.pixels"]).startswith("not timed")


def test_bf16_is_tried_only_where_the_hardware_has_it():
    assert amp_choices(machine(flags=["avx512_vnni"]), "cpu") == ("off",)
    assert amp_choices(machine(flags=["amx_bf16"]), "cpu") == ("bf16", "off")
    assert amp_choices(machine(gpus=[gpu()]), "cuda") == ("bf16", "off")
    assert amp_choices(machine(gpus=[gpu(False, (7, 5))]), "cuda") == ("fp16", "off")
    assert amp_choices(machine(gpus=[gpu(False, (6, 1))]), "cuda") == ("off",)


def test_a_small_set_gets_small_steps_on_a_gpu_too():
    assert max(pixel_choices("cuda", lines(2_000), DEFAULTS)) < 1_000_000
    assert max(pixel_choices("cuda", None, DEFAULTS)) >= 4_000_000
    assert pixel_choices("cpu", lines(1), DEFAULTS) == (100_000,)


def test_training_leaves_memory_for_the_rest():
    assert memory_limit(machine(available=10 * GB), "cpu") < 10 * GB
    assert memory_limit(machine(gpus=[gpu(free=20 * GB)]), "cuda") < 20 * GB


def test_docker_with_64_mb_of_shared_memory_does_not_starve_workers():
    """Batches reach the trainer through pipes: /dev/shm, of which Docker gives 64 MB, holds none of them."""
    data, step = lines(100_000), timed(4_000_000, "bf16", 40e6)
    machine_of_docker = machine(32, shared=64 << 20, gpus=[gpu()])
    assert make_plan(machine_of_docker, "cuda", data).config.data.workers == 16
    timings = [LoaderTiming(workers, rate, 0.1, step.settings) for workers, rate in ((4, 900), (8, 1_900))]
    plan = make_plan(machine_of_docker, "cuda", data, probes=[step], timings=timings)
    assert plan.config.data.workers == 8 and "measured" in str(plan.reasons["data.workers"])


def test_cores_are_shared_among_the_processes_of_several_cards():
    data = lines(100_000)
    plan = make_plan(machine(32, gpus=[gpu()] * 4), "cuda", data)
    assert plan.config.data.workers == 7 and "4 GPUs" in str(plan.reasons["data.workers"])
    assert make_plan(machine(2, gpus=[gpu()] * 4), "cuda", data).config.data.workers == 1


def test_the_card_with_least_memory_and_the_oldest_format_counts():
    cards = [gpu(free=70 * GB), gpu(free=20 * GB)]
    assert memory_limit(machine(gpus=cards), "cuda") < 20 * GB
    assert memory_limit(machine(gpus=[gpu(free=None), gpu(free=70 * GB)]), "cuda") < 70 * GB
    assert amp_choices(machine(gpus=[gpu(), gpu(False, (7, 5))]), "cuda") == ("fp16", "off")
    assert amp_choices(machine(gpus=[gpu(), gpu(False, (6, 1))]), "cuda") == ("off",)


@pytest.mark.parametrize(("scaled", "noted"), [(0, False), (900, False), (1_900, True)])
def test_lines_that_loading_must_scale_are_noted(scaled, noted):
    plan = make_plan(machine(), "cpu", lines(scaled_lines=scaled))
    assert any(f"{scaled:,} lines are scaled anew" in str(note) for note in plan.notes) == noted


def test_long_lines_are_not_squeezed_in_silence():
    plan = make_plan(machine(), "cpu", lines(width=3_000.0))
    assert plan.config.image.max_width_px >= 3_000
    plan = make_plan(machine(), "cpu", lines(10, width=9_000.0))
    assert plan.config.image.max_width_px < 9_000
    assert any("10 lines are squeezed" in str(note) for note in plan.notes)


def test_image_settings_of_a_given_model_are_kept_so_that_its_weights_still_fit():
    base = parse_config({"image": {"height_px": 32, "max_width_px": 800}}, "test")
    plan = make_plan(machine(), "cpu", lines(width=3_000.0), base=base)
    assert plan.config.image == base.image


def test_labels_longer_than_their_columns_are_reported():
    plan = make_plan(machine(), "cpu", lines(7, width=100.0, length=26))
    assert any(str(note).startswith("7 lines are stretched") for note in plan.notes)
    roomy = make_plan(machine(), "cpu", lines(7, width=104.0, length=26, valid=()))
    assert not any("stretched" in str(note) for note in roomy.notes)


@pytest.mark.parametrize(("count", "policy"), [(0, "error"), (1, "skip-line"), (200, "extend")])
def test_characters_outside_the_charset_are_named_and_decided_on(count, policy):
    unknown = (UnknownCharacter("ß", count, "line 3"),) if count else ()
    plan = make_plan(machine(), "cpu", lines(2_000, unknown=unknown, unknown_lines=count))
    assert plan.config.charset.unknown == policy
    assert ("U+00DF" in str(plan.reasons["charset.unknown"])) == bool(count)


def test_lines_held_back_are_validated_on_and_their_lack_is_said():
    plan = make_plan(machine(), "cpu", lines(valid=((Path("train.lmdb-valid"), 100),)))
    assert plan.config.data.valid == (Path("train.lmdb-valid"),)
    plan = make_plan(machine(), "cpu", lines())
    assert any("--valid-share" in str(note) for note in plan.notes)


def test_lines_of_several_databases_come_equally_often():
    data = DataFacts(((Path("a"), 10), (Path("b"), 990)), np.full(1_000, 400.0), np.full(1_000, 30))
    weights = [source.weight for source in make_plan(machine(), "cpu", data).config.data.train]
    assert weights[1] / weights[0] == 99


@pytest.mark.parametrize("count", [50, 2_000, 100_000, 1_000_000])
def test_a_run_sees_enough_lines(count):
    config = make_plan(
        machine(), "cpu", lines(count, valid=((Path("v"), 100),)), probes=[timed(100_000, "off", 1e6)]
    ).config
    step_lines = 100_000 // 16_000
    assert config.train.max_steps * step_lines >= 5 * count
    assert config.schedule.warmup_steps < config.train.max_steps / 10


def test_validation_takes_a_share_of_the_time_whatever_the_given_config_had():
    base = parse_config({"validate": {"every_steps": 7}}, "test")
    config = make_plan(machine(), "cpu", lines(), base=base).config
    assert (config.validate_.every_steps, config.validate_.time_share) == (None, 0.05)


def test_reasons_cannot_break_the_yaml():
    plan = make_plan(machine(), "cpu", None)
    plan.reasons["optim.lr"] = "one\nmodel: {}\n# two"
    tree = yaml.safe_load(annotated_yaml(plan))
    assert parse_config(tree, "test") == plan.config


def test_new_models_get_muon_and_given_ones_adamw_each_at_its_own_rate():
    new = make_plan(machine(), "cpu", lines()).config.optim
    bases = (parse_config({"model": {"family": family}}, "test") for family in ("ctc", "vietocr"))
    ctc, vietocr = (make_plan(machine(), "cpu", lines(), base=base).config.optim for base in bases)
    assert (new.name, ctc.name, vietocr.name) == ("muon", "adamw", "adamw")
    assert new.lr > 2e-3 > ctc.lr > vietocr.lr


def fine_tuned(hardware, device, data, replay=0.0):
    fine_tuning = FineTuning("vi-small", replay)
    return planner.plan(hardware, device, data, base=DEFAULTS, fine_tuning=fine_tuning)


def test_replay_keeps_databases_in_proportion_and_its_own_fraction_of_all_lines():
    data = DataFacts(((Path("a"), 10), (Path("b"), 990)), np.full(1_000, 400.0), np.full(1_000, 30))
    config = fine_tuned(machine(), "cpu", data, replay=0.3).config
    first, second, rendered = (source.weight for source in config.data.train)
    assert second / first == pytest.approx(99)
    assert rendered / (first + second + rendered) == pytest.approx(0.3)
    alone = fine_tuned(machine(), "cpu", data).config
    assert config.train.max_steps > alone.train.max_steps, "stored lines come as often as without replay"


def test_fine_tuning_steps_are_those_it_was_measured_with_where_they_fit():
    plan = fine_tuned(machine(), "cpu", lines(100))
    assert (plan.config.batch.pixels, plan.config.optim.lr) == (400_000, 4e-3)
    assert "as fine-tuning was measured" in str(plan.reasons["batch.pixels"])
    tight = fine_tuned(machine(available=int(0.7 * GB)), "cpu", lines(100))
    assert tight.config.batch.pixels < 400_000 and tight.config.optim.lr < 4e-3
    on_gpu = fine_tuned(machine(gpus=[gpu()]), "cuda", lines(50_000))
    assert on_gpu.config.batch.pixels > 400_000 and on_gpu.config.optim.lr > 4e-3


def test_stretching_for_fine_tuning_counts_in_widths():
    plan = fine_tuned(machine(), "cpu", lines(width=300.0, column_demand=0.8))
    assert (plan.config.image.stretch, plan.config.batch.bucket_px) == (1.6, 48)
    long = fine_tuned(machine(), "cpu", lines(width=1_600.0, column_demand=0.8))
    assert long.config.image.max_width_px >= 2_560 and not any("squeezed" in str(note) for note in long.notes)


def test_weights_that_read_the_lines_well_are_given_a_gentle_rate():
    """Print got worse at the rate that teaches handwriting fast."""
    rates = {}
    for cer in (0.02, 0.1, 0.5, None):
        fine_tuning = FineTuning("vi-small", start_cer=cer)
        plan = planner.plan(machine(), "cpu", lines(100), base=DEFAULTS, fine_tuning=fine_tuning)
        rates[cer] = plan.config.optim.lr
        assert ("starting weights read" in str(plan.reasons["optim.lr"])) == (cer is not None)
    assert rates[0.02] < rates[0.1] < rates[0.5] == rates[None] == 4e-3
