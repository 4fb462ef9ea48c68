"""What vocr train tells and draws, and how it validates."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from dataclasses import replace
from functools import cache
from io import StringIO
from pathlib import Path
from typing import get_args

import pytest
import torch
import yaml
from conftest import line_image
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner, Result

from vocr_cli.app import app
from vocr_cli.core.config.tree import Config, DataConfig
from vocr_cli.core.errors import DataError, DependencyError
from vocr_cli.core.training.record import events
from vocr_cli.core.training.record.curves import read_curves
from vocr_cli.core.training.record.event_log import recorded
from vocr_cli.core.training.record.events import Event, Started, StepDone, Stopped, Validated
from vocr_cli.core.training.record.usage import UsageMeter
from vocr_cli.core.training.record.wait_advice import WaitAdvice
from vocr_cli.core.training.resume import eval_command
from vocr_cli.terminal import console
from vocr_cli.terminal.training import TrainingView

TINY = {"channels": [8, 8, 16], "blocks": [0, 0, 0], "hidden": 32, "column_blocks": 1, "dropout": 0.0}
runner = CliRunner()


def annotated(folder: Path, count: int, broken: tuple[int, ...] = ()) -> Path:
    """Lines of many widths; the broken ones end in the middle of their pixels."""
    folder.mkdir()
    rows = []
    for number in range(count):
        file = folder / f"{number}.png"
        line_image(number, width=60 + 17 * (number % 7)).save(file)
        if number in broken:
            file.write_bytes(file.read_bytes()[:-60])
        rows.append(f"{number}.png\tđường {number}\n")
    (folder / "labels.txt").write_text("".join(rows), encoding="utf-8")
    return folder / "labels.txt"


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return annotated(tmp_path_factory.mktemp("seeing") / "lines", 20)


def train(folder: Path, lines: Path, *more: str, valid: Path | None = None, **sections: object) -> Result:
    tree = {
        "model": TINY,
        "data": {"train": [{"annotations": str(lines)}], "valid": [str(valid or lines)], "workers": 0},
        "train": {"max_steps": 6, "log_every_steps": 2},
        "validate": {"every_steps": 2},
        "precision": {"amp": "off"},
        **sections,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    arguments = ["train", str(folder / "config.yaml"), "--out", str(folder / "run"), "--device", "cpu", *more]
    return runner.invoke(app, arguments)


def logged(folder: Path, name: str) -> list[dict]:
    text = (folder / "run" / "events.jsonl").read_text(encoding="utf-8")
    found = [json.loads(line, parse_constant=lambda word: pytest.fail(word)) for line in text.splitlines()]
    return [event for event in found if event["event"] == name]


def test_a_broken_validation_image_is_named_and_the_others_are_counted(tmp_path: Path, lines: Path) -> None:
    valid = annotated(tmp_path / "valid", 11, broken=(3, 8))
    result = train(tmp_path, lines, valid=valid)
    assert result.exit_code == 3, result.output
    assert "3.png" in result.output and "8.png" in result.output
    for event in logged(tmp_path, "Validated"):
        assert (event["lines"], event["unreadable"]) == (9, 2) and event["loss"] is not None


@pytest.mark.parametrize("pixels", [1_000, 400_000])
def test_every_line_counts_once_however_its_width_falls_into_batches(
    tmp_path: Path, lines: Path, pixels: int
) -> None:
    looks = {"every_steps": 1, "quick_lines": 7, "full_every": 2}
    result = train(tmp_path, lines, batch={"pixels": pixels}, validate=looks, train={"max_steps": 2})
    assert result.exit_code == 0, result.output
    assert [event["lines"] for event in logged(tmp_path, "Validated")] == [7, 20]


def test_a_set_of_broken_images_stops_the_run_before_it_begins(tmp_path: Path, lines: Path) -> None:
    result = train(tmp_path, lines, valid=annotated(tmp_path / "valid", 3, broken=(0, 1, 2)))
    assert isinstance(result.exception, DataError) and "3 validation lines" in result.exception.problem
    assert "--valid" in result.exception.fix and not (tmp_path / "run" / "checkpoints" / "last.pt").exists()


def test_images_that_vanish_while_training_leave_a_finite_result(tmp_path: Path, lines: Path) -> None:
    valid = annotated(tmp_path / "valid", 2)
    tree = {"train": {"max_steps": 1, "log_every_steps": 1}}
    assert train(tmp_path, lines, valid=valid, **tree).exit_code == 0
    from vocr_cli.core.config.tree import load_config
    from vocr_cli.core.training.loop import train as train_run
    from vocr_cli.core.training.run import build_run

    run = build_run(load_config(tmp_path / "config.yaml"), tmp_path / "other", device="cpu")
    told = []
    for event in train_run(run):
        if isinstance(event, Started):
            for file in valid.parent.glob("*.png"):
                file.unlink()
        told.append(event)
    (empty,) = (event for event in told if isinstance(event, Validated))
    assert (empty.lines, empty.unreadable, empty.cer, empty.best) == (0, 2, 1.0, False)
    assert run.checkpoints.best_path.exists() and isinstance(told[-1], Stopped)


def test_quick_looks_do_not_choose_the_model_and_the_last_look_is_full(tmp_path: Path, lines: Path) -> None:
    looks = {"every_steps": 1, "quick_lines": 5, "full_every": 3}
    assert train(tmp_path, lines, validate=looks, train={"max_steps": 5}).exit_code == 0
    seen = [(event["lines"], event["full"]) for event in logged(tmp_path, "Validated")]
    assert seen == [(5, False), (5, False), (20, True), (5, False), (5, False), (20, True)]
    assert not any(event["best"] for event in logged(tmp_path, "Validated") if not event["full"])


def test_without_a_rhythm_a_short_run_is_validated_once_at_its_end(tmp_path: Path, lines: Path) -> None:
    assert train(tmp_path, lines, validate={}).exit_code == 0
    assert [event["step"] for event in logged(tmp_path, "Validated")] == [6]


def test_patience_survives_a_resume(tmp_path: Path, lines: Path) -> None:
    looks = {"every_steps": 1, "patience": 4, "min_delta": 1000.0}
    assert train(tmp_path, lines, "--max-steps", "3", validate=looks).exit_code == 0
    result = train(tmp_path, lines, "--resume", validate=looks)
    assert "no better CER for 4" in result.output
    assert logged(tmp_path, "Stopped")[-1]["step"] == 5  # the first look sets the mark


def test_what_is_told_of_the_machine_makes_sense(tmp_path: Path, lines: Path) -> None:
    assert train(tmp_path, lines).exit_code == 0
    for event in logged(tmp_path, "StepDone"):
        assert 0 <= event["cpu_share"] <= 1 and 0 <= event["data_wait_share"] <= 1
        assert event["gpu_share"] is None and 20 < event["memory_mb"] < 100_000
        assert 0 <= event["clipped_share"] <= 1
    assert all(0 <= event["train_cer"] for event in logged(tmp_path, "Validated"))


def test_work_counts_as_cpu_use_and_waiting_does_not() -> None:
    import time

    meter = UsageMeter(torch.device("cpu"))
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    busy = meter.read().cpu_share
    time.sleep(0.1)
    idle = meter.read().cpu_share
    assert busy is not None and idle is not None and idle < busy


def test_the_curves_go_on_over_a_resume(tmp_path: Path, lines: Path) -> None:
    assert train(tmp_path, lines, "--max-steps", "4").exit_code == 0
    with Image.open(tmp_path / "run" / "curves.png") as first:
        before = first.copy()
    assert train(tmp_path, lines, "--resume").exit_code == 0
    curves = read_curves(tmp_path / "run" / "events.jsonl")
    assert [step for step, _ in curves["StepDone.loss"]] == [2, 4, 6]
    assert [step for step, _ in curves["Validated.cer"]] == [2, 4, 6]
    with Image.open(tmp_path / "run" / "curves.png") as after:
        assert after.size == before.size and after.tobytes() != before.tobytes()


def test_steps_done_twice_are_drawn_once(tmp_path: Path) -> None:
    rows = [{"event": "StepDone", "step": step, "lines": 1, "loss": 9.0} for step in (1, 2, 3)]
    rows += [{"event": "Started", "step": 1}, {"event": "StepDone", "step": 2, "lines": 2, "loss": 1.0}]
    text = "\n".join(map(json.dumps, rows)) + '\n{"event": "StepDo'
    (tmp_path / "events.jsonl").write_text(text, encoding="utf-8")
    assert read_curves(tmp_path / "events.jsonl")["StepDone.loss"] == [(1, 9.0), (2, 1.0)]


def test_a_line_cut_by_a_kill_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"event": "StepDone", "st', encoding="utf-8")
    list(recorded([Started(3, 1, "cpu", "float32", ()), Stopped(3, "đủ", False)], path))
    last = path.read_text(encoding="utf-8").splitlines()[-1]
    assert json.loads(last)["reason"] == "đủ"


def test_tensorboard_is_asked_for_before_anything_is_written(
    tmp_path: Path, lines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "tensorboard" else found(name, *more)
    )
    result = train(tmp_path, lines, "--set", "train.tensorboard=true")
    assert isinstance(result.exception, DependencyError) and "vocr-cli[tensorboard]" in result.exception.fix
    assert not (tmp_path / "run").exists()


def test_tensorboard_gets_scalars_and_readings(tmp_path: Path, lines: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert train(tmp_path, lines, "--set", "train.tensorboard=true").exit_code == 0
    log = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert {"train/loss", "train/lines_per_s", "validation/cer"} <= set(log.Tags()["scalars"])
    assert [entry.step for entry in log.Scalars("validation/cer")] == [2, 4, 6]
    assert "validation/readings/text_summary" in log.Tags()["tensors"]


def shown(told: list, terminal: bool, monkeypatch: pytest.MonkeyPatch, **options: object) -> str:
    """What a run of these events writes."""
    screen = Console(
        file=StringIO(),
        force_terminal=terminal,
        width=100,
        highlight=False,
        soft_wrap=True,
        color_system=None,
    )
    monkeypatch.setattr(console, "err", cache(lambda: screen))
    with TrainingView(100, WaitAdvice(workers=1, cores=8), **options) as view:  # type: ignore[arg-type]
        for event in told:
            view.show(event)
    return screen.file.getvalue()  # type: ignore[attr-defined]


STEP = StepDone(40, 1600, 0.5, 1e-3, 2.0, 210.0, 0.02, 1, 4500.0, 0.25, 0.97, None, 512.0, 0.4, 7.0, 0.4)
LOOK = Validated(40, 90, 0.4, 0.0321, 0.5, True, (("Đường [số] 5", "Đương [số] 5"),), seconds=1.5)


def test_the_table_shows_what_a_person_looks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown([Started(0, 1000, "cpu", "float32", ()), STEP, LOOK, STEP], True, monkeypatch)
    final = text[text.rindex("step 40 of 100") :]
    for part in ("0.5000", "3.21%", "210", "97%", "0.50 GB", "0.40", "1 h 15 min left", "25%", "90 lines"):
        assert part in final, part
    assert "Đường [số] 5" in final and "Đương [số] 5" in final


def test_off_a_terminal_each_event_is_a_plain_line(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown([STEP, LOOK, Stopped(40, "40 steps done", False)], False, monkeypatch)
    stamped = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")
    assert all(stamped.match(line) for line in text.splitlines() if line.startswith("2"))
    first, second = (stamped.sub("", line, count=1) for line in text.splitlines()[:2])
    assert first.startswith("step 40 | loss 0.5000 | rate 1.00e-03 | norm 2.00 | 210 lines/s | data wait 2%")
    assert second == "step 40 | CER 3.21% | lines right 50.0% | loss 0.4000 | 90 validation lines best"
    assert "\x1b" not in text


EVENTS = [
    Started(0, 1000, "cpu", "float32", ()),
    STEP,
    LOOK,
    events.Saved(40, Path("last.pt")),
    events.Skipped(7, "loss not finite", ("line 1",)),
    events.LeftOut(8, ("labels.txt, line 3: damaged",)),
    events.RolledBack(9, 5, 5e-4),
    events.OutOfMemory(3, 2),
    events.MemoryRecovered(3, 1),
    Stopped(40, "40 steps done", False),
]


@pytest.mark.parametrize("kind", get_args(Event), ids=lambda kind: kind.__name__)
def test_the_view_tells_of_every_event_of_a_run(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    (event,) = (event for event in EVENTS if type(event) is kind)
    assert shown([event], False, monkeypatch).strip()


@pytest.mark.parametrize("terminal", [True, False])
def test_skipped_and_returned_steps_are_told(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    names = tuple(f"line {number}" for number in range(5))
    told = [events.Skipped(7, "loss not finite", names), events.RolledBack(9, 5, 5e-4)]
    text = shown([STEP, *told], terminal, monkeypatch)
    assert "Step 7 skipped" in text and "line 2 and 2 more" in text and "weights of step 5" in text


def test_the_view_loads_no_torch() -> None:
    import subprocess

    code = "import sys, vocr_cli.terminal.training; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_waiting_for_data_is_told_once_though_it_comes_and_goes() -> None:
    advice = WaitAdvice(workers=1, cores=8)
    step = StepDone(1, 32, 1.0, 1e-3, 1.0, 10.0, 0.0, 0, None)
    shares = (0.9, 0.0, 0.9, 0.9, 0.9, 0.0, 0.9, 0.9)
    said = [advice.take(replace(step, data_wait_share=share)) for share in shares]
    assert [text is not None for text in said] == [number == 3 for number in range(len(shares))]
    assert said[3] is not None and "90%" in said[3] and "now 1; this machine has 8 cores" in said[3]


def test_no_rate_is_given_for_less_than_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal in (True, False):
        assert "210" not in shown([replace(STEP, seconds=0.4)], terminal, monkeypatch)
        assert "210" in shown([STEP], terminal, monkeypatch)
        assert "0 lines/s" not in shown([replace(STEP, lines_per_s=0.0)], terminal, monkeypatch)


def test_the_bar_fills_by_the_clock_where_the_clock_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def bar(event: StepDone) -> int:
        text = shown([event], True, monkeypatch, max_minutes=2)
        final = text[text.rindex("step 4") :]
        assert "2 min at most" in final
        return final.splitlines()[0].count("━")

    assert bar(replace(STEP, step=4, done_share=1.0)) == 30 > bar(replace(STEP, step=4, done_share=0.1)) > 0


def test_the_table_ends_with_the_last_step_and_what_comes_next_stands_below(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = Path("run/checkpoints/best.safetensors")
    end = Stopped(43, "43 steps done", False, best_cer=0.02, best_step=40, init_cer=0.05, model=model)
    text = shown([STEP, LOOK, end], True, monkeypatch, evaluate="vocr eval valid.lmdb")
    _, table, below = text[text.rindex("step 43 of 100") - 1 :].partition("reading")
    assert table and "Stopped at step 43: 43 steps done" in below
    assert f"Best CER 2.00% at step 40, 5.00% before training: {model}" in below
    assert below.rstrip().endswith(f"Next: vocr eval valid.lmdb --model {model}")
    for told in (replace(end, best_step=0), replace(end, best_step=0, best_cer=0.05)):
        assert "Training did not help" in shown([told], False, monkeypatch)
    by_lines = shown([replace(end, best_line_accuracy=0.915)], False, monkeypatch)
    assert (
        f"Best model, 91.5% of lines right, CER 2.00% at step 40, 5.00% before training: {model}" in by_lines
    )
    more = " ".join(shown([replace(end, best_step=0, more_lines_right=0.9)], False, monkeypatch).split())
    assert "Another had 90.0% of lines right" in more and "--set validate.metric=line_accuracy" in more
    cut = replace(end, best_step=0, reason="interrupted", resumable=True)
    assert "has not helped yet" in shown([cut], False, monkeypatch)


@pytest.mark.parametrize(
    ("reason", "words"), [("interrupted", "Saved. Go on"), ("loss", "Once that is mended")]
)
def test_a_run_that_was_cut_short_says_how_to_go_on(
    reason: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = shown([Stopped(3, reason, True)], False, monkeypatch, resume="vocr train --resume run")
    assert words in text and text.rstrip().endswith("vocr train --resume run")


def test_what_comes_next_reads_the_labels_as_the_run_did() -> None:
    def command(**data: object) -> str:
        return eval_command(Config(data=DataConfig.model_validate(data)))

    assert command() == ""
    labels = {"columns": "image=a,text=b", "separator": ";", "header": False, "split": "test"}
    listed = command(valid=["my lines.csv", "more.csv"], valid_images="scans", valid_labels=labels)
    options = "--images scans --columns image=a,text=b --separator ';' --no-header --split test"
    assert listed == f"vocr eval 'my lines.csv' {options}"
    assert command(valid=["lines.lmdb"], valid_labels={"split": "test"}) == "vocr eval lines.lmdb"


def test_no_negative_time_is_left_where_the_last_step_went_past_the_limit(
    tmp_path: Path, lines: Path
) -> None:
    tree = {"max_steps": 100_000, "log_every_steps": 100_000}
    result = train(tmp_path, lines, "--max-minutes", "0.01", train=tree, validate={"every_steps": 100_000})
    assert result.exit_code == 0, result.output
    assert [(event["left_s"], event["done_share"]) for event in logged(tmp_path, "StepDone")] == [(0, 1)]
    assert "s left" not in result.output


def test_a_run_sums_up_its_last_steps_too(tmp_path: Path, lines: Path) -> None:
    result = train(tmp_path, lines, "--max-steps", "5")
    assert result.exit_code == 0, result.output
    assert [event["step"] for event in logged(tmp_path, "StepDone")] == [2, 4, 5]
    assert logged(tmp_path, "StepDone")[-1]["done_share"] == 1
    best = tmp_path / "run" / "checkpoints" / "best.safetensors"
    (end,) = logged(tmp_path, "Stopped")
    assert end["model"] == str(best) and end["best_cer"] == min(
        event["cer"] for event in logged(tmp_path, "Validated")
    )
    assert f"Next: vocr eval {lines} --model {best}" in result.output


def test_the_best_model_may_be_the_one_with_most_lines_right(tmp_path: Path, lines: Path) -> None:
    rhythm = {"every_steps": 1, "metric": "line_accuracy"}
    result = train(tmp_path, lines, "--max-steps", "5", validate=rhythm)
    assert result.exit_code == 0, result.output
    looks, (end,) = logged(tmp_path, "Validated"), logged(tmp_path, "Stopped")
    best = max(looks, key=lambda look: (look["line_accuracy"], -look["cer"]))
    assert (end["best_step"], end["best_cer"]) == (best["step"], best["cer"])
    assert end["best_line_accuracy"] == best["line_accuracy"]
    assert [look["best"] for look in looks if look["step"] == best["step"]] == [True]


def test_help_says_what_the_words_of_a_step_mean() -> None:
    text = " ".join(runner.invoke(app, ["train", "-h"]).output.split())
    assert all(word in text for word in ("norm is", "clipped", "strength", "data wait"))
