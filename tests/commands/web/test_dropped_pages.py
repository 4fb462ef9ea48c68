"""`POST /read/page`: pages and PDFs are read as by `vocr read`, within limits, and what cannot be is told."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from drawn_pages import LINES, SIZE, draw_page
from PIL import Image
from web_server import LocalServer, ProcessServer

from vocr_cli.core.errors import DependencyError
from vocr_cli.core.inference.recognizer import Recognizer
from vocr_cli.core.pages.detectors.choice import choose_detector
from vocr_cli.core.web.reading import document_reader
from vocr_cli.core.web.reading.limits import ServeLimits
from vocr_cli.core.web.reading.line_reader import LineReader

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

TEXTS = [text for _, _, text in LINES]


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
    try:
        choose_detector()
    except DependencyError:
        pytest.skip("nothing that finds lines is installed")
    return local(recognizer)


def encoded(image: Image.Image, kind: str = "PNG", **more: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **more)
    return file.getvalue()


def post(server: LocalServer, body: bytes, query: str = "", kind: str = "image/png") -> tuple[int, Any]:
    headers = {"Authorization": "Bearer t", "Content-Type": kind, "Content-Length": str(len(body))}
    status, _, data = server.fetch(f"/read/page{query}", body, headers)
    return status, json.loads(data)


def test_a_page_is_read_with_boxes_around_its_lines(server):
    status, found = post(server, encoded(draw_page()), "?name=b%C3%A0i.png")
    (page,) = found["pages"]
    assert status == 200 and found["path"] == page["path"] == "bài.png"
    assert [line["text"] for line in page["lines"]] == TEXTS == page["text"].splitlines()
    assert (page["width_px"], page["height_px"]) == SIZE and "picture" not in page
    for (left, top, _), line in zip(LINES, page["lines"], strict=True):
        (x, y), *_ = line["corners"]
        assert abs(x - left) < 15 and abs(y - top) < 15


def test_each_page_of_a_file_of_several_comes_with_a_picture_where_that_is_asked_for(server):
    second = draw_page(LINES[:1])
    body = encoded(draw_page(), "TIFF", save_all=True, append_images=[second])
    status, found = post(server, body, "?pictures=1")
    first, last = found["pages"]
    assert status == 200 and [len(first["lines"]), len(last["lines"])] == [3, 1] and last["page"] == 2
    picture = Image.open(io.BytesIO(base64.b64decode(last["picture"])))
    assert picture.format == "JPEG" and picture.size == SIZE


def test_a_pdf_is_read(server):
    pytest.importorskip("pypdfium2")
    status, found = post(server, encoded(draw_page(), "PDF", resolution=100))
    assert status == 200 and found["pages"][0]["text"].splitlines() == TEXTS


def test_a_form_with_one_page_is_read_as_the_page_itself(server):
    head = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    part = head + encoded(draw_page(LINES[:1])) + b"\r\n"
    kind = "multipart/form-data; boundary=x"
    status, found = post(server, part + b"--x--\r\n", kind=kind)
    assert status == 200 and found["path"] == "a.png" and len(found["pages"][0]["lines"]) == 1
    assert post(server, part * 2 + b"--x--\r\n", kind=kind)[0] == 400


@pytest.mark.parametrize("body", [b"no image", b"%PDF-1.7", b"<svg/>", b"II*\0\x08\0\0\0"])
def test_what_is_no_page_is_refused_by_its_own_name_and_leaves_no_file(server, body, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    status, found = post(server, body, "?name=mine.bin")
    problem = found.get("error") or found["problem"]
    assert status in (422, 501) and "mine.bin" in problem and str(tmp_path) not in problem
    assert not os.listdir(tmp_path)


def test_limits_hold(recognizer, server):
    assert post(server, b"")[0] == 400
    small = local(recognizer, pages=1, page_pixels=SIZE[0] * SIZE[1])
    several = encoded(draw_page(), "TIFF", save_all=True, append_images=[draw_page()])
    assert "2 pages" in post(small, several)[1]["error"]
    assert "px" in post(small, encoded(Image.new("L", (SIZE[0] + 1, SIZE[1]))))[1]["error"]
    status, found = post(local(recognizer, documents=0), b"x")
    assert status == 503 and "Ask again" in found["fix"]


def test_a_full_disk_is_told(server, monkeypatch):
    def full(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    status, found = post(server, b"x", "?name=mine.png")
    assert status == 422 and "No space" in found["error"] and found["error"].startswith("mine.png")


def test_without_a_detector_the_answer_says_what_to_install(recognizer, monkeypatch):
    def none() -> str:
        raise DependencyError("Nothing that finds lines.", "pip install 'vocr-cli[pages]'")

    monkeypatch.setattr(document_reader, "choose_detector", none)
    status, found = post(local(recognizer), encoded(draw_page()))
    assert status == 501 and "vocr-cli[pages]" in found["fix"]


def test_the_document_describes_every_field_that_comes(server):
    schemas = server.ask("/openapi.json")["components"]["schemas"]
    _, found = post(server, encoded(draw_page()), "?pictures=1")
    (page,) = found["pages"]
    assert set(found) == set(schemas["Pages"]["properties"])
    assert set(schemas["Page"]["required"]) <= set(page) <= set(schemas["Page"]["properties"])
    assert set(page["lines"][0]) == set(schemas["Line"]["properties"])


def test_a_document_that_is_read_when_the_server_ends_is_told_so(tmp_path: Path, server: LocalServer) -> None:
    pytest.importorskip("pypdfium2", reason="extra pages is not installed")
    pages = [draw_page().convert("RGB") for _ in range(20)]
    pages[0].save(tmp_path / "many.pdf", save_all=True, append_images=pages[1:])
    with ProcessServer("serve", "--threads", "1", cwd=tmp_path) as serving, ThreadPoolExecutor(1) as caller:
        asked = caller.submit(serving.fetch, "/read/page", (tmp_path / "many.pdf").read_bytes())
        time.sleep(1)
        said = serving.stop(signal.SIGINT)
        status, _, body = asked.result(60)
    assert status in (200, 422, 503), body  # read, stopped between two pages, or cut off
    assert "Traceback" not in said and "still open" not in said, said
