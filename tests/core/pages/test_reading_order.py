"""In which order lines are read, and which make a paragraph."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vocr_cli.core.pages.order.arrange import arrange

SIZE = (1000, 1400)
H = 30

Box = tuple[int, int, int]
"""Left and right edge of a line, and its upper edge, px."""


def quads(boxes: list[Box], degrees: float = 0.0, drawn: float = 0.0) -> np.ndarray:
    """Quads of lines on a page that is turned clockwise, or of which the upper part is farther away."""
    corners = np.array([[(a, y), (b, y), (b, y + H), (a, y + H)] for a, b, y in boxes], float)
    centred = corners - np.array(SIZE) / 2
    centred[..., 0] *= 1 + drawn * centred[..., 1:2][..., 0] / SIZE[1]
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return np.asarray(centred @ turn.T + np.array(SIZE) / 2)


def order_of(boxes: list[Box], **how: float) -> list[int]:
    shuffled = np.random.default_rng(0).permutation(len(boxes))
    placed = arrange(quads([boxes[at] for at in shuffled], **how), SIZE)
    return [int(shuffled[place.index]) for place in placed]


def column(left: int, right: int, top: int, count: int) -> list[Box]:
    """Running text: lines that fill a column, the last one short."""
    lines = [(left, right, top + 44 * number) for number in range(count)]
    return [*lines[:-1], (left, (left + right) // 2, lines[-1][2])]


HEAD: list[Box] = [(120, 380, 60), (150, 350, 100), (140, 360, 160)]
MOTTO: list[Box] = [(480, 940, 60), (560, 860, 100), (540, 880, 160)]
HOWS = [{}, {"degrees": 2.0}, {"degrees": -2.0}, {"drawn": 0.15}, {"degrees": 1.0, "drawn": -0.1}]


@pytest.mark.parametrize("how", HOWS)
def test_two_columns_are_read_one_after_the_other(how: dict[str, float]) -> None:
    boxes = [(100, 800, 80), *column(100, 480, 180, 20), *column(520, 900, 180, 22)]
    assert order_of(boxes, **how) == list(range(len(boxes)))


@pytest.mark.parametrize("how", HOWS)
def test_the_two_blocks_at_the_head_of_a_decision_are_read_one_after_the_other(how: dict[str, float]) -> None:
    boxes = [*HEAD, *MOTTO, (420, 600, 240), *column(120, 900, 320, 8)]
    assert order_of(boxes, **how) == list(range(len(boxes)))


@pytest.mark.parametrize("how", HOWS)
def test_the_rows_of_a_table_are_read_from_left_to_right(how: dict[str, float]) -> None:
    dice = np.random.default_rng(1)
    boxes = []
    for row in range(14):
        top = 200 + 56 * row
        boxes += [(60, 90, top), (130, 130 + int(dice.integers(80, 300)), top)]
        boxes += [(520, 570, top), (700 - int(dice.integers(40, 110)), 700, top), (780, 900, top)]
    assert order_of(boxes, **how) == list(range(len(boxes)))


@pytest.mark.parametrize("degrees", [-4.0, -2.5, 2.5, 4.0])
def test_rows_of_short_cells_are_found_where_each_cell_seems_to_lie_level(degrees: float) -> None:
    """A detector sees no tilt in a box of a few letters: it draws steps of whole pixels."""
    boxes = [(x, x + 90, 200 + 52 * row) for row in range(20) for x in (30, 160, 640, 770, 900)]
    tilted = quads(boxes, degrees=degrees)
    level = tilted.mean(axis=1, keepdims=True) + (quads(boxes[:1]) - quads(boxes[:1]).mean(axis=1))
    placed = arrange(level, SIZE)
    assert [place.index for place in placed] == list(range(len(boxes)))
    assert [place.row for place in placed] == [at // 5 for at in range(len(boxes))]


def test_labels_and_sums_of_a_receipt_are_read_row_by_row() -> None:
    boxes = []
    for row in range(6):
        boxes += [(60, 200 + 20 * (row % 3), 300 + 44 * row), (840 - 10 * row, 940, 300 + 44 * row)]
    assert order_of(boxes) == list(range(len(boxes)))


def test_signature_and_recipients_at_the_foot_are_blocks_of_their_own() -> None:
    boxes = [
        *column(100, 900, 100, 6),
        *[(100, 220, 700), (100, 260, 738), (100, 250, 775)],
        *[(560, 860, 700), (600, 820, 744), (580, 840, 940)],
    ]
    assert order_of(boxes) == list(range(len(boxes)))


def test_a_page_on_its_side_is_read_as_one_that_stands() -> None:
    boxes = [*HEAD, *MOTTO, (420, 600, 240), *column(120, 900, 320, 8)]
    upright = quads(boxes)
    turned = np.stack([SIZE[1] - upright[..., 1], upright[..., 0]], axis=-1)  # by 90 degrees clockwise
    assert [place.index for place in arrange(turned, (SIZE[1], SIZE[0]))] == list(range(len(boxes)))


def test_paragraphs_begin_at_indents_gaps_and_after_short_lines() -> None:
    boxes = [
        *[(140, 900, 100), (100, 900, 144), (100, 600, 188)],  # an indent, and a short last line
        *[(100, 900, 232), (100, 880, 276)],
        *[(100, 900, 380), (100, 890, 424)],  # after a gap
    ]
    blocks = [place.block for place in arrange(quads(boxes), SIZE)]
    assert blocks == [0, 0, 0, 1, 1, 2, 2]


def test_nothing_on_a_page_has_no_order() -> None:
    assert arrange(np.zeros((0, 4, 2)), SIZE) == []
