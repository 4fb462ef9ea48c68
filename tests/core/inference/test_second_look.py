"""Doubtful lines are read again, stretched, and both readings are weighed together."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import line_image
from PIL import Image
from tiny_vietocr import make_model
from typer.testing import CliRunner

import vocr_cli
from vocr_cli.app import app
from vocr_cli.core.config.image import ImageConfig
from vocr_cli.core.data.images.open_image import open_line
from vocr_cli.core.errors import ConfigError
from vocr_cli.core.export.confidences import UNCALIBRATED
from vocr_cli.core.inference import Reading, Recognizer
from vocr_cli.core.inference.cache.identity import reading_identity
from vocr_cli.core.inference.engines.base import CtcEngine
from vocr_cli.core.inference.model_source import find_source
from vocr_cli.core.models.files import save_model
from vocr_cli.core.text import Charset

ASSETS = Path(vocr_cli.__file__).parent / "assets"
LINES = sorted((ASSETS / "lines" / "images").iterdir())
VI = ASSETS / "vi.lm"
CHARSET = Charset(" .abc")
BLANK, DOT, A, B, C = 0, 2, 3, 4, 5
OWN, WIDE = 64, 88
"""px: the width of the tests' line, and that of the second look at it."""


class Told(CtcEngine):
    """Computes what a test says of a line's width: at each column, classes and their probabilities."""

    device, precision, runtime = "cpu", "fp32", "test"

    def __init__(self, tell: Callable[[int], list[dict[int, float]]]) -> None:
        self.tell = tell
        self.batches: list[tuple[int, int]] = []  # lines and px

    def logits(self, lines: np.ndarray) -> np.ndarray:
        self.batches.append((len(lines), lines.shape[2]))
        told = self.tell(lines.shape[2])
        probabilities = np.full((lines.shape[2] // 4, CHARSET.classes), 1e-9, np.float32)
        probabilities[:, BLANK] = 1.0
        for column, said in enumerate(told):
            probabilities[column, BLANK] = 1e-9
            for number, probability in said.items():
                probabilities[column, number] = probability
        return np.repeat(np.log(probabilities)[None], len(lines), axis=0)


def reader(
    engine: CtcEngine, *, second_look: bool | None = True, beam: int = 1, **more: object
) -> Recognizer:
    return Recognizer(
        engine, ImageConfig(), CHARSET, "told", second_look=second_look, beam=beam, n_best=beam,
        calibration=UNCALIBRATED, **more,  # type: ignore[arg-type]
    )  # fmt: skip


def read(engine: CtcEngine, **options: object) -> Reading:
    return reader(engine, **options).read([line_image(0, width=OWN, height=40)])[0]  # type: ignore[arg-type]


def a_or_b(own: float, wide: float) -> Callable[[int], list[dict[int, float]]]:
    """One character: the probabilities of b at both widths; the rest is that of a."""
    return lambda width: [{A: 1 - (b := own if width == OWN else wide), B: b}]


def test_what_both_looks_together_find_likeliest_is_read() -> None:
    engine = Told(a_or_b(own=0.45, wide=0.9))
    reading = read(engine)
    assert engine.batches == [(1, OWN), (1, WIDE)]
    assert reading.text == "b"
    assert reading.char_confidences == pytest.approx([0.9])  # of the look that is surer of it
    assert read(Told(a_or_b(own=0.45, wide=0.52))).text == "a"
    assert read(Told(a_or_b(own=0.45, wide=0.9)), second_look=False).text == "a"


def test_alternatives_are_scored_by_both_looks() -> None:
    reading = read(Told(a_or_b(own=0.45, wide=0.9)), beam=4)
    texts = dict(reading.alternatives)
    assert list(texts)[:2] == ["b", "a"]
    assert texts["b"] == pytest.approx((math.log(0.45) + math.log(0.9)) / 2, abs=1e-3)
    assert texts["a"] == pytest.approx((math.log(0.55) + math.log(0.1)) / 2, abs=1e-3)


def test_a_sure_line_is_read_once() -> None:
    engine = Told(a_or_b(own=0.05, wide=0.9))
    assert read(engine).text == "a" and engine.batches == [(1, OWN)]


def test_lines_worth_a_second_look_share_a_batch() -> None:
    class Two(Told):
        """Is sure of lines that begin dark."""

        def logits(self, lines: np.ndarray) -> np.ndarray:
            logits = super().logits(lines)
            sure = np.asarray(Told(a_or_b(own=0.0001, wide=0.0001)).logits(lines[:1]))[0]
            logits[lines[:, 0, 0, 0] < 128] = sure
            return logits

    engine = Two(a_or_b(own=0.45, wide=0.9))
    light, dark = np.full((40, OWN), 255, np.uint8), np.full((40, OWN), 255, np.uint8)
    light[10:30, 20:40], dark[10:30, 20:40], dark[:20, :4] = 0, 0, 0
    texts = [reading.text for reading in reader(engine).read([light, dark, light])]
    assert texts == ["b", "a", "b"]
    assert engine.batches == [(3, OWN), (2, WIDE)]


def test_a_look_that_cannot_tell_dots_apart_does_not_count() -> None:
    """Ten dots, where columns suffice; at two columns each, eight of them have no room."""

    def dots(width: int) -> list[dict[int, float]]:
        said = min(10, width // 8)
        return [
            {BLANK: 0.98, DOT: 0.02} if column % 2 else {DOT: 0.98, BLANK: 0.02} for column in range(2 * said)
        ]

    assert read(Told(dots)).text == "." * 10
    assert read(Told(dots)).flags == ("crowded",)  # they stand as close as before


def test_a_second_look_that_computes_no_number_does_not_count() -> None:
    class Broken(Told):
        def logits(self, lines: np.ndarray) -> np.ndarray:
            logits = super().logits(lines)
            return logits if lines.shape[2] == OWN else logits * math.nan

    assert read(Broken(a_or_b(own=0.45, wide=0.9))).text == "a"


def test_looks_that_contradict_each_other_leave_the_first() -> None:
    """Of the texts of each, floats hold no probability by the other."""

    class Contradicting(Told):
        def logits(self, lines: np.ndarray) -> np.ndarray:
            logits = np.full((len(lines), lines.shape[2] // 4, CHARSET.classes), -1e3, np.float32)
            logits[:, :, BLANK] = 0
            pair = [A, B] if lines.shape[2] == OWN else [C, DOT]
            logits[:, ::4, pair] = [4.0, 3.5]  # now the one, now the other is the likelier
            logits[:, 2::4, pair] = [3.5, 4.0]
            return logits

    engine = Contradicting(lambda width: [])
    once, twice = (read(engine, second_look=wanted, language_model=VI) for wanted in (False, True))
    assert twice.text == once.text and set(once.text) == set("ab")
    assert twice.char_confidences == pytest.approx(once.char_confidences)
    assert twice.confidence == pytest.approx(once.confidence, rel=0.1)  # of fewer texts


def test_what_may_not_be_read_is_not_read_at_the_second_look() -> None:
    assert read(Told(a_or_b(own=0.45, wide=0.9)), deny="b").text == "a"


def test_there_is_one_where_there_is_a_language_model() -> None:
    engine = Told(a_or_b(own=0.45, wide=0.9))
    assert not reader(engine, second_look=None).second_look
    assert reader(engine, second_look=None, language_model=VI).second_look
    assert not reader(engine, second_look=False, language_model=VI).second_look


def test_models_that_write_step_by_step_have_none(tmp_path: Path) -> None:
    model = tmp_path / "tiny.safetensors"
    save_model(model, make_model("transformer"))
    assert not Recognizer.load(model, "cpu", "fp32", language_model="vi").second_look
    result = CliRunner().invoke(app, ["infer", str(LINES[0]), "--model", str(model), "--second-look"])
    assert isinstance(result.exception, ConfigError)
    assert "step by step" in str(result.exception) and "--second-look" in result.exception.fix


def test_the_option_turns_it_on_and_off(tmp_path: Path) -> None:
    with Image.open(LINES[0]) as image:
        image.resize((image.width * 2 // 5, image.height)).save(tmp_path / "narrow.png")

    def texts(*options: str) -> str:
        result = CliRunner().invoke(app, ["infer", str(tmp_path), "--precision", "int8", *options])
        assert result.exit_code == 0, result.output
        return result.stdout.split("\t")[1]

    assert texts() == texts("--second-look") != texts("--no-second-look")
    assert texts("--lm", "none") == texts("--lm", "none", "--no-second-look")
    assert texts("--lm", "none") != texts("--lm", "none", "--second-look")


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_batch_reads_as_its_lines_do_singly(precision: str) -> None:
    reader = Recognizer.load("vi-small", "cpu", precision, 1)
    narrow = []  # squeezed, so that they are doubtful
    for file in LINES:
        image = open_line(file)
        narrow.append(np.asarray(image.resize((image.width // 2, image.height))))
    together = reader.read(narrow)
    assert [reading.text for reading in together] == [reader.read([line])[0].text for line in narrow]
    once = Recognizer.load("vi-small", "cpu", precision, 1, second_look=False).read(narrow)
    assert [reading.text for reading in once] != [reading.text for reading in together]


def test_eval_says_whether_there_was_one(tmp_path: Path) -> None:
    for option, expected in (("--second-look", True), ("--no-second-look", False)):
        out = tmp_path / f"{option}.json"
        result = CliRunner().invoke(
            app, ["eval", str(ASSETS / "lines"), "--limit", "1", "--json", str(out), option]
        )
        assert result.exit_code == 0, result.output
        assert json.loads(out.read_text(encoding="utf-8"))["second_look"] is expected


def test_readings_with_and_without_one_are_told_apart() -> None:
    source = find_source("vi-small")
    identities = [
        reading_identity(Recognizer.load(source, "cpu", "int8", 1, second_look=wanted), source, "", "")
        for wanted in (None, False)
    ]
    assert identities[0] != identities[1]
