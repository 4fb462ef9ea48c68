"""The HTML page about a set of readings."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from vocr_cli.core.evaluation.html_report import build_report, shrink
from vocr_cli.core.evaluation.metrics import score

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Checks that tags nest, and keeps the text of each tag."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.links = [], [], []

    def handle_starttag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append((self.open[-1] if self.open else "", data))

    def of(self, tag):
        return [data for where, data in self.text if where == tag]


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
    assert any("0.250" in text and "a.png" in text for text in page.of("header"))
    assert page.of("strong") == [f"{2 / 14:.2%}", f"{3 / 4:.2%}", "0.00%"]
    assert page.of("h1") == ["vi-small on set"]


def test_report_draws_how_many_lines_are_right_at_each_confidence():
    labels = ["a"] * 10
    scores = score(labels, ["a"] * 9 + ["b"], confidences=[0.85] * 10)
    page = parsed(build_report(scores, title="t"))
    assert page.of("b") == ["5.00%"]
    assert page.of("title")[1:] == ["confidence 85.0%, right 90.0%, 10 lines"]
    assert [cell.strip("%") for cell in page.of("td")[-3:]] == ["85.0", "90.0", "10"]
    for confidences in ([], [None] * 10, [96.0] * 10):  # none known, or in percent, as others write them
        unknown = score(labels, labels, confidences=confidences)
        assert unknown.reliability is None
        assert "<svg" not in build_report(unknown, title="t")


def test_report_needs_nothing_but_itself():
    image = shrink(Image.new("RGB", (300, 144), "white"))
    scores = score(["đ"], ["d"])
    html = build_report(scores, title="t", images=[image])
    links = parsed(html).links
    assert len(links) == 1 and links[0].startswith("data:image/jpeg;base64,")
    with Image.open(io.BytesIO(base64.b64decode(links[0].split(",")[1]))) as embedded:
        assert embedded.size == (150, 72)
    assert not re.search(r"https?://|url\(", html)


def test_report_shows_markup_in_texts_as_text():
    nasty = "<script>alert('&')</script>"
    scores = score([nasty], ['<img src="x">'], paths=["<b>.png"])
    page = parsed(build_report(scores, title=nasty, unread=[("<i>", "<u>")]))
    assert page.of("h1") == [nasty] and not page.of("script") and not page.links
    assert page.of("td")[-2:] == ["<i>", "<u>"]


def test_report_of_a_perfect_reading_lists_no_mistakes():
    page = parsed(build_report(score(["đúng"], ["đúng"]), title="t"))
    assert page.of("p") == ["Every line was read exactly."] and not page.of("article")


def test_report_refuses_images_that_belong_to_other_lines():
    with pytest.raises(ValueError):
        build_report(score(["a", "b"], ["x", "y"]), title="t", images=[None])
