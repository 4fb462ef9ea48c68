"""Progress off a terminal, under a clock that the test turns, and tables at 80 columns."""

from __future__ import annotations

import pytest
from rich.console import Console

from vocr_cli.core.errors import DataError
from vocr_cli.terminal import console
from vocr_cli.terminal.result_table import result_table


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_speed_leaves_out_start_up_and_what_was_done_before(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with console.progress("Building", 5_000) as counter:
        clock[0] += 60  # until the first
        counter.advance(1_000)  # found done by a resumed run
        clock[0] += 20
        counter.advance(400)
    assert capsys.readouterr().err.splitlines() == [
        "Building: 1,000 of 5,000 lines",
        "Building: 1,400 of 5,000 lines, 20/s, 180 s left",
    ]


def test_lines_come_seldom(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress("Reading", None) as counter:
        for _ in range(100):
            clock[0] += 0.5
            counter.advance()
    shown = capsys.readouterr().err.splitlines()
    assert len(shown) == 5 and shown[-1] == "Reading: 100 lines, 2/s"


def test_an_error_tells_where_it_arose_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    for verbose in (False, True):
        console.begin(quiet=not verbose, verbose=verbose)
        try:
            raise DataError("There is nothing.", "Name something.")
        except DataError as error:
            console.error(error)
        shown = capsys.readouterr().err
        assert shown.endswith("Error: There is nothing.\nRemedy: Name something.\n")
        assert ("Traceback" in shown) == verbose


def test_work_of_less_than_a_second_and_nothing_have_no_speed() -> None:
    assert console.speed(0, 60) == console.speed(9, 0.9) == ""
    assert console.speed(30, 2) == " in 2.0 s, 15/s"


def test_slow_work_is_not_said_to_stand_still(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress("Trying training steps", 8, "kinds of step") as counter:
        for _ in range(2):
            clock[0] += 20
            counter.advance()
    assert "0/s" not in (shown := capsys.readouterr().err) and "120 s left" in shown
    assert console.speed(2, 40) == " in 40.0 s"


def drawn(heads: list[str], rows: list[list[str]]) -> list[str]:
    screen = Console(width=80, color_system=None)
    with screen.capture() as taken:
        screen.print(result_table("Title", heads, rows, text_columns=1, width=80))
    return taken.get().splitlines()


def test_words_and_numbers_of_a_table_stay_whole_at_80_columns() -> None:
    heads = ["", "lines/s", "range", "×", "CPU s / 1,000", "data wait", "lines a step", "peak MB"]
    rows = [
        ["VietOCR's way, no workers", "89.0", "72.9–91.9", "1.07", "22.0", "5 %", "32", "698"],
        ["all on, recomputed", "117", "115–159", "1.41", "17.0", "1 %", "32", "565"],
        ["denormals flushed", "82.7", "69.0–86.2", "0.99", "24.0", "1 %", "32", "708"],
    ]
    lines = drawn(heads, rows)
    assert max(map(len, lines)) <= 80
    for word in " ".join(sum(rows, heads)).split():
        assert any(word in line.split() for line in lines), word


def test_a_word_too_long_for_its_share_is_folded_and_leaves_the_others_whole() -> None:
    path = "model/seqmodel/" + "transformer" * 8 + ".py"
    lines = drawn(["setting", "where", "of ours"], [["normalisation", path, "the same"]])
    assert max(map(len, lines)) <= 80
    whole = {word for line in lines for word in line.split()}
    assert {"normalisation", "the", "same", "ours"} <= whole and path not in whole
    assert "".join(line.split("│")[2].strip() for line in lines if line.startswith("│")) == path
