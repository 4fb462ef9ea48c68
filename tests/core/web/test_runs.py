"""The training page: commands that can be pasted, a process only where that is allowed, runs as they are."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from conftest import write_annotations, write_config, write_database
from web_server import LocalServer

from vocr_cli.core.training.record.events import Saved, Started, StepDone, Validated, to_json
from vocr_cli.core.web.runs.training_job import TrainingJobs

pytest.importorskip("starlette")


def page(jobs: TrainingJobs, names: tuple[str, ...] = ()) -> LocalServer:
    from starlette.applications import Starlette

    from vocr_cli.core.web.access import Access, Guard
    from vocr_cli.core.web.runs.routes import RunRoutes

    index_of = dict(zip(names, range(len(names)), strict=True)).get
    app = Starlette(routes=RunRoutes(jobs, index_of, lambda: 0).routes())
    return LocalServer(Guard(app, Access("t", "127.0.0.1", 1)), "t")


def write_run(folder: Path, **config: object) -> Path:
    folder.mkdir(parents=True)
    write_config(folder, config)
    events = [
        Started(0, 1000, "cpu", "fp32", ()),
        *(StepDone(step, 8, 5 / step, 1e-3, 1.0, 40.0, 0.1, 0, 10.0) for step in range(1, 1001)),
        Validated(1000, 4, 0.5, 0.25, 0.5, True, (("Đường <b>", "Đuờng <b>"),)),
        Saved(1000, folder / "checkpoints" / "best.safetensors"),
    ]
    rows = [json.dumps(to_json(event)) for event in events]
    (folder / "events.jsonl").write_text("\n".join([*rows, '{"half a li']), encoding="utf-8")
    return folder


def test_the_commands_can_be_pasted_and_name_no_run_that_is_there(tmp_path):
    labels = tmp_path / "my labels.tsv"
    jobs = TrainingJobs(labels, "vi-small", False)
    build, plan, train = jobs.plan(1.5).shown
    run = tmp_path / "runs" / "my labels-1"
    assert build == f"vocr build-lmdb '{labels}' '{run}.lmdb' --valid-share 0.1"
    assert plan == f"vocr autoconf --data '{run}.lmdb' --init vi-small --out '{run}.yaml'"
    assert train == f"vocr train '{run}.yaml' --out '{run}' --init vi-small --max-minutes 1.5"
    run.mkdir(parents=True)
    assert jobs.plan().run.name == "my labels-2"


def test_nothing_is_started_where_that_is_not_allowed(tmp_path):
    server = page(TrainingJobs(tmp_path / "labels.tsv", "vi-small", False))
    assert not server.ask("/api/runs")["allowed"]
    assert "--allow-train" in server.ask("/api/train", {"minutes": 1}, 422)["fix"]
    assert not (tmp_path / "runs").exists()


def test_a_command_that_fails_ends_the_run_and_says_why(tmp_path):
    (tmp_path / "labels.tsv").write_text("no tab\n", encoding="utf-8")
    server = page(TrainingJobs(tmp_path / "labels.tsv", "vi-small", True))
    assert server.ask("/api/train", {"minutes": "soon"})["run"] == "labels-1"
    assert "already" in server.ask("/api/train", {}, 422)["problem"]
    deadline = time.monotonic() + 30
    while (state := server.ask("/api/runs"))["running"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (
        state["outcome"] == "vocr build-lmdb ended with exit code 1" and "no line has a tab" in state["log"]
    )
    assert state["commands"][0].count("labels-2") == 1


def test_a_run_is_shown_with_curves_of_bounded_size_and_samples(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "runs" / "mine")
    (tmp_path / "runs" / "other").mkdir()
    server = page(TrainingJobs(tmp_path / "labels.tsv", "vi-small", False))
    assert server.ask("/api/runs")["runs"] == ["mine"]
    run = server.ask("/api/runs/mine")
    loss = run["curves"]["StepDone.loss"]
    assert 100 < len(loss) <= 400 and loss[-1][0] == 1000 and run["curves"]["Validated.cer"] == [[1000, 0.25]]
    assert run["samples"] == [{"label": "Đường <b>", "reading": "Đuờng <b>"}]
    assert run["facts"]["state"] == "running, or killed"
    for name in ("other", "nothing", "..", "%2e%2e", "mine%2f..%2fmine"):
        assert server.fetch(f"/api/runs/{name}")[0] == 404


def test_the_worst_lines_lead_back_to_the_labelling_page(tmp_path, tiny_model):
    run = write_run(tmp_path / "runs" / "mine", data={"valid": [str(tmp_path / "db")]})
    write_database(tmp_path / "db", ["Đường", "Huế"])
    server = page(TrainingJobs(tmp_path / "labels.tsv", "vi-small", False), ("1.png",))
    assert server.ask("/api/runs/mine/worst") == {"state": "none"}
    server.ask("/api/runs/mine/worst", {})
    failed = done(server)
    assert failed["state"] == "failed" and "best.safetensors" in str(failed["problem"])
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "best.safetensors").write_bytes(tiny_model.read_bytes())
    server.ask("/api/runs/mine/worst", {})
    found = done(server)
    assert found["state"] == "done", found
    assert found["read"] == 2
    assert {(row["name"], row["line"]) for row in found["lines"]} == {("0.png", None), ("1.png", 0)}


def done(server: LocalServer) -> dict[str, object]:
    deadline = time.monotonic() + 30
    while (found := server.ask("/api/runs/mine/worst"))["state"] == "reading" and time.monotonic() < deadline:
        time.sleep(0.05)
    return dict(found)


def test_labels_of_a_file_are_written_before_they_are_trained_on(tmp_path):
    labels = write_annotations(tmp_path, ["a"])
    written: list[bool] = []

    from starlette.applications import Starlette

    from vocr_cli.core.web.access import Access, Guard
    from vocr_cli.core.web.runs.routes import RunRoutes

    def write() -> int:
        written.append((tmp_path / "runs").exists())
        return 1

    jobs = TrainingJobs(labels, "vi-small", True)
    server = LocalServer(
        Guard(Starlette(routes=RunRoutes(jobs, {}.get, write).routes()), Access("t", "127.0.0.1", 1)), "t"
    )
    server.ask("/api/train", {})
    server.ask("/api/train/stop", {})
    assert written == [False] and not jobs.is_running
