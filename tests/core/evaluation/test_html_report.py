"""The HTML page about a set of readings, as it is written; `test_report_in_browser.py` has it read."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from vocr_cli.core.evaluation.html_report import build_report
from vocr_cli.core.evaluation.line_scores import score_lines
from vocr_cli.core.evaluation.metrics import score, summarise
from vocr_cli.core.evaluation.report import line_data
from vocr_cli.core.evaluation.report.images import pictured_lines, shrink

VOID = {"meta", "img", "br", "input"}


class Page(HTMLParser):
    """Checks that tags nest, and keeps the text of each tag."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.links, self.policy = [], [], [], ""

    def handle_starttag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if dict(attrs).get("http-equiv") == "Content-Security-Policy":
            self.policy = dict(attrs)["content"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append((self.open[-1] if self.open else "", data))

    def of(self, tag):
        return [data for where, data in self.text if where == tag]

    @property
    def lines(self):
        """The data of the lines, and the script that shows them."""
        data, script = self.of("script")
        return json.loads(data), script


def parsed(html):
    page = Page()
    page.feed(html)
    page.close()
    assert not page.open
    return page


def test_report_marks_the_characters_that_differ():
    scores = score(
        ["Nguyễn Huệ", "số 1"], ["Nguyên Huệ", "số1"], paths=["a.png", "b.png"], confidences=[0.25, None]
    )
    page = parsed(build_report(scores, title="vi-small on set", facts=[("data", "set")]))
    assert page.of("del") == ["ễ", "␣"] and page.of("ins") == ["ê", "∅"]
    assert any("0.250" in text for text in page.of("header")) and "a.png" in page.of("span")
    assert page.of("strong") == [f"{2 / 14:.2%}", f"{3 / 4:.2%}", "0.00%"]
    assert page.of("h1") == ["vi-small on set"]


def test_report_holds_every_line_with_what_it_is_chosen_by():
    lines = score_lines(
        ["phở bò 𝄞", "đúng", "số 1"],
        ["pho bò x𝄞", "đúng", ""],
        paths=["a.png", "b.png", "c.png"],
        confidences=[0.5, 0.98765432, None],
        flags=[("crowded",), (), ("unread",)],
    )
    data, _ = parsed(build_report(summarise(lines), title="t", lines=lines)).lines
    assert data["paths"] == ["a.png", "b.png", "c.png"] and data["labels"] == ["phở bò 𝄞", "đúng", "số 1"]
    assert data["readings"] == ["pho bò x𝄞", None, ""] and data["edits"] == [2, 0, 4]
    assert data["confidences"] == [0.5, 0.987654, None]
    assert data["flags"] == ["crowded", "unread"] and data["marks"] == [1, 0, 2]
    assert data["spans"] == [[2, 3, 2, 3, 7, 7, 7, 8], [], [0, 4, 0, 0]]  # code points: 𝄞 is one
    kinds = [
        {name for bit, name in enumerate(data["edit_classes"]) if kinds >> bit & 1} for kinds in data["kinds"]
    ]
    assert kinds == [{"mark and tone", "extra letter"}, set(), {"missing letter", "space", "digit"}]


def test_report_draws_how_many_lines_are_right_at_each_confidence():
    labels = ["a"] * 1500
    scores = score(labels, ["a"] * 1350 + ["b"] * 150, confidences=[0.85] * 1500)
    page = parsed(build_report(scores, title="t"))
    assert page.of("b") == ["5.00%"]
    assert page.of("title")[1:] == ["confidence 85.0%, right 90.0%, 1,500 lines", "1,500 lines, 150 wrong"]
    assert page.of("td")[-4:] == ["80 to 90 %", "85.0%", "90.0%", "1,500"]
    assert "1.5k" in page.of("text")
    for confidences in ([], [None] * 1500, [96.0] * 1500):  # none known, or in percent, as others write them
        unknown = score(labels, labels, confidences=confidences)
        assert unknown.reliability is None
        assert "<svg" not in build_report(unknown, title="t")


def test_a_confidence_at_the_edge_of_an_interval_is_drawn_where_it_is_counted():
    for tenths in range(11):
        scores = score(["a"] * 7, ["a"] * 7, confidences=[tenths / 10] * 7)
        low = min(tenths, 9) * 10
        assert f"{low} to {low + 10} %" in parsed(build_report(scores, title="t")).of("td")


def test_report_needs_nothing_but_itself():
    image = shrink(Image.new("RGB", (300, 144), "white"))
    scores = score(["đ"], ["d"])
    html = build_report(scores, title="t", images={0: image})
    page = parsed(html)
    assert len(page.links) == 1 and page.links[0].startswith("data:image/jpeg;base64,")
    with Image.open(io.BytesIO(base64.b64decode(page.links[0].split(",")[1]))) as embedded:
        assert embedded.size == (150, 72)
    assert not re.search(r"https?://|url\(|@import|fetch\(", html)
    digest = base64.b64encode(hashlib.sha256(page.lines[1].encode()).digest()).decode()
    assert "default-src 'none'" in page.policy and f"script-src 'sha256-{digest}'" in page.policy


def test_images_of_lines_that_are_not_among_the_worst_lie_in_the_data():
    image = shrink(Image.new("L", (30, 20), 255))
    lines = score_lines(["a", "b"], ["x", "b"])
    page = parsed(build_report(summarise(lines), title="t", lines=lines, images={0: image, 1: image}))
    assert len(page.links) == 1 and list(page.lines[0]["images"]) == ["1"]


def test_report_shows_markup_in_texts_as_text():
    nasty = "</script><script>alert('&')</script>"
    lines = score_lines([nasty], ['<img src="x"><!--'], paths=["<b>.png"], flags=[("<s>",)])
    page = parsed(build_report(summarise(lines), title=nasty, lines=lines, unread=[("<i>", "<u>")]))
    assert page.of("h1") == [nasty] and not page.links
    assert page.of("td")[-2:] == ["<i>", "<u>"]
    data, script = page.lines
    assert data["labels"] == [nasty] and data["paths"] == ["<b>.png"] and "alert" not in script


def test_report_of_a_perfect_reading_lists_no_mistakes():
    page = parsed(build_report(score(["đúng"], ["đúng"]), title="t"))
    assert "Every line was read exactly." in page.of("p") and not page.of("article")


def test_images_go_to_lines_that_are_worst_by_edits_by_rate_and_by_confidence():
    labels = ["a" * 40, "bb", "cccc", "d", "e"]
    lines = score_lines(labels, ["a" * 30, "x", "ccc", "d", "e"], confidences=[0.9, 0.8, 0.7, 0.2, 1.0])
    assert [line.index for line in pictured_lines(lines, 3)] == [0, 1, 3]  # 10 edits; 100 %; the least sure
    assert [line.index for line in pictured_lines(lines)] == [0, 1, 3, 2, 4]


def test_a_page_of_too_many_lines_keeps_the_worst_and_says_so(monkeypatch):
    monkeypatch.setattr(line_data, "MOST_LINES", 3)
    lines = score_lines(["a", "bb", "c", "dd", "e"], ["a", "x", "c", "d", "e"])
    page = build_report(summarise(lines), title="t", lines=lines)
    assert parsed(page).lines[0]["index"] == [0, 1, 3] and "--lines FILE" in page
    assert "--lines" not in build_report(summarise(lines[:3]), title="t", lines=lines[:3])


@pytest.mark.parametrize("path", ["thư mục/ảnh \udcff.png", 'a"b\\c.png', "a\tb\n.png"])
def test_names_of_any_kind_are_kept_as_far_as_they_are_text(path):
    lines = score_lines(["a"], ["b"], paths=[path])
    page = build_report(summarise(lines), title="t", lines=lines)
    assert parsed(page).lines[0]["paths"] == [path.replace("\udcff", "\ufffd")]
    page.encode("utf-8")
