"""vocr train --resume RUN: the hint that a run gives, pasted, goes on with that run and no other."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from conftest import assert_same, write_annotations, write_config
from typer.testing import CliRunner, Result

from vocr_cli.app import app
from vocr_cli.core.config.tree import load_config
from vocr_cli.core.errors import ConfigError
from vocr_cli.core.models.files import load_model
from vocr_cli.core.training.checkpoint import load_checkpoint

TINY = {"channels": [8, 8, 16], "blocks": [0, 0, 0], "hidden": 32, "column_blocks": 1, "dropout": 0.1}
CLOCK = {"minutes", "last_validation_minutes", "validation_s_per_line"}
OF_THE_PROCESS = {"numpy", "python"}  # generators that a run does not seed
runner = CliRunner()


@pytest.fixture(scope="module")
def annotations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    labels = ["abcde"[: 1 + number % 5] for number in range(14)]
    return write_annotations(tmp_path_factory.mktemp("lines"), labels, range(50, 110, 15))


def config_file(folder: Path, annotations: Path, **sections: object) -> Path:
    tree = {
        "model": TINY,
        "data": {"train": [{"annotations": str(annotations)}], "valid": [str(annotations)], "workers": 0},
        "batch": {"max_lines": 3},
        "schedule": {"warmup_steps": 2},
        "train": {"max_steps": 4, "log_every_steps": 1},
        "validate": {"every_steps": 100},
        "precision": {"amp": "off"},
        **sections,
    }
    return write_config(folder, tree)


def vocr(*arguments: object) -> Result:
    return runner.invoke(app, [*map(str, arguments)])


def done(*arguments: object) -> Result:
    result = vocr(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result


def last(run: Path) -> dict:
    return load_checkpoint(run / "checkpoints" / "last.pt")


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Sums are taken in another order by another number of threads, which earlier tests may have set."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # of processes that are started
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, annotations: Path) -> tuple[Path, Path]:
    """A config, and a model to start from."""
    folder = tmp_path_factory.mktemp("begun")
    config = config_file(folder, annotations)
    done("train", config, "--out", folder / "first", "--device", "cpu")
    return config, folder / "first" / "checkpoints" / "best.safetensors"


def test_the_hint_of_ctrl_c_goes_on_to_the_weights_of_the_undisturbed_run(
    tmp_path: Path, begun: tuple[Path, Path]
) -> None:
    config, start = begun
    options = [
        "--init",
        start,
        "--max-steps",
        "120",
        "--set",
        "optim.lr=2e-3",
        "--set",
        "optim.ema_decay=0.9",
    ]
    done("train", config, "--out", tmp_path / "straight", "--device", "cpu", *options)
    cut = tmp_path / "a run"
    command = [sys.executable, "-m", "vocr_cli", "train", config, "--out", cut, "--device", "cpu", *options]
    process = subprocess.Popen([*map(str, command)], stderr=subprocess.PIPE, text=True)
    seen, until = cut / "events.jsonl", time.monotonic() + 60
    while time.monotonic() < until and not (seen.exists() and "StepDone" in seen.read_text("utf-8")):
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert 0 < last(cut)["loop_state"]["step"] < 120
    hint = errors.partition("Go on with: ")[2].strip()
    assert shlex.split(hint) == ["vocr", "train", "--resume", str(cut)]
    settings = (cut / "config.yaml").read_text(encoding="utf-8")
    result = done(*shlex.split(hint)[1:], "--device", "cpu")
    assert "other settings" not in result.output
    assert_same(last(tmp_path / "straight"), last(cut), but=CLOCK | OF_THE_PROCESS)
    assert (cut / "config.yaml").read_text(encoding="utf-8") == settings
    ends = [load_model(run / "checkpoints" / "best.safetensors") for run in (tmp_path / "straight", cut)]
    assert_same(ends[0].module.state_dict(), ends[1].module.state_dict())


def test_inspect_gives_the_same_hint(tmp_path: Path, begun: tuple[Path, Path]) -> None:
    run = begun[1].parents[1]
    result = done("inspect", run / "checkpoints" / "last.pt")
    assert f"vocr train --resume {run}" in " ".join(result.output.split())


def test_asked_for_differences_are_told_and_kept(tmp_path: Path, begun: tuple[Path, Path]) -> None:
    config, _ = begun
    run = tmp_path / "run"
    done("train", config, "--out", run, "--device", "cpu", "--max-steps", "2")
    result = done("train", "--resume", run, "--max-steps", "3", "--set", "optim.weight_decay=0.5")
    told = " ".join(result.output.split())
    assert "train.max_steps 2 -> 3" in told and "optim.weight_decay 0.01 -> 0.5" in told
    assert last(run)["loop_state"]["step"] == 3
    assert 0.5 in [group["weight_decay"] for group in last(run)["optimizer"]["param_groups"]]
    assert load_config(run / "config.yaml").train.max_steps == 3
    result = done("train", config, "--out", run, "--resume")  # the config asks for four
    assert "train.max_steps 3 -> 4" in " ".join(result.output.split())
    assert last(run)["loop_state"]["step"] == 4


@pytest.mark.parametrize(
    "change",
    [
        "model.hidden=64",
        "image.height_px=48",
        "charset.characters=abcde",
        "optim.name=muon",
        "optim.freeze=[trunk]",
        "optim.layer_decay=0.5",
        "data.train=[{synth: {}}]",
    ],
)
def test_a_difference_that_breaks_the_run_is_refused(
    tmp_path: Path, begun: tuple[Path, Path], change: str
) -> None:
    run = begun[1].parents[1]
    settings = (run / "config.yaml").read_text(encoding="utf-8")
    result = vocr("train", "--resume", run, "--set", change)
    assert isinstance(result.exception, ConfigError), (result.output, result.exception)
    assert change.partition("=")[0] in result.exception.problem
    assert f"vocr train --resume {run}" in result.exception.fix
    assert (run / "config.yaml").read_text(encoding="utf-8") == settings


def test_another_optimizers_state_is_refused_with_a_remedy(tmp_path: Path, begun: tuple[Path, Path]) -> None:
    config, _ = begun
    run = tmp_path / "run"
    done("train", config, "--out", run, "--device", "cpu", "--max-steps", "1")
    (run / "config.yaml").unlink()  # nothing to compare with
    result = vocr("train", config, "--out", run, "--resume", "--set", "optim.layer_decay=0.5")
    assert isinstance(result.exception, ConfigError), result.exception
    assert "another optimizer" in result.exception.problem and "--resume" in result.exception.fix


def test_weights_to_start_from_are_not_said_to_be_taken_when_the_checkpoint_wins(
    tmp_path: Path, begun: tuple[Path, Path]
) -> None:
    config, start = begun
    run = tmp_path / "run"
    done("train", config, "--out", run, "--device", "cpu", "--init", start, "--max-steps", "2")
    result = done("train", config, "--out", run, "--device", "cpu", "--init", "vi-small", "--resume")
    told = " ".join(result.output.split())
    assert "Started from" not in told and "--init vi-small changes nothing" in told


def test_a_folder_is_no_config(tmp_path: Path, begun: tuple[Path, Path]) -> None:
    run = begun[1].parents[1]
    error = vocr("train", run).exception
    assert isinstance(error, ConfigError) and error.fix == f"Go on: vocr train --resume {run}"
    error = vocr("train", tmp_path).exception
    assert isinstance(error, ConfigError) and "takes a config" in error.problem and "autoconf" in error.fix
    error = vocr("train", "--resume", tmp_path).exception
    assert isinstance(error, ConfigError) and "no run folder" in error.problem
    assert vocr("train", "--resume", run, "--out", tmp_path).exit_code == 2


def test_a_fault_in_set_is_not_blamed_on_the_file(tmp_path: Path, begun: tuple[Path, Path]) -> None:
    error = vocr("train", begun[0], "--out", tmp_path / "run", "--set", "optim.lr=fast").exception
    assert isinstance(error, ConfigError) and error.problem.startswith("--set: `optim.lr`")
    assert "config.yaml" not in error.problem


def test_a_checkpoint_that_cannot_be_written_says_how_to_go_on(
    tmp_path: Path, begun: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from vocr_cli.core.errors import ModelError
    from vocr_cli.core.training import checkpoint

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(checkpoint.torch, "save", full)
    error = vocr("train", begun[0], "--out", tmp_path / "run", "--device", "cpu").exception
    assert isinstance(error, ModelError) and error.fix.endswith(f"vocr train --resume {tmp_path / 'run'}")


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="sizes of files cannot be limited")
def test_a_full_disk_at_a_checkpoint_is_called_by_its_name(tmp_path: Path) -> None:
    import resource

    from vocr_cli.core.errors import ModelError
    from vocr_cli.core.training.checkpoint import save_checkpoint

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))  # stands in for a disk that is full
    try:
        with pytest.raises(ModelError, match=r"last\.pt cannot be written: File too large\."):
            save_checkpoint(tmp_path / "run/checkpoints/last.pt", {"weights": torch.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("file", ["events.jsonl", "curves.png"])
def test_a_full_disk_at_the_record_of_a_run_says_how_to_go_on(
    tmp_path: Path, begun: tuple[Path, Path], file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vocr_cli.core.errors import ModelError
    from vocr_cli.core.training.record import event_log

    if file == "events.jsonl":
        if not Path("/dev/full").exists():
            pytest.skip("there is no file that is always full")
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / file).symlink_to("/dev/full")
        monkeypatch.setattr(event_log.os, "truncate", lambda *_: None)
        monkeypatch.setattr(event_log, "_sound_bytes", lambda *_: 0)
    else:

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(event_log, "draw_curves", full)
    error = vocr("train", begun[0], "--out", tmp_path / "run", "--device", "cpu").exception
    assert isinstance(error, ModelError) and f"{file} cannot be written: No space left on device." in str(
        error
    )
    assert error.fix.endswith(f"vocr train --resume {tmp_path / 'run'}")


def test_a_run_begun_on_the_cpu_stays_there(tmp_path: Path, begun: tuple[Path, Path]) -> None:
    from vocr_cli.core.training.resume import device_so_far

    run = begun[1].parents[1]
    assert device_so_far(run) == "cpu" and device_so_far(tmp_path) is None
    with open(tmp_path / "events.jsonl", "w", encoding="utf-8") as file:
        file.write(json.dumps({"event": "Started", "device": "cuda:0"}) + "\n")
    assert device_so_far(tmp_path) == "cuda"


def test_a_folder_behind_resume_is_told_where_it_belongs(tmp_path: Path, begun: tuple[Path, Path]) -> None:
    run = begun[1].parents[1]
    for typed in ((begun[0], "--resume", run), ("--resume", run, begun[0])):
        result = vocr("train", *typed)
        said = "".join(result.output.replace("│", "").split())
        assert result.exit_code == 2 and f"vocrtrain--resume{run}goeson" in said, result.output
        assert f"vocrtrain{begun[0]}--resume--out{run}goeson" in said
    assert vocr("train", begun[0], begun[0]).exit_code == 2


def test_a_run_goes_on_by_a_config_that_leaves_model_and_characters_to_the_weights(
    tmp_path: Path, annotations: Path, tiny_model: Path
) -> None:
    start = load_model(tiny_model)
    config = write_config(
        tmp_path,
        {
            "data": {"train": [{"annotations": str(annotations)}], "workers": 0},
            "charset": {"unknown": "skip-line"},
            "train": {"max_steps": 2},
        },
    )
    run = ("--out", tmp_path / "run", "--device", "cpu")
    assert vocr("train", config, "--init", tiny_model, *run).exit_code == 0
    assert load_config(tmp_path / "run" / "config.yaml").charset.characters == start.charset.characters
    resumed = vocr("train", config, "--resume", *run, "--max-steps", 3)
    assert resumed.exit_code == 0, resumed.exception
    assert last(tmp_path / "run")["loop_state"]["step"] == 3


def test_a_folder_that_is_being_trained_in_is_refused_until_that_run_is_gone(
    tmp_path: Path, begun: tuple[Path, Path]
) -> None:
    config, _ = begun
    run, new = tmp_path / "run", ("--device", "cpu", "--max-steps", "100000")
    command = [sys.executable, "-m", "vocr_cli", "train", config, "--out", run, *new]
    process = subprocess.Popen([*map(str, command)], stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while time.monotonic() < until and not (run / "checkpoints" / "last.pt").exists():
        time.sleep(0.01)
    for again in (("--out", run, config), ("--resume", run)):
        error = vocr("train", *again, "--device", "cpu").exception
        assert isinstance(
            error, ConfigError
        ) and f"{run} is being trained in by process {process.pid}" in str(error)
    process.kill()  # leaves the file of the lock, and no lock
    process.wait()
    assert (run / ".lock").exists()
    done("train", "--resume", run, "--max-steps", "1", "--device", "cpu")
    assert not (run / ".lock").exists()


def test_a_run_that_cannot_begin_leaves_no_folder(tmp_path: Path, begun: tuple[Path, Path]) -> None:
    config, _ = begun
    out = tmp_path / "runs" / "new"
    assert isinstance(
        vocr("train", config, "--out", out, "--set", "image.min_width_px=9999").exception, ConfigError
    )
    assert not out.parent.exists()


def scores(run: Path) -> list[dict]:
    told = [json.loads(row) for row in (run / "events.jsonl").read_text("utf-8").splitlines()]
    return [event for event in told if event["event"] == "Validated"]


@pytest.mark.parametrize("change", ["lines", "metric"])
def test_marks_of_another_validation_are_not_compared_with(
    tmp_path: Path, begun: tuple[Path, Path], change: str
) -> None:
    config, start = begun
    run, more = tmp_path / "run", ("--device", "cpu", "--set", "validate.every_steps=1")
    done("train", config, "--out", run, "--init", start, "--max-steps", 2, *more)
    best = (run / "checkpoints" / "best.safetensors").read_bytes()
    (tmp_path / "other").mkdir()
    other = write_annotations(tmp_path / "other", ["zzzz zzzz", "zz"])  # of which nothing can be right
    given = ("--valid", other) if change == "lines" else ("--set", "validate.metric=line_accuracy")
    stopped = ("--set", "validate.patience=2", *more, "--max-steps", 9)
    result = done("train", "--resume", run, *given, *stopped)
    assert "Validation is by other lines or another metric" in " ".join(result.output.split())
    (first, *rest) = scores(run)[3:]
    assert first["step"] == 3 and not first["best"]
    state = last(run)["loop_state"]
    if not any(event["best"] for event in rest):  # the first sets the marks, two more are no better
        assert [event["step"] for event in rest] == [4, 5] and "no better" in result.output
        assert (run / "checkpoints" / "best.safetensors").read_bytes() == best
        assert "None was better since validation changed" in " ".join(result.output.split())
        assert state["best_cer"] == first["cer"]
    assert (state["init_cer"] == float("inf")) == (change == "lines")
    # What the checkpoint says counts, though the settings of the folder are the new ones already.
    assert "Validation is by" not in done("train", "--resume", run, *given, *stopped).output


def test_the_same_validation_goes_on_with_its_marks(tmp_path: Path, begun: tuple[Path, Path]) -> None:
    run = tmp_path / "run"
    done("train", begun[0], "--out", run, "--device", "cpu")
    before = last(run)["loop_state"]["best_cer"]
    result = done("train", "--resume", run, "--device", "cpu", "--max-steps", "5")
    assert "Validation is by" not in result.output and last(run)["loop_state"]["best_cer"] <= before


def test_a_folder_that_is_not_there_is_no_run_folder(tmp_path: Path) -> None:
    error = vocr("train", "--resume", tmp_path / "nope").exception
    assert isinstance(error, ConfigError) and f"There is no run folder and no config at {tmp_path}" in str(
        error
    )
    assert not (tmp_path / "nope").exists()


def test_fewer_steps_than_are_done_are_called_so(tmp_path: Path, begun: tuple[Path, Path]) -> None:
    run = tmp_path / "run"
    done("train", begun[0], "--out", run, "--device", "cpu")
    result = done("train", "--resume", run, "--device", "cpu", "--max-steps", "2")
    said = " ".join(result.output.split())
    assert "4 steps were done before, more than train.max_steps, 2" in said and " 2 steps done" not in said


def test_one_setting_of_the_model_is_changed_and_the_others_stay_those_of_the_weights(
    tmp_path: Path, annotations: Path, tiny_model: Path
) -> None:
    start = load_model(tiny_model).config
    config = write_config(
        tmp_path,
        {"data": {"train": [{"annotations": str(annotations)}], "workers": 0}, "train": {"max_steps": 1}},
    )
    run = ("--out", tmp_path / "run", "--device", "cpu")
    done("train", config, "--init", tiny_model, "--set", "model.dropout=0.25", *run)
    own = load_config(tmp_path / "run" / "config.yaml").model
    assert own == start.model_copy(update={"dropout": 0.25})
    other = ("--set", "model.hidden=64", "--out", tmp_path / "other")
    error = vocr("train", config, "--init", tiny_model, *other).exception
    assert "hidden is 32, not 64" in str(error)
