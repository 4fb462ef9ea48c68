"""`vocr serve`: every image gets an answer, limits hold, and reading together changes no reading."""

from __future__ import annotations

import io
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import EXAMPLE_LINES
from PIL import Image
from typer.testing import CliRunner
from web_server import LocalServer, ProcessServer

from vocr_cli.app import app
from vocr_cli.core.inference.recognizer import Recognizer
from vocr_cli.core.web.reading.limits import ByteBudget, RateLimit, ServeLimits
from vocr_cli.core.web.reading.line_reader import BusyError, LineReader

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

IMAGES = sorted((EXAMPLE_LINES / "images").glob("*.png"))[:8]


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer.load("vi-small", "cpu", "int8", 2, runtime="onnxruntime")


def local(recognizer: Recognizer, **limits: Any) -> LocalServer:
    from vocr_cli.core.web.access import Access
    from vocr_cli.core.web.reading.service import serve_app

    allowed = ServeLimits(**limits)
    reader = LineReader(recognizer, allowed.waiting)
    return LocalServer(serve_app(recognizer, reader, allowed, Access("t", "127.0.0.1", 1)), "t")


@pytest.fixture(scope="module")
def server(recognizer: Recognizer) -> LocalServer:
    return local(recognizer)


def form(files: list[tuple[str, bytes]], boundary: str = "--x--") -> tuple[bytes, str]:
    """A body as browsers and curl send files, and its content type."""
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'
        f"Content-Type: image/png\r\n\r\n".encode()
        + data
        + b"\r\n"
        for name, data in files
    ]
    return b"".join(parts) + f"--{boundary}--\r\n".encode(), f'multipart/form-data; boundary="{boundary}"'


def post(
    server: LocalServer, body: bytes, kind: str = "image/png", path: str = "/read"
) -> tuple[int, Any, Any]:
    headers = {"Authorization": "Bearer t", "Content-Type": kind, "Content-Length": str(len(body))}
    status, found, data = server.fetch(path, body, headers)
    return status, found, json.loads(data)


def test_an_image_is_read_as_by_infer(server, tmp_path):
    status, _, found = post(server, IMAGES[3].read_bytes(), path="/read?name=b%C3%A0i.png")
    assert status == 200 and found["path"] == "bài.png"
    out = tmp_path / "out.jsonl"
    words = ["infer", str(IMAGES[3]), "--out", str(out), "--precision", "int8", "--runtime", "onnxruntime"]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert {**json.loads(out.read_text("utf-8")), "path": "bài.png"} == found


def test_many_callers_at_once_get_what_each_would_alone(server, recognizer):
    alone = [reading.text for reading in recognizer.read(IMAGES)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda file: post(server, file.read_bytes()), IMAGES * 6))
    assert [status for status, _, _ in answers] == [200] * len(answers)
    assert [found["text"] for _, _, found in answers] == alone * 6


def test_a_form_is_read_in_its_order_and_one_bad_image_spoils_no_other(server):
    noise = bytes(range(256)) + b"\r\n--x\r\n\r\n"
    body, kind = form([("a.png", IMAGES[3].read_bytes()), ("b.png", noise), ("", IMAGES[3].read_bytes())])
    status, _, found = post(server, body, kind)
    first, bad, last = found["readings"]
    assert status == 200 and first["path"] == "a.png" and last["path"] == "image 3"
    assert first["text"] == last["text"] == "TỔNG CỘNG: 1.285.000 VND"
    assert bad["text"] is None and bad["error"].startswith("b.png") and bad["fix"]


@pytest.mark.parametrize("cut", [10, -4, -6])
def test_a_form_that_is_cut_short_is_refused(server, cut):
    body, kind = form([("a.png", IMAGES[3].read_bytes())])
    status, _, found = post(server, body[:cut], kind)
    assert status == 400 and found["problem"]


@pytest.mark.parametrize("body", [b"", b"no image", b"<svg/>", b"%PDF-1.7"])
def test_what_is_no_image_is_refused_with_a_remedy(server, body):
    status, _, found = post(server, body)
    assert status == (422 if body else 400) and found["fix"] and (found.get("error") or found["problem"])


def test_a_page_is_refused_and_a_small_file_with_a_huge_image_is_not_decoded(server):
    page, huge = Image.new("L", (1240, 1754), 255), Image.new("1", (60_000, 1_000), 1)
    for top in range(100, 1700, 40):
        page.paste(0, (100, top, 1100, top + 12))
    for image in (page, huge):
        file = io.BytesIO()
        image.save(file, "PNG")
        status, _, found = post(server, file.getvalue())
        assert status == 422 and "px" in found["error"]


def test_a_file_of_several_pages_is_told_what_can_be_done_here(server):
    file, page = io.BytesIO(), Image.new("L", (60, 30), 255)
    page.save(file, "TIFF", save_all=True, append_images=[page])
    status, _, found = post(server, file.getvalue())
    assert status == 422 and "2 pages" in found["error"]
    assert "/read/page" in found["fix"] and "--" not in found["fix"] and "#" not in found["fix"]


def test_bodies_beyond_the_limit_are_refused_whether_they_state_their_size_or_not(recognizer):
    small = local(recognizer, body_bytes=1000)
    assert post(small, b"x" * 1001)[0] == 413
    status, headers, _ = small.fetch("/read", b"x" * 1001, {"Authorization": "Bearer t"})
    assert status == 413 and headers["connection"] == "close"
    assert post(small, b"x" * 1000)[0] == 422


def test_more_images_than_a_form_may_have_are_refused(recognizer):
    body, kind = form([("a.png", b"x")] * 3)
    assert post(local(recognizer, images=2), body, kind)[0] == 400


def test_an_address_that_asks_too_often_is_told_when_to_ask_again(recognizer):
    server = local(recognizer, per_second=2)
    found = [post(server, b"x") for _ in range(4)]
    assert [status for status, _, _ in found] == [422, 422, 429, 429]
    assert found[-1][1]["retry-after"] == "1"


def test_a_full_bucket_fills_again_with_time():
    now = [0.0]
    limit = RateLimit(2, lambda: now[0])
    assert [limit.wait_s("a") > 0 for _ in range(3)] == [False, False, True] and limit.wait_s("b") == 0
    now[0] = 0.5
    assert [limit.wait_s("a") > 0 for _ in range(2)] == [False, True]
    assert not any(RateLimit(0).wait_s("a") for _ in range(1000))


def test_a_body_larger_than_the_budget_is_let_in_alone():
    budget = ByteBudget(10)
    assert budget.take(20) and not budget.take(1)
    budget.give_back(20)
    assert budget.take(5) and budget.take(5) and not budget.take(1)


class Stuck:
    """A recogniser that reads nothing until it is let."""

    def __init__(self, recognizer: Recognizer) -> None:
        self.engine, self.image, self.threads = recognizer.engine, recognizer.image, 1
        self.batches, self.let, self._read = recognizer.batches, threading.Event(), recognizer.read_fitted

    def read_fitted(self, lines: Any) -> Any:
        self.let.wait(20)
        return self._read(lines)


def test_a_full_queue_refuses_with_a_time_to_ask_again_and_loses_nobody_who_waits(recognizer):
    stuck = Stuck(recognizer)
    reader = LineReader(stuck, 3)  # type: ignore[arg-type]
    data = IMAGES[3].read_bytes()
    taken = [*reader.submit([("first", data)])]
    while reader.waiting:  # the thread has it
        pass
    taken += reader.submit([("a", data), ("b", data), ("c", data)])
    with pytest.raises(BusyError) as refused:
        reader.submit([("d", data)])
    assert refused.value.retry_s >= 1
    taken[2].cancel()
    stuck.let.set()
    assert [future.result(20).path for future in taken if not future.cancelled()] == ["first", "a", "c"]
    reader.stop()
    with pytest.raises(BusyError):
        reader.submit([("e", data)])


def test_a_fault_while_reading_reaches_the_caller(recognizer):
    stuck = Stuck(recognizer)
    stuck.read_fitted = lambda lines: 1 / 0  # type: ignore[method-assign]
    reader = LineReader(stuck, 3)  # type: ignore[arg-type]
    (future,) = reader.submit([("a", IMAGES[3].read_bytes())])
    with pytest.raises(ZeroDivisionError):
        future.result(20)
    reader.stop()


def test_the_document_describes_every_field_and_status_that_comes(server):
    document = server.ask("/openapi.json")
    answers = document["paths"]["/read"]["post"]["responses"]
    assert set(answers) == {"200", "400", "403", "408", "413", "422", "429", "503"}
    fields = document["components"]["schemas"]["Reading"]
    _, _, found = post(server, IMAGES[3].read_bytes())
    assert set(found) == set(fields["required"]) and set(found) <= set(fields["properties"])
    health = json.loads(server.fetch("/health", headers={})[2])
    assert set(health) == set(document["components"]["schemas"]["Health"]["properties"])
    assert server.fetch("/docs")[0] == server.fetch("/")[0] == 200 and server.fetch("/api/state")[0] == 404


def test_unknown_addresses_and_methods_are_told_of_as_all_problems(server):
    for path, data, status in (("/reed", b"x", 404), ("/read", None, 405), ("/health", b"x", 405)):
        found, headers, body = server.fetch(path, data)
        assert found == status and set(json.loads(body)) == {"problem", "fix"}, body
        assert status != 405 or headers["allow"]


def test_the_command_serves_with_the_token_of_the_environment_and_ends_well(tmp_path):
    with ProcessServer("serve", "--beam", 4, "--threads", 1, cwd=tmp_path, VOCR_TOKEN="mine") as server:
        assert server.token == "mine"
        status, _, body = server.fetch("/read", IMAGES[3].read_bytes())
        found = json.loads(body)
        assert status == 200 and found["alternatives"][0]["text"] == found["text"]
        assert "Read 1 lines" in server.stop()
