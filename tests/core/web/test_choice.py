"""Choosing the lines that would teach most: doubtful ones, and no two that teach the same."""

from __future__ import annotations

import random

from vocr_cli.core.inference.inputs.sources import LineInput
from vocr_cli.core.web.labels.catalogue import TEXT, Catalogue, LineReading
from vocr_cli.core.web.labels.choice import Candidate, Picker, choose_lines
from vocr_cli.core.web.labels.source import SourceLine


def candidate(index: int, text: str, doubtful: str, value: float = 0.5) -> Candidate:
    """A line whose characters are sure but for those in `doubtful`."""
    chars = tuple(value if char in doubtful else 1.0 for char in text)
    return Candidate(index, text, 0.5 if doubtful else 0.99, chars)


def test_sure_lines_are_not_chosen_before_doubtful_ones():
    lines = [candidate(index, "Đường Huế", "ế" if index == 7 else "") for index in range(20)]
    assert choose_lines(lines, 1) == [7]


def test_the_same_doubt_is_not_chosen_twice_while_there_are_others():
    lines = [candidate(index, "chợ Bến Thành", "ế", 0.45) for index in range(50)]
    lines += [candidate(50, "số 17", "7", 0.3), candidate(51, "gỗ", "ỗ", 0.3)]
    assert set(choose_lines(lines, 3)) == {0, 50, 51}


def test_what_is_labelled_already_counts_as_taught():
    lines = [candidate(0, "chợ Bến", "ế"), candidate(1, "số 17", "7", 0.3)]
    assert choose_lines(lines, 1) == [0]
    assert choose_lines(lines, 1, taken=[candidate(9, "chợ Bến", "ế")]) == [1]


def test_what_nobody_can_read_teaches_less_than_what_is_nearly_read():
    garbage, doubtful = candidate(0, "~~~~", "~", 0.02), candidate(1, "số 17", "17", 0.5)
    assert choose_lines([garbage, doubtful], 1) == [1]


def test_lines_without_character_confidences_are_chosen_by_their_own():
    lines = [Candidate(0, "Đường Huế", 0.99, ()), Candidate(1, "Đường Huế", 0.3, ())]
    assert choose_lines(lines, 1) == [1]


def test_the_lazy_choice_is_the_greedy_one():
    rng = random.Random(0)
    lines = [
        candidate(index, "".join(rng.choices("abcd", k=6)), rng.choice(["a", "bc", "d"]), rng.random() * 0.9)
        for index in range(60)
    ]
    chosen: list[int] = []
    for _ in range(10):
        rest = [line for line in lines if line.index not in chosen]
        chosen += choose_lines(rest, 1, taken=[lines[index] for index in chosen])
    assert choose_lines(lines, 10) == chosen and len(set(chosen)) == 10
    assert len(choose_lines(lines, 1000)) == 60 and choose_lines(lines, 0) == choose_lines([], 5) == []


def catalogue_of(count: int) -> Catalogue:
    catalogue = Catalogue()
    for index in range(count):
        catalogue.add(SourceLine(f"{index}.png", LineInput(f"{index}.png", f"{index}.png")))
    catalogue.complete()
    return catalogue


def read(catalogue: Catalogue, index: int) -> None:
    text = f"dòng {index}"
    catalogue.set_reading(index, LineReading(text, 0.3 + index / 100, bytes([100 + index] * len(text))))


def test_an_unfinished_choice_of_an_earlier_session_goes_on_and_a_finished_one_is_made_anew():
    catalogue = catalogue_of(8)
    for index in range(8):
        read(catalogue, index)
    catalogue.set_state(6, TEXT)
    going_on = Picker(catalogue, 2, ["6.png", "7.png", "gone.png"])
    going_on.update()
    assert going_on.chosen == [6, 7] and going_on.is_final
    catalogue.set_state(7, TEXT)
    anew = Picker(catalogue, 2, ["6.png", "7.png"])
    anew.update()
    assert len(anew.chosen) == 2 and not {6, 7} & set(anew.chosen)


def test_a_choice_keeps_what_was_decided_while_the_model_goes_on_reading():
    catalogue = catalogue_of(8)
    for index in range(3):
        read(catalogue, index)
    picker = Picker(catalogue, 2)
    picker.update()
    first = picker.chosen[0]
    assert len(picker.chosen) == 2 and not picker.is_final
    catalogue.set_state(first, TEXT)
    for index in range(3, 8):
        read(catalogue, index)
    picker.update()
    assert picker.is_final and picker.chosen[0] == first and len(picker.chosen) == 2
