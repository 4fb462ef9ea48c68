"""Boxes of detectors made lines: joined, with their dot leaders, and drawn to their ink."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import FONTS
from drawn_pages import LINES, box_of_line, draw_page
from PIL import Image, ImageDraw, ImageFont

from vocr_cli.core.data.images.line_crop import crop_quad
from vocr_cli.core.pages.detectors.detector import PageImage, TextBox
from vocr_cli.core.pages.lines.join import found_lines


def quad(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], float)


def around(box: TextBox) -> tuple[float, ...]:
    return (*box.quad.min(axis=0), *box.quad.max(axis=0))


def boxes_on(page: Image.Image, *quads: np.ndarray) -> list[tuple[float, ...]]:
    image = PageImage("page", np.asarray(page))
    return [around(box) for box in found_lines(image, [TextBox(each) for each in quads]).boxes]


@pytest.mark.parametrize("degrees", [0.0, 2.0])
def test_the_dots_of_a_form_belong_to_their_label(degrees: float) -> None:
    page = draw_page([(60, 100, f"Họ và tên: {'.' * 70}")], (900, 300))
    box = box_of_line((60, 100, "Họ và tên:"))
    slope = np.tan(np.radians(degrees))
    page = page.rotate(-degrees, Image.Resampling.BICUBIC, center=(60, 120), fillcolor=255)
    down = np.array([0, (box[2] - 60) * slope])
    label = quad(*box) + np.array([0 * down, down, down, 0 * down])
    ((left, top, right, _),) = boxes_on(page, label)
    inked = np.flatnonzero((np.asarray(page) < 128).any(axis=0))
    assert abs(right - inked[-1]) < 12 and abs(left - box[0]) < 3 and abs(top - box[1]) < 8


def test_words_near_to_each_other_are_one_line_and_cells_of_a_table_are_not() -> None:
    page = draw_page([(60, 100, "Số lượng"), (230, 100, "Đơn giá")], (500, 300))
    first, second = (box_of_line(line) for line in [(60, 100, "Số lượng"), (230, 100, "Đơn giá")])
    near = quad(*second) - np.array([second[0] - first[2] - 12, 0])
    shifted = page.copy()
    shifted.paste(255, (first[2], 0, 500, 300))
    shifted.paste(page.crop((second[0], 90, second[2], 150)), (first[2] + 12, 90))
    assert len(boxes_on(shifted, quad(*first), near)) == 1
    ImageDraw.Draw(shifted).line((first[2] + 5, 60, first[2] + 5, 180), fill=0, width=2)
    assert len(boxes_on(shifted, quad(*first), near)) == 2
    assert len(boxes_on(page, quad(*first), quad(*second))) == 2


@pytest.mark.parametrize("cut", [4, 0, -10])
def test_stacked_marks_are_taken_in_and_neighbours_are_left_out(cut: int) -> None:
    """Boxes may cut off the hook of `ổ` or the dot of `ị`, or reach into the lines above and below."""
    lines = [(60, 60, "Nghị quyết"), (60, 112, "QUỐC TẾ Ổ ẾỀỘ họp"), (60, 164, "Ẩn dụ")]
    page = draw_page(lines, (500, 300))
    left, top, right, bottom = box_of_line(lines[1])
    alone = np.asarray(draw_page(lines[1:2], (500, 300)))
    rows = np.flatnonzero((alone < 128).any(axis=1))
    ((_, upper, _, lower),) = boxes_on(page, quad(left, top + 4 + cut, right, bottom - 4 - cut))
    assert rows[0] - 6 <= upper <= rows[0] + 1 and rows[-1] <= lower <= rows[-1] + 7


def test_rules_at_the_ends_of_a_cell_are_no_letters() -> None:
    page = draw_page([(60, 100, "214.500")], (500, 300))
    box = box_of_line((60, 100, "214.500"))
    pen = ImageDraw.Draw(page)
    for x in (box[0] - 1, box[2] + 1):
        pen.line((x, 60, x, 180), fill=0, width=2)
    ((left, _, right, _),) = boxes_on(page, quad(box[0] - 5, box[1], box[2] + 5, box[3]))
    assert left > box[0] - 1 and right < box[2] + 1 and right - left > 0.85 * (box[2] - box[0])


def test_light_letters_on_a_dark_ground_are_ink() -> None:
    page = Image.eval(draw_page(), lambda level: 255 - level)
    box = box_of_line(LINES[0])
    ((_, top, _, bottom),) = boxes_on(page, quad(box[0], box[1] + 5, box[2], box[3] - 5))
    assert top < box[1] + 5 and bottom > box[3] - 5


def test_nothing_found_is_nothing_joined() -> None:
    assert found_lines(PageImage("page", np.zeros((40, 40), np.uint8)), []).boxes == ()


@pytest.mark.parametrize("turn", [0.0, 3.0, 90.0, 180.0])
def test_a_turned_line_is_cut_out_upright(turn: float) -> None:
    font = ImageFont.truetype(str(FONTS / "BeVietnam-Regular.ttf"), 30)
    page = Image.new("L", (600, 600), 255)
    ImageDraw.Draw(page).text((300, 300), "Đường Nguyễn Huệ", font=font, fill=0, anchor="mm")
    upright = quad(150, 275, 450, 325)
    expected = np.asarray(page.crop((150, 275, 450, 325)), np.float32)
    turned = page.rotate(-turn, Image.Resampling.BICUBIC, fillcolor=255)
    angle = np.radians(turn)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    line = crop_quad(np.asarray(turned), (upright - 300) @ rotation.T + 300)
    assert line.shape == expected.shape
    assert np.abs(line - expected).mean() < (1 if turn % 90 == 0 else 8)
