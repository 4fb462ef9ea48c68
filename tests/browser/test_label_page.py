"""The labelling page in Chromium: labelling by keyboard over a kill, two tabs, hostile names, all widths."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import EXAMPLE_LINES, line_image
from drawn_pages import LINES, SIZE, draw_page
from web_server import ProcessServer

from vocr_cli.core.data.readers.labelled import load_labelled
from vocr_cli.core.errors import DependencyError
from vocr_cli.core.pages.detectors.choice import choose_detector

playwright = pytest.importorskip("playwright.sync_api")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


class Faults(list[str]):
    """What a page complains of: errors of its scripts, refused sources, failed requests."""


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Any]:
    """Opens the page of a server, in a window of its own; faults of its scripts fail the test."""
    faults, contexts = Faults(), []

    def opened(server: ProcessServer, path: str = "", **options: Any) -> Any:
        context = chromium.new_context(locale="en-GB", **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: faults.append(f"dialog: {dialog.message}"))
        page.on("console", lambda said: faults.append(said.text) if "Refused to" in said.text else None)
        page.goto(server.url)
        if path:
            page.goto(server.base + path)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not faults


def lines(folder: Path, count: int) -> Path:
    folder.mkdir()
    for index in range(count):
        line_image(index).save(folder / f"{index:02}.png")
    return folder


def start(folder: Path, *words: str) -> ProcessServer:
    return ProcessServer("label", "in", "--out", "out.tsv", "--model", "none", *words, cwd=folder)


def name_of(page: Any) -> str:
    """The name of the line that is shown."""
    return str(page.locator("#facts").inner_text()).partition(" · ")[0]


def accept(page: Any, text: str) -> str:
    """Types a label and presses Enter; the name of the line, when the next is there."""
    name = name_of(page)
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(text)
    page.keyboard.press("Enter")
    page.wait_for_function(
        "name => document.getElementById('work').hidden || "
        "!document.getElementById('facts').textContent.startsWith(name)",
        arg=name,
    )
    return name


def shown(page: Any) -> Any:
    page.wait_for_selector("#work:not([hidden])")
    return page


def labels(folder: Path) -> dict[str, str]:
    found = load_labelled(folder / "out.tsv")
    assert not found.bad and not found.duplicates
    return {line.name: line.label for line in found.lines}


def test_thirty_lines_by_keyboard_with_a_kill_at_a_random_decision(tmp_path, open_page):
    lines(tmp_path / "in", 30)
    texts: dict[str, str] = {}
    stop_after = random.Random(0).randrange(3, 27)
    with start(tmp_path) as server:
        page = shown(open_page(server))
        for number in range(stop_after):
            texts[accept(page, f"Đường số {number}")] = f"Đường số {number}"
        interrupted = name_of(page)
        server.kill()
        page.keyboard.insert_text("chưa gửi được")
        page.keyboard.press("Enter")
        page.wait_for_selector("#banner:not([hidden])")
        assert (
            "does not answer" in page.inner_text("#banner") and page.input_value("#text") == "chưa gửi được"
        )
        assert name_of(page) == interrupted
    with start(tmp_path) as server:
        page = shown(open_page(server))
        for number in range(stop_after, 30):
            name = accept(page, f"Đường số {number}")
            assert name not in texts
            texts[name] = f"Đường số {number}"
        page.wait_for_selector("#done:not([hidden])")
        server.stop()
    assert labels(tmp_path) == texts and len(texts) == 30
    assert len((tmp_path / "out.journal.jsonl").read_text("utf-8").splitlines()) == 30


def test_every_key_does_what_its_button_says(tmp_path, open_page):
    lines(tmp_path / "in", 6)
    with start(tmp_path) as server:
        page = shown(open_page(server))
        assert name_of(page) == "in/00.png"
        for key, name in (
            ("Alt+u", "in/01.png"),
            ("Alt+n", "in/02.png"),
            ("PageDown", "in/03.png"),
            ("PageUp", "in/02.png"),
        ):
            page.keyboard.press(key)
            page.wait_for_function(
                "name => document.getElementById('facts').textContent.startsWith(name)", arg=name
            )
        page.keyboard.press("Alt+z")
        assert page.get_attribute("#image", "data-zoom") == "1.5"
        page.keyboard.press("Alt+r")
        assert page.get_attribute("#rotate", "aria-pressed") == "true"
        accept(page, "hai")
        page.keyboard.press("Alt+h")
        assert page.locator("#help").is_visible() and "Alt+U" in page.inner_text("#help-rows")
        page.keyboard.press("Escape")
        page.keyboard.press("PageUp")
        page.wait_for_function("() => document.getElementById('facts').textContent.startsWith('in/02.png')")
        assert page.input_value("#text") == "hai"
        page.keyboard.press("Alt+k")
        page.wait_for_function("() => !document.getElementById('facts').textContent.startsWith('in/02.png')")
        server.stop()
    verdicts = [
        row.split("\t")[:2] for row in (tmp_path / "out.changes.tsv").read_text("utf-8").splitlines()[1:]
    ]
    assert verdicts == [["in/00.png", "unreadable"], ["in/01.png", "not-a-line"], ["in/02.png", "undecided"]]


def test_the_later_of_two_tabs_is_told_and_may_keep_or_replace(tmp_path, open_page):
    lines(tmp_path / "in", 3)
    with start(tmp_path) as server:
        first, second = shown(open_page(server)), open_page(server)
        second.goto(f"{server.base}/#line=0")
        second.reload()
        shown(second)
        assert name_of(first) == name_of(second) == "in/00.png"
        accept(first, "một")
        second.keyboard.press("Control+A")
        second.keyboard.insert_text("MỘT")
        second.keyboard.press("Enter")
        second.wait_for_selector("#banner button")
        assert "một" in second.inner_text("#banner") and second.input_value("#text") == "MỘT"
        second.click("#banner button:nth-of-type(2)")
        second.locator("#status", has_text="Saved.").wait_for()
        server.stop()
    assert labels(tmp_path) == {"in/00.png": "MỘT"}


def test_names_and_labels_that_look_like_html_are_only_text(tmp_path, open_page):
    folder = lines(tmp_path / "in", 1)
    hostile = '"><img src=x onerror=alert(1)><script>alert(2)<'
    (folder / "00.png").rename(folder / f"{hostile}.png")
    (folder / "labels.tsv").write_text(f"{hostile}.png\t{hostile}/script>\n", encoding="utf-8")
    with start(tmp_path, "--by", "<b>Hà</b>") as server:
        page = shown(open_page(server))
        assert name_of(page) == f"in/{hostile}.png" and page.input_value("#text") == f"{hostile}/script>"
        page.click("#list-open")
        page.wait_for_selector("#rows button")
        assert hostile in page.inner_text("#rows")
        page.focus("#text")
        accept(page, f"{hostile}/b>")
        page.goto(f"{server.base}/#line=0")
        page.reload()
        shown(page)
        assert page.locator("img").count() == 1 and page.locator("main script, main b").count() == 0
        server.stop()
    assert labels(tmp_path) == {f"in/{hostile}.png": f"{hostile}/b>"}


def test_marks_are_put_on_the_letter_before_the_cursor(tmp_path, open_page):
    lines(tmp_path / "in", 1)
    with start(tmp_path) as server:
        page = shown(open_page(server))
        for typed, buttons, text in (
            ("Nguyen", ["â", "ã"], "Nguyễn"), ("d", ["đ"], "đ"), ("Đ", ["đ"], "D"), ("huong", ["ơ"], "hương"),
            ("THUO", ["ơ", "ơ", "ả"], "THUỞ"), ("quo", ["ơ"], "quơ"),
            ("ă", ["á", "à", "à"], "ă"), ("ệ", ["a"], "e"), ("123", ["á"], "123"),
        ):  # fmt: skip
            page.fill("#text", typed)
            for button in buttons:
                page.locator("#marks button", has_text=button).first.click()
            assert page.input_value("#text") == text, typed
        server.kill()


def test_enter_within_a_word_of_an_input_method_does_not_accept(tmp_path, open_page):
    lines(tmp_path / "in", 2)
    with start(tmp_path) as server:
        page = shown(open_page(server))
        page.evaluate(
            "document.getElementById('text').dispatchEvent(new KeyboardEvent('keydown', "
            "{ key: 'Enter', bubbles: true, isComposing: true }))"
        )
        page.wait_for_timeout(300)
        assert name_of(page) == "in/00.png" and server.ask("/api/state")["text"] == 0
        server.kill()


def start_reading(folder: Path) -> ProcessServer:
    """A server whose model reads two of the example lines, of which 17.png is the more doubtful."""
    (folder / "in").mkdir()
    for name in ("17.png", "03.png"):
        shutil.copy(EXAMPLE_LINES / "images" / name, folder / "in")
    return ProcessServer("label", "in", "--out", "out.tsv", cwd=folder)


def test_doubtful_characters_and_alternatives_come_from_the_model(tmp_path, open_page):
    with start_reading(tmp_path) as server:
        page = shown(open_page(server))
        page.wait_for_function("() => document.getElementById('text').value.length > 10")
        page.select_option("#order", "confidence")
        page.wait_for_function("() => document.getElementById('facts').textContent.startsWith('in/17.png')")
        assert page.locator("#reading mark").count() > 3
        reading = page.input_value("#text")
        page.keyboard.press("Alt+j")
        assert page.evaluate("document.getElementById('text').selectionEnd") > 0
        page.focus("#text")
        page.keyboard.press("ArrowDown")
        page.wait_for_selector("#alternatives:not([hidden]) li:nth-of-type(2)")
        assert page.input_value("#text") != reading
        page.keyboard.press("ArrowUp")
        assert page.input_value("#text") == reading
        page.fill("#search", "tong cong")
        page.wait_for_function("() => document.getElementById('facts').textContent.startsWith('in/03.png')")
        server.kill()


def test_keys_do_nothing_while_no_line_is_shown(tmp_path, open_page):
    with start_reading(tmp_path) as server:
        page = shown(open_page(server))
        page.wait_for_function("() => document.getElementById('text').value.length > 10")
        held: list = []
        page.route("**/api/next", lambda route: route.continue_() if held is None else held.append(route))
        page.select_option("#order", "confidence")
        page.wait_for_function("() => !document.getElementById('facts').textContent")
        for key in ("Alt+j", "Alt+k", "Alt+r", "Alt+z", "ArrowDown"):
            page.keyboard.press(key)
        page.focus("#text")
        page.keyboard.press("ArrowDown")
        while not held:
            page.wait_for_timeout(20)
        waiting, held = held, None
        for route in waiting:
            route.continue_()
        page.wait_for_function("() => document.getElementById('facts').textContent.startsWith('in/17.png')")
        server.kill()


def test_a_dropped_image_is_read(tmp_path, open_page):
    lines(tmp_path / "in", 1)
    with ProcessServer("label", "in", "--out", "out.tsv", cwd=tmp_path) as server:
        page = open_page(server, "/try")
        page.set_input_files("#file", [str(EXAMPLE_LINES / "images" / "03.png"), __file__])
        page.wait_for_function("() => document.querySelectorAll('.result').length === 2")
        page.wait_for_selector(".result.problem")
        assert "TỔNG CỘNG: 1.285.000 VND" in page.inner_text("#results")
        server.kill()


def test_a_dropped_page_is_shown_with_its_lines_and_boxes(tmp_path, open_page):
    try:
        choose_detector()
    except DependencyError:
        pytest.skip("nothing that finds lines is installed")
    lines(tmp_path / "in", 1)
    draw_page().save(tmp_path / "page.png")
    draw_page().save(tmp_path / "<b>page.tif")  # which Chromium cannot draw
    with ProcessServer("label", "in", "--out", "out.tsv", cwd=tmp_path) as server:
        page = open_page(server, "/try")
        page.set_input_files("#file", [str(tmp_path / "page.png"), str(tmp_path / "<b>page.tif")])
        page.wait_for_function("() => document.querySelectorAll('.page').length === 2")
        page.wait_for_function(
            "() => [...document.querySelectorAll('.page img')].every((one) => one.complete)"
        )
        for sheet in page.locator(".page").all():
            assert [row.inner_text() for row in sheet.locator("li").all()] == [text for *_, text in LINES]
            assert sheet.locator("polygon").count() == len(LINES)
            assert sheet.locator("img").evaluate("image => image.naturalWidth") == SIZE[0]
        page.locator(".page li").first.focus()
        assert page.locator(".page polygon").first.get_attribute("class") == "on"
        page.locator(".page polygon").nth(1).click()
        assert page.evaluate("document.activeElement.textContent") == LINES[1][2]
        page.set_input_files("#file", str(EXAMPLE_LINES / "images" / "03.png"))
        page.locator(".result button", has_text="Read as a page").click()
        page.wait_for_function("() => document.querySelectorAll('.page').length === 3")
        server.kill()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280, 1920])
def test_text_has_contrast_and_nothing_is_wider_than_the_window(chromium, tmp_path, open_page, width, scheme):
    lines(tmp_path / "in", 2)
    with start(tmp_path) as server:
        window = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
        for path in ("", "/run", "/try", "/docs"):
            page = open_page(server, path, **window)
            page.wait_for_selector("main :visible")
            page.wait_for_timeout(400)
            if not path:
                page.click("#list-open")
                page.wait_for_selector("#rows button")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            faint = page.evaluate(CONTRAST)
            assert not faint, (path, faint)
        server.kill()


CONTRAST = """() => {
  const parse = (colour) => (colour.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => {
    const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [x, y, z] = [r, g, b].map((v) => linear(v / 255));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length && colour[3] !== 0) return colour;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const one of document.querySelectorAll('body *')) {
    const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || one.offsetParent === null || one.disabled) continue;
    const pair = [light(parse(getComputedStyle(one).color)), light(ground(one))].sort((a, b) => b - a);
    const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
    if (ratio < 4.5) faint.push([one.tagName, one.textContent.trim().slice(0, 30), ratio]);
  }
  return faint;
}"""
"""Elements whose own text has less than WCAG's contrast of 4.5 : 1 with what is behind it."""
