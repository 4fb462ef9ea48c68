"""The HTML report of 10,000 lines in a browser: Debian's Chromium, steered by Playwright."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import line_image
from typer.testing import CliRunner

from vocr_cli import __version__
from vocr_cli.app import app

playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra `browser`")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]

COUNT = 10_000
HOSTILE, HOSTILE_READING = "</script><img src=x onerror=window.hacked=1>", "<!-- <script>window.hacked=1//"
LONG, NEEDLE = "dài" * 400, "Kim tuyến đáy bể"
"""A label of one long word, and one that stands in a single line."""


def line(index: int) -> tuple[str, str | None, float]:
    """Label, reading and confidence of a line."""
    special = {
        11: (HOSTILE, HOSTILE_READING, 0.5),
        12: (LONG, "dài", 0.125),
        13: ("một dòng không đọc được", None, 0.0),
        9_876: (NEEDLE, "kim tuyên đay bê", 0.75),
        9_877: ("số khác", "sô khác", 0.875),
    }
    if index in special:
        return special[index]
    label = f"dòng số {index}"
    reading = label.replace("số", "sổ") if index % 100 == 0 else label
    reading = reading.replace("dòng", "dong") if index % 200 == 0 else reading
    return label, reading, (index % 1000) / 1000


LINES = [line(index) for index in range(COUNT)]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page, made by the command."""
    folder = tmp_path_factory.mktemp("report")
    labels = [f"images/{index}.png\t{label}\n" for index, (label, _, _) in enumerate(LINES)]
    readings = [
        f"images/{index}.png\t{reading}\t{confidence}\n"
        for index, (_, reading, confidence) in enumerate(LINES)
        if reading is not None
    ]
    (folder / "images").mkdir()
    for index in (11, 100):  # one among the worst lines, and one that is not
        line_image(index, width=900).save(folder / "images" / f"{index}.png")
    (folder / "labels.tsv").write_text("".join(labels), encoding="utf-8")
    (folder / "readings.tsv").write_text("".join(readings), encoding="utf-8")
    page = folder / "page.html"
    options = ["--readings", str(folder / "readings.tsv"), "--report", str(page)]
    assert CliRunner().invoke(app, ["eval", str(folder), *options]).exit_code == 3
    return page


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


class Report:
    """The page as its reader sees it."""

    def __init__(self, browser: playwright.Browser, file: Path, **settings: object) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **settings})
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        began = time.monotonic()
        self.page.goto(file.as_uri())
        self.open_s = time.monotonic() - began

    @property
    def count(self) -> str:
        return self.page.locator("output").inner_text()

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Looks again and again; the page's policy lets Playwright run no code there that does."""
        for _ in range(200):
            if condition():
                return
            self.page.wait_for_timeout(50)
        raise AssertionError("It did not come about.")

    def drawn(self) -> list[int]:
        """The places in the list of the lines that are in the document."""
        articles = self.page.locator("#list article")
        return articles.evaluate_all("all => all.map((each) => Number(each.dataset.position))")

    def field(self, name: str) -> playwright.Locator:
        return self.page.locator(f"form [name={name}]")

    def first(self, lines: int = 20) -> list[int]:
        """The indices of the first lines listed."""
        self.page.locator("#lines h2").scroll_into_view_if_needed()
        articles = self.page.locator("#list article")
        articles.first.wait_for()
        indices = articles.evaluate_all("all => all.map((each) => Number(each.dataset.index))")
        return indices[:lines]


@pytest.fixture
def shown(browser: playwright.Browser, report: Path) -> Iterator[Report]:
    shown = Report(browser, report)
    yield shown
    assert not shown.complaints
    assert not [url for url in shown.requests if not url.startswith(("file:", "data:"))]
    assert sum(url.startswith("file:") for url in shown.requests) == 1
    shown.context.close()


def distances() -> list[int]:
    from vocr_cli.core.evaluation.line_scores import count_line

    return [count_line(label, reading or "").edits for label, reading, _ in LINES]


def test_ten_thousand_lines_open_at_once_and_few_of_them_are_drawn(shown: Report) -> None:
    print(f"opened in {shown.open_s:.2f} s")
    assert shown.count == "10,000 lines"
    assert 0 < shown.page.locator("article").count() < 200
    facts = shown.page.locator("dl").inner_text()
    assert "10,000" in facts and __version__ in facts and "readings.tsv" in facts
    assert "95 % interval" in shown.page.locator("header").first.inner_text()


def test_lines_are_sorted_either_way_by_each_measure(shown: Report) -> None:
    edits = distances()
    keys = {
        "edits": lambda index: edits[index],
        "cer": lambda index: edits[index] / len(LINES[index][0]),
        "confidence": lambda index: LINES[index][2],
        "length": lambda index: len(LINES[index][0]),
        "order": lambda index: index,
    }
    known = {name: range(COUNT) for name in keys}
    known["confidence"] = [index for index in range(COUNT) if index != 13]  # that line has none: it is last
    for name, key in keys.items():
        shown.field("sort").select_option(name)
        rising = name in ("confidence", "order")
        assert shown.first() == sorted(known[name], key=key, reverse=not rising)[:20], name
        shown.field("direction").click()
        assert shown.first() == sorted(known[name], key=key, reverse=rising)[:20], name
    assert shown.count == "10,000 lines"


def test_filters_choose_by_kind_flag_and_confidence_together(shown: Report) -> None:
    toned = [index for index in range(0, COUNT, 100)]
    shown.field("kind").select_option("wrong")
    assert shown.count == f"{len(toned) + 5} of 10,000 lines"
    shown.field("kind").select_option("right")
    assert shown.count == f"{COUNT - len(toned) - 5:,} of 10,000 lines"
    shown.field("kind").select_option("tone")
    shown.field("sort").select_option("order")
    assert shown.count == f"{len(toned) + 2} of 10,000 lines" and shown.first() == toned[:20]
    shown.field("low").fill("0.35")
    shown.field("high").fill("0.5")
    assert shown.first() == [index for index in toned if 350 <= index % 1000 < 500]
    shown.field("clear").click()
    assert shown.count == "10,000 lines" and shown.first(1) == [12]
    shown.field("flag").select_option(label="unread (1)")
    assert shown.count == "1 of 10,000 lines" and shown.first() == [13]


def test_search_goes_through_all_labels_readings_and_names(shown: Report) -> None:
    for text, plain, found in (
        ("kim TUYẾN", False, [9_876]),
        ("kim tuyên", False, [9_876]),  # of the reading
        ("kim tuyen day be", False, []),
        ("kim tuyen day be", True, [9_876]),
        ("images/4321.png", False, [4_321]),
        ("<!-- <script", False, [11]),
    ):
        shown.field("plain").set_checked(plain)
        shown.field("text").fill(text)
        expected = f"{len(found)} of 10,000 lines"
        assert shown.count == expected, text
        assert not found or shown.first() == found


def test_a_confusion_a_kind_and_an_interval_lead_to_their_lines(shown: Report) -> None:
    shown.page.get_by_role("button", name="ố→ổ").click()
    assert shown.count == "100 of 10,000 lines" and shown.first(3) == [0, 200, 400]
    assert shown.page.locator("article").first.locator("del").all_inner_texts() == ["ò", "ố"]
    assert shown.page.locator("#lines h2").evaluate("heading => heading.getBoundingClientRect().top < 200")
    shown.field("confusion").click()
    assert shown.count == "10,000 lines"
    shown.page.locator("td").get_by_role("button", name="tone", exact=True).click()
    assert shown.count == "102 of 10,000 lines" and shown.field("kind").input_value() == "tone"
    shown.page.get_by_role("button", name="90 to 100 %").click()
    assert shown.count == "1,000 of 10,000 lines" and shown.field("kind").input_value() == ""


def test_keys_lead_to_the_next_the_last_and_the_first_line(shown: Report) -> None:
    page = shown.page
    page.keyboard.press("/")
    page.keyboard.type("dòng")
    listed = COUNT - 4  # `một dòng` is one more
    assert shown.count == f"{listed:,} of 10,000 lines"
    page.locator("article").first.focus()
    for key, position in (("ArrowDown", 2), ("j", 3), ("k", 2), ("End", listed), ("ArrowUp", listed - 1)):
        page.keyboard.press(key)
        focused = page.locator("article:focus")
        assert focused.get_attribute("aria-posinset") == str(position)
        assert focused.get_attribute("aria-setsize") == str(listed)
    playwright.expect(page.locator("article:focus")).to_be_in_viewport()
    page.keyboard.press("Home")
    playwright.expect(page.locator("article:focus")).to_be_in_viewport()


IN_SIGHT = """Array.from(document.querySelectorAll("article")).some((each) => {
  const box = each.getBoundingClientRect();
  return box.bottom > 300 && box.top < 600;
})"""


def test_lines_are_drawn_where_the_reader_scrolls_and_let_go_behind(shown: Report) -> None:
    seen: set[int] = set()
    for _ in range(12):
        shown.page.evaluate("window.scrollBy(0, 5000)")
        shown.wait_until(lambda: shown.page.evaluate(IN_SIGHT))
        seen.update(shown.drawn())
    assert len(seen) > 400
    shown.wait_until(lambda: len(shown.drawn()) < 200)


def test_images_stand_beside_their_lines_wherever_these_are_sorted(shown: Report) -> None:
    for text in ("onerror", "images/100.png"):
        shown.field("text").fill(text)
        image = shown.page.locator("article img")
        image.scroll_into_view_if_needed()
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth > 100)")
    shown.field("text").fill("images/101.png")
    assert shown.first() == [101] and shown.page.locator("article img").count() == 0


def test_markup_in_labels_readings_and_names_stays_text(shown: Report) -> None:
    shown.field("text").fill("onerror")
    texts = shown.page.locator("article .text")
    assert [text.replace("∅", "").replace("␣", " ") for text in texts.all_inner_texts()] == [
        HOSTILE,
        HOSTILE_READING,
    ]
    assert shown.page.evaluate("window.hacked") is None
    assert shown.page.locator("script").count() == 2 and shown.page.locator("img[src=x]").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_no_width_needs_scrolling_sideways_in_either_scheme(
    browser: playwright.Browser, report: Path, width: int, scheme: str
) -> None:
    shown = Report(browser, report, viewport={"width": width, "height": 850}, color_scheme=scheme)
    shown.page.locator("summary").click()
    assert shown.first(2) == [12, 11]  # the long word, and an image wider than the screen
    assert shown.page.evaluate("document.documentElement.scrollWidth") == width
    ground = shown.page.evaluate("getComputedStyle(document.body).backgroundColor")
    red = int(ground.removeprefix("rgb(").split(",")[0])
    assert red > 200 if scheme == "light" else red < 60
    shown.context.close()


def test_without_scripts_the_worst_lines_are_there(browser: playwright.Browser, report: Path) -> None:
    shown = Report(browser, report, java_script_enabled=False)
    assert shown.first(3) == [12, 11, 13] and not shown.page.locator("form").is_visible()
    assert "need JavaScript" in shown.page.locator("noscript").inner_text()
    shown.context.close()
