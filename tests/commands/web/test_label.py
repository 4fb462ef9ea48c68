"""`vocr label`: nothing is lost, nobody else gets in, and the output is what was decided."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import time
from pathlib import Path
from typing import Any, Self

import pytest
from conftest import EXAMPLE_LINES, line_image, write_annotations, write_database
from PIL import Image
from typer.testing import CliRunner
from web_server import LocalServer, ProcessServer

from vocr_cli.app import app
from vocr_cli.core.data.readers.labelled import load_labelled
from vocr_cli.core.inference.recognizer_options import RecognizerOptions

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")


def images(folder: Path, count: int = 4) -> Path:
    folder.mkdir()
    for index in range(count):
        line_image(index).save(folder / f"{index}.png")
    return folder


class Labelling(LocalServer):
    """A session without a model in this process, whose output is out.tsv in a folder; ended by `with`."""

    def __init__(self, folder: Path, source: str, **options: Any) -> None:
        from vocr_cli.core.web.access import Access
        from vocr_cli.core.web.labels.routes import label_app
        from vocr_cli.core.web.labels.session import LabelOptions, LabelSession
        from vocr_cli.core.web.runs.training_job import TrainingJobs

        out = folder / "out.tsv"
        self.session = LabelSession(LabelOptions(source=folder / source, out=out, by="Hà", **options))
        self.session.start()
        super().__init__(
            label_app(self.session, Access("secret", "127.0.0.1", 1), TrainingJobs(out, "vi-small", False)),
            "secret",
        )
        self.state = self.listed()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.session.stop()


def label_process(folder: Path, **more: Any) -> ProcessServer:
    words = ("label", "in", "--out", "out.tsv", "--model", "none", "--by", "Hà")
    return ProcessServer(*words, cwd=folder, **more)


def rows(file: Path) -> dict[str, str]:
    """The labels of an annotation file, each path once."""
    read = load_labelled(file)
    assert not read.bad and not read.duplicates
    assert all(isinstance(line.image, str) and Path(line.image).is_file() for line in read.lines)
    return {line.name: line.label for line in read.lines}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    """A server whose state does not matter."""
    folder = tmp_path_factory.mktemp("label")
    images(folder / "in")
    with Labelling(folder, "in") as running:
        yield running


def test_a_stranger_gets_nothing_but_a_sign_of_life(server):
    for path in ("/", "/api/state", "/static/label.js", "/run", "/api/lines/0/image", "/docs", "/nothing"):
        assert server.fetch(path, headers={})[0] == 403
        assert server.fetch(f"{path}?token=wrong", headers={})[0] == 403
        assert server.fetch(path, headers={"Authorization": "Bearer wrong"})[0] == 403
    assert server.fetch(f"/api/decide?token={server.token}", b"{}", headers={})[0] == 403
    assert server.fetch("/read", b"x", headers={})[0] == 403
    assert server.fetch("/health", headers={})[0] == 200


def test_the_token_becomes_a_cookie_that_no_script_sees_and_no_other_site_sends(server):
    status, headers, _ = server.fetch(f"/?token={server.token}", headers={})
    cookie = headers["set-cookie"]
    assert status == 200 and "HttpOnly" in cookie and "SameSite=Strict" in cookie
    pair = cookie.partition(";")[0]
    assert server.fetch("/api/state", headers={"Cookie": f"other=1; {pair}"})[0] == 200
    assert server.fetch("/api/state", headers={"Cookie": pair[:-1] + "x"})[0] == 403


@pytest.mark.parametrize(
    "foreign",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:2"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
    ],
)
def test_other_hosts_and_origins_are_refused_even_with_the_token(server, foreign):
    known = {"Authorization": f"Bearer {server.token}"}
    assert server.fetch("/api/state", headers=known)[0] == 200
    assert server.fetch("/api/state", headers={**known, **foreign})[0] in (400, 403, 421)
    assert server.fetch("/api/decide", b"{}", headers={**known, **foreign})[0] in (400, 403, 421)


def test_the_own_origin_and_name_are_let_in(server):
    port = 1
    known = {"Authorization": f"Bearer {server.token}"}
    for name in ("127.0.0.1", "localhost", "LOCALHOST"):
        own = {"Host": f"{name}:{port}", "Origin": f"http://{name}:{port}", "Sec-Fetch-Site": "same-origin"}
        assert server.fetch("/api/state", headers={**known, **own})[0] == 200


def test_every_answer_forbids_scripts_and_sources_of_others(server):
    for path in ("/", "/run", "/try", "/docs", "/api/state", "/api/lines/0/image", "/static/label.css"):
        _, headers, body = server.fetch(path)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        if path in ("/", "/run", "/try", "/docs"):
            page = body.decode()
            assert "://" not in page and not re.search(r"<style|<script>|\sstyle=|\son\w+=", page)


def test_a_file_outside_the_pages_is_not_served(server):
    for path in ("/static/../answers.py", "/static/%2e%2e/answers.py", "/static/%2fetc%2fpasswd", "/static/"):
        assert server.fetch(path)[0] == 404


@pytest.mark.parametrize(
    "sent",
    [b"", b"[]", b"{", b"\xff", b"[" * 20_000, b'{"line": "0"}', b'{"line": 99}', b'{"line": 0}',
     b'{"line": 0, "verdict": "text"}', b'{"line": 0, "verdict": "maybe"}'],
)  # fmt: skip
def test_what_is_no_decision_is_refused_in_a_sentence(server, sent):
    status, _, body = server.fetch("/api/decide", sent)
    assert status == 422 and json.loads(body)["problem"]


def test_what_a_page_sends_wrongly_is_refused_in_a_sentence_everywhere(server):
    for path in ("next", "list", "release", "train"):
        for sent in (b"", b"[]", b"\xff"):
            status, _, body = server.fetch(f"/api/{path}", sent)
            assert status == 422 and json.loads(body)["problem"]
        assert server.fetch(f"/api/{path}", b" " * (1 << 21))[0] in (413, 422)
    for index in ("-1", "4", "x", "1e3", "9" * 5000):
        assert server.fetch(f"/api/lines/{index}")[0] == server.fetch(f"/api/lines/{index}/image")[0] == 404


@pytest.mark.parametrize("text", ["", "   ", "a\u0000b", "a\u200bb", "\ud800", "x" * 2001, "x" * 10_000])
def test_what_no_annotation_file_can_hold_is_refused_and_nothing_is_changed(server, text):
    line = server.ask("/api/lines/3")
    assert server.decide(line, text, status=422)["problem"]
    assert server.ask("/api/lines/3") == line


def test_text_is_normalised_at_the_door(tmp_path):
    images(tmp_path / "in", 1)
    with Labelling(tmp_path, "in") as server:
        server.decide(server.next_line(), "  D\u0323ươ\u0300ng\u00a0 Huế\t1 ")
    assert rows(tmp_path / "out.tsv") == {"in/0.png": "Ḍường Huế 1"}


def test_a_kill_at_any_decision_loses_none_and_doubles_none(tmp_path):
    images(tmp_path / "in", 6)
    decided = {}
    with label_process(tmp_path) as server:
        server.listed()
        for index in range(4):
            decided[f"in/{index}.png"] = f"dòng {index}"
            server.decide(server.next_line(), f"dòng {index}", id=f"x{index}")
        server.kill()
    with label_process(tmp_path) as server:
        assert server.listed()["text"] == 4
        for index in (4, 5):
            decided[f"in/{index}.png"] = f"dòng {index}"
            server.decide(server.next_line(), f"dòng {index}")
        assert "6 lines labelled" in server.stop()
    assert rows(tmp_path / "out.tsv") == decided and len(decided) == 6
    journal = [json.loads(row) for row in (tmp_path / "out.journal.jsonl").read_text("utf-8").splitlines()]
    assert [record["line"] for record in journal] == list(decided)
    changes = (tmp_path / "out.changes.tsv").read_text("utf-8").splitlines()
    assert len(changes) == 7 and changes[1].split("\t")[:5] == ["in/0.png", "text", "dòng 0", "", "Hà"]


def test_a_signal_while_the_server_starts_ends_it_well(tmp_path):
    images(tmp_path / "in", 1)
    with label_process(tmp_path) as server:
        assert "Nothing was decided" in server.stop(signal.SIGINT)


@pytest.mark.slow
def test_the_output_follows_decisions_while_the_server_runs(tmp_path):
    images(tmp_path / "in", 1)
    with Labelling(tmp_path, "in") as server:
        server.decide(server.next_line(), "một")
        assert not (tmp_path / "out.tsv").exists()
        deadline = time.monotonic() + 20
        while not (tmp_path / "out.tsv").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert rows(tmp_path / "out.tsv") == {"in/0.png": "một"}


def test_an_unfinished_last_line_of_the_journal_is_cut_and_a_damaged_one_named(tmp_path):
    images(tmp_path / "in", 3)
    with Labelling(tmp_path, "in") as server:
        for text in ("một", "hai"):
            server.decide(server.next_line(), text)
    journal = tmp_path / "out.journal.jsonl"
    first, second = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(first + b"{damaged\n" + second + second[:40])
    with Labelling(tmp_path, "in") as server:
        state = server.state
        assert state["text"] == 2 and "lines 2 are damaged" in " ".join(state["notes"])
        server.decide(server.next_line(), "ba")
    assert rows(tmp_path / "out.tsv") == {"in/0.png": "một", "in/1.png": "hai", "in/2.png": "ba"}


def test_the_later_of_two_pages_is_told_and_decides_anew(tmp_path):
    images(tmp_path / "in", 1)
    with Labelling(tmp_path, "in") as server:
        line = server.next_line()
        server.decide(line, "một", id="1", by="Anh")
        refused = server.decide(line, "hai", status=409, id="2", by="Bình")
        assert "Anh" in refused["problem"] and refused["line"]["decision"]["text"] == "một"
        assert server.decide(line, "một", id="1")["line"]["version"] == 1  # sent again: counts once
        server.decide(refused["line"], "hai", id="2", by="Bình")
    assert rows(tmp_path / "out.tsv") == {"in/0.png": "hai"}
    changed = (tmp_path / "out.changes.tsv").read_text("utf-8").splitlines()[1].split("\t")
    assert changed[2:5] == ["hai", "một", "Bình"] and changed[6] == "2"


def test_two_pages_get_different_lines_until_one_is_closed(tmp_path):
    images(tmp_path / "in", 2)
    with Labelling(tmp_path, "in") as server:
        first = server.next_line(tab="a")
        assert server.next_line(tab="a")["id"] == first["id"] != server.next_line(tab="b")["id"]
        assert not server.ask("/api/next", {"tab": "c", "count": 1})["lines"]
        server.ask("/api/release", {"tab": "a"})
        assert server.next_line(tab="c")["id"] == first["id"]


def test_an_image_that_changed_is_told_before_and_after_the_decision(tmp_path):
    folder = images(tmp_path / "in", 2)
    with Labelling(tmp_path, "in") as server:
        line = server.next_line()
        line_image(9).save(folder / "0.png")
        refused = server.decide(line, "một", status=409)
        assert "image" in refused["problem"] and refused["line"]["image"] != line["image"]
        server.decide(refused["line"], "một")
    line_image(10).save(folder / "0.png")
    with Labelling(tmp_path, "in") as server:
        assert server.ask("/api/lines/0")["changed"] and server.ask("/api/state")["changed"] == 1
        assert server.next_line(show="changed")["id"] == 0
        server.decide(server.ask("/api/lines/0"), "hai")
        assert server.ask("/api/state")["changed"] == 0


def test_a_full_disk_refuses_the_decision_with_the_reason_and_keeps_the_others(tmp_path):
    images(tmp_path / "in", 3)

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (700, 700))

    with label_process(tmp_path, before=small_files) as server:
        server.listed()
        server.decide(server.next_line(), "một")
        line = server.next_line()
        refused = server.decide(line, "h" * 600, status=507)
        assert "cannot be written" in refused["problem"] and "disk space" in refused["fix"]
        assert server.ask("/api/lines/1")["decision"] is None
        server.decide(line, "hai")  # a shorter one fits
        server.kill()
    with Labelling(tmp_path, "in") as server:
        assert server.state["text"] == 2
    assert rows(tmp_path / "out.tsv") == {"in/0.png": "một", "in/1.png": "hai"}


def test_a_journal_that_is_deleted_under_the_server_refuses_decisions(tmp_path):
    images(tmp_path / "in", 1)
    with Labelling(tmp_path, "in") as server:
        (tmp_path / "out.journal.jsonl").unlink()
        assert "deleted" in server.decide(server.next_line(), "một", status=507)["problem"]


def test_a_second_server_on_the_same_output_is_refused(tmp_path, monkeypatch):
    images(tmp_path / "in", 1)
    with Labelling(tmp_path, "in"):
        words = ["label", "in", "--out", "out.tsv", "--model", "none"]
        monkeypatch.chdir(tmp_path)
        result = CliRunner().invoke(app, words)
    assert result.exit_code == 1 and "another `vocr label`" in result.exception.problem
    assert "--out" in result.exception.fix


def test_the_original_is_never_overwritten(tmp_path, monkeypatch):
    labels = write_annotations(tmp_path, ["a", "b"])
    before = labels.read_bytes()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels.tsv").write_text("mine\n")
    for words in (["train.txt", "--out", "train.txt"], ["train.txt"], [".", "--out", "train.txt"]):
        result = CliRunner().invoke(app, ["label", *words, "--model", "none"])
        assert result.exit_code == 1 and "--out" in result.exception.fix, result.output
    assert labels.read_bytes() == before and (tmp_path / "labels.tsv").read_text() == "mine\n"


@pytest.mark.parametrize("name", ["empty", "nested", "header.tsv"])
def test_what_holds_no_lines_is_refused_before_anything_is_served(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "nested" / "deep").mkdir(parents=True)
    (tmp_path / "nested" / "deep" / "notes.md").write_text("nothing")
    (tmp_path / "header.tsv").write_text("path\ttext\tconfidence\n")
    result = CliRunner().invoke(app, ["label", name, "--model", "none"])
    assert result.exit_code == 1 and name in result.exception.problem and result.exception.fix
    assert not list(tmp_path.glob("labels*"))


def test_listening_elsewhere_needs_a_yes(tmp_path):
    images(tmp_path / "in", 1)
    result = CliRunner().invoke(app, ["label", str(tmp_path / "in"), "--host", "0.0.0.0"])
    assert (
        result.exit_code == 2 and "--yes" in result.output and not (tmp_path / "out.journal.jsonl").exists()
    )


def test_labels_keep_what_nobody_decided_about(tmp_path):
    write_annotations(tmp_path, ["một", "hai", "ba", "bốn"])
    with (tmp_path / "train.txt").open("a", encoding="utf-8") as file:
        file.write("0.png\tmột nữa\nno tab\n3.png\n")
    with Labelling(tmp_path, "train.txt") as server:
        notes = " ".join(server.state["notes"])
        assert "2 rows need a look" in notes and "another row names already" in notes
        assert server.ask("/api/lines/1")["label"] == "hai"
        server.decide(server.ask("/api/lines/1"), "HAI")
        server.decide(server.ask("/api/lines/2"), "", verdict="not-a-line")
    assert rows(tmp_path / "out.tsv") == {"0.png": "một", "1.png": "HAI", "3.png": "bốn"}
    with Labelling(tmp_path, "train.txt", decided_only=True):
        pass
    assert rows(tmp_path / "out.tsv") == {"1.png": "HAI"}


def test_a_folder_with_labels_is_shown_with_them(tmp_path):
    folder = images(tmp_path / "in", 3)
    (folder / "labels.tsv").write_text("1.png\tmột\n", encoding="utf-8")
    (folder / "2.gt.txt").write_text("hai\n", encoding="utf-8")
    with Labelling(tmp_path, "in") as server:
        assert server.state["total"] == 3
        labels = {
            line["name"]: line["label"] for line in map(server.ask, [f"/api/lines/{i}" for i in range(3)])
        }
        assert labels == {"in/1.png": "một", "in/0.png": None, "in/2.png": "hai"}


def test_a_database_is_labelled_and_its_images_are_copied(tmp_path):
    write_database(tmp_path / "db", ["một", "hai"])
    with Labelling(tmp_path, "db") as server:
        line = server.next_line()
        assert line["label"] == "một" and line["name"] == "db#0"
        assert server.fetch("/api/lines/0/image")[1]["content-type"] == "image/png"
        server.decide(line, "MỘT")
    (row,) = load_labelled(tmp_path / "out.tsv").lines
    assert row.label == "MỘT" and Image.open(row.image).tobytes() == line_image(0).tobytes()


def test_a_turned_image_is_copied_the_right_way_up(tmp_path):
    folder = images(tmp_path / "in", 1)
    before = (folder / "0.png").read_bytes()
    with Labelling(tmp_path, "in") as server:
        server.decide(server.next_line(), "một", rotated=True)
    (row,) = load_labelled(tmp_path / "out.tsv").lines
    upright = line_image(0).transpose(Image.Transpose.ROTATE_180)
    assert Image.open(row.image).tobytes() == upright.tobytes()
    assert (folder / "0.png").read_bytes() == before


def test_names_that_no_annotation_file_can_hold_are_copied(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    odd = [
        "a\tb.png",
        "c\nd.png",
        "<img src=x onerror=alert(1)>.png",
        os.fsdecode(b"n\xff.png"),
        "x\u200b.png",
    ]
    for index, name in enumerate(odd):
        line_image(index).save(folder / name)
    with Labelling(tmp_path, "in") as server:
        for index in range(len(odd)):
            server.decide(server.ask(f"/api/lines/{index}"), f"dòng {index}")
    found = rows(tmp_path / "out.tsv")
    assert len(found) == len(odd) and "in/<img src=x onerror=alert(1)>.png" in found
    with Labelling(tmp_path, "in") as server:
        assert server.state["text"] == len(odd)


def test_an_image_that_cannot_be_read_is_told_and_can_be_decided_about(tmp_path):
    folder = images(tmp_path / "in", 1)
    (folder / "0.png").write_bytes(b"<html><script>alert(1)</script>")
    with Labelling(tmp_path, "in") as server:
        line = server.next_line()
        assert server.fetch("/api/lines/0/image")[0] == 422
        assert server.decide(line, "một", status=422)["problem"]
        server.decide(line, "", verdict="unreadable")
        assert server.ask("/api/state")["unreadable"] == 1
    assert (tmp_path / "out.tsv").read_text() == ""


def test_readings_are_taken_as_they_are_and_sorted_by_confidence(tmp_path):
    images(tmp_path / "in", 3)
    texts = [("0.png", "Đường Huế", 0.9), ("1.png", "Duong Hue", 0.2), ("2.png", "khác", 0.5)]
    tsv = "".join(f"in/{name}\t{text}\t{sure}\n" for name, text, sure in texts)
    (tmp_path / "readings.tsv").write_text(tsv, encoding="utf-8")
    records: list[dict[str, Any]] = [
        {"path": f"in/{name}", "text": text, "confidence": sure, "char_confidences": [sure] * len(text)}
        for name, text, sure in texts
    ]
    records.append({"path": "in/9.png", "text": None, "error": "no"})
    lines = [json.dumps(record) for record in records]
    (tmp_path / "readings.jsonl").write_text("\n".join(lines), encoding="utf-8")
    for name in ("readings.tsv", "readings.jsonl"):
        with Labelling(tmp_path, name) as server:
            asked = {"order": "confidence", "show": "all", "count": 3}
            found = [row["text"] for row in server.ask("/api/list", asked)["lines"]]
            assert found == ["Duong Hue", "khác", "Đường Huế"]
            searched = {"duong": 2, "Đường": 1, "hue": 2, "huế": 1, "0.png": 1, "không có": 0}
            for text, count in searched.items():
                assert server.ask("/api/list", {**asked, "search": text})["matching"] == count
        assert not (tmp_path / "out.tsv").exists()


def test_a_model_reads_ahead_and_its_readings_are_kept(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("03.png", "08.png", "17.png"):
        shutil.copy(EXAMPLE_LINES / "images" / name, folder)
    for _ in range(2):
        with Labelling(tmp_path, "in", pick=2, model=RecognizerOptions()) as server:
            assert wait_until_read(server, 3)["order"] == "teach"
            least = server.next_line(order="confidence")
            assert least["name"] == "in/17.png" and least["reading"]["text"].startswith("Giá vé người lớn")
            assert len(least["reading"]["chars"]) == len(least["reading"]["text"])
            found = server.ask(f"/api/lines/{least['id']}/alternatives")["alternatives"]
            assert len({one["text"] for one in found}) == len(found) > 2
            turned = server.ask(f"/api/lines/{least['id']}/reading?rotated=1")["reading"]
            assert turned["text"] != least["reading"]["text"]
            status, _, body = server.fetch("/read", (folder / "03.png").read_bytes())
            assert status == 200 and json.loads(body)["text"] == "TỔNG CỘNG: 1.285.000 VND"
    assert list((tmp_path / "out.readings").glob("*/data.mdb"))


def test_two_models_and_labels_are_compared_and_disagreement_comes_first(tmp_path, tiny_model):
    shutil.copytree(EXAMPLE_LINES / "images", tmp_path / "in")
    said = load_labelled(EXAMPLE_LINES / "labels.tsv").lines[:6]
    texts = [f"in/{Path(line.name).name}\t{line.label}\n" for line in said]
    texts[3] = f"in/{Path(said[3].name).name}\tsomething else\n"
    (tmp_path / "given.tsv").write_text("".join(texts), encoding="utf-8")
    with Labelling(tmp_path, "given.tsv", model=RecognizerOptions()) as server:
        first = wait_until_read(server, 6)
        assert first["order"] == "disagreement" and server.next_line(order="disagreement")["id"] == 3
    also = RecognizerOptions(model=tiny_model)
    with Labelling(tmp_path, "in", model=RecognizerOptions(), also=also) as server:
        assert wait_until_read(server, 26)["models"] == ["vi-small", str(tiny_model)]
        deadline = time.monotonic() + 30
        while not (line := server.next_line(order="disagreement"))["second"] and time.monotonic() < deadline:
            time.sleep(0.05)
        assert line["second"]["text"] != line["reading"]["text"]


def test_a_model_reads_where_its_readings_cannot_be_kept(tmp_path):
    (tmp_path / "in").mkdir()
    shutil.copy(EXAMPLE_LINES / "images" / "03.png", tmp_path / "in")
    (tmp_path / "out.readings").write_text("no folder")
    with Labelling(tmp_path, "in", model=RecognizerOptions()) as server:
        deadline = time.monotonic() + 30
        while not (state := server.ask("/api/state"))["read"] and time.monotonic() < deadline:
            time.sleep(0.05)
        assert server.next_line()["reading"]["text"] == "TỔNG CỘNG: 1.285.000 VND"
        (problem,) = state["problems"]
        assert "not kept" in problem["problem"] and "read all the same" in problem["fix"]


def test_a_copy_leads_back_to_the_line_that_it_is_of(tmp_path):
    write_database(tmp_path / "db", ["một", "hai"])
    with Labelling(tmp_path, "db") as server:
        server.decide(server.ask("/api/lines/1"), "HAI")
        (name,) = (f"out.images/{file.name}" for file in (tmp_path / "out.images").iterdir())
        found = [server.session.index_in_output(one) for one in (name, "db#0", "nothing")]
    assert found == [1, 0, None]


def wait_until_read(server: Labelling, count: int) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while (state := server.ask("/api/state"))["read"] < count and time.monotonic() < deadline:
        time.sleep(0.05)
    assert state["read"] == count and not state["problems"]
    return dict(state)


def test_a_model_that_is_not_there_is_named_before_anything_is_written(tmp_path, monkeypatch):
    images(tmp_path / "in", 1)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["label", "in", "--model", "nothing.safetensors"])
    assert result.exit_code == 1 and "nothing.safetensors" in result.exception.problem
    assert not list(tmp_path.glob("labels*"))
