"""Which lines are read together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vocr_cli.core.inference.engines.batches import batches_of_one_width, merged_batches

widths_of_lines = st.lists(st.integers(1, 64).map(lambda tens: 10 * tens), max_size=60)


@given(widths=widths_of_lines, columns=st.integers(1, 3000), at_once=st.integers(1, 8))
def test_every_line_is_in_one_batch_within_the_budget(widths: list[int], columns: int, at_once: int) -> None:
    for batches in (batches_of_one_width(widths, columns), merged_batches(widths, columns, at_once)):
        assert sorted(place for batch in batches for place in batch) == list(range(len(widths)))
        for batch in batches:
            assert len(batch) == 1 or len(batch) * max(widths[place] for place in batch) <= columns
    assert all(
        len({widths[place] for place in batch}) == 1 for batch in batches_of_one_width(widths, columns)
    )


@given(widths=widths_of_lines, columns=st.integers(700, 3000), at_once=st.integers(1, 8))
def test_merged_batches_keep_neighbours_together(widths: list[int], columns: int, at_once: int) -> None:
    batches = merged_batches(widths, columns, at_once)
    ordered = [widths[place] for batch in batches for place in batch]
    assert ordered == sorted(widths)


def test_equal_lines_are_shared_out_evenly_among_those_who_read() -> None:
    assert sorted(map(len, merged_batches([100] * 12, 1000, 4))) == [3, 3, 3, 3]
    assert list(map(len, merged_batches([100] * 12, 1000, 1))) == [6, 6]
    assert list(map(len, merged_batches([100] * 3, 1000, 8))) == [1, 1, 1]


def test_one_wide_line_does_not_split_the_narrow_ones_singly() -> None:
    assert len(merged_batches([30] * 20 + [500], 500, 1)) <= 6
