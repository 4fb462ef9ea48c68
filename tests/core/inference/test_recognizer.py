"""The recogniser."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import line_image

import vocr_cli
from vocr_cli.core.data.images.fit import fit_line
from vocr_cli.core.decoding.ctc import ctc_log_likelihoods
from vocr_cli.core.decoding.ctc_beam import fused_beam
from vocr_cli.core.errors import ConfigError, DataError, ModelError
from vocr_cli.core.export.confidences import UNCALIBRATED
from vocr_cli.core.inference import Recognizer
from vocr_cli.core.inference.engines.base import CtcEngine
from vocr_cli.core.inference.engines.post_processing import log_softmax
from vocr_cli.core.language_model.ngram import open_language_model
from vocr_cli.core.machine.precision import good_precisions, resolve_precision
from vocr_cli.core.models.files import load_model

VI = Path(vocr_cli.__file__).parent / "assets" / "vi.lm"


@pytest.fixture(scope="module")
def recognizer(tiny_model: Path) -> Recognizer:
    return Recognizer.load(tiny_model, "cpu", "fp32")


def test_batch_reads_as_single_and_in_order(recognizer: Recognizer) -> None:
    images = [line_image(seed, width=50 + 30 * (seed % 4)) for seed in range(16)]
    batch = recognizer.read(images)
    single = [recognizer.read([image])[0] for image in images]
    assert [reading.text for reading in batch] == [reading.text for reading in single]
    assert len({reading.text for reading in batch}) > 8  # the model tells them apart
    for one, other in zip(batch, single, strict=True):
        assert one.char_confidences == pytest.approx(other.char_confidences, abs=1e-4)


def test_folded_batch_norm_computes_the_same(tiny_model: Path, recognizer: Recognizer) -> None:
    lines = np.random.default_rng(0).integers(0, 256, (2, 40, 96, 1), dtype=np.uint8)
    with torch.inference_mode():
        images = torch.from_numpy(lines).permute(0, 3, 1, 2).float() / 255
        expected = load_model(tiny_model).module(images).numpy()
    assert recognizer.engine.logits(lines) == pytest.approx(expected, abs=1e-4)


def test_confidence_is_the_geometric_mean(recognizer: Recognizer) -> None:
    reading = recognizer.read([line_image(3, width=200)])[0]
    assert len(reading.char_confidences) == len(reading.text) > 0
    logs = [math.log(value) for value in reading.char_confidences]
    assert reading.confidence == pytest.approx(math.exp(sum(logs) / len(logs)))


def test_empty_text_has_a_finite_confidence(recognizer: Recognizer, tiny_model: Path) -> None:
    class Blank(CtcEngine):
        device, precision, runtime = "cpu", "fp32", "test"

        def logits(self, lines: np.ndarray) -> np.ndarray:
            logits = np.zeros((len(lines), lines.shape[2] // 4, recognizer.charset.classes), np.float32)
            logits[:, :, 0] = 3.0
            return logits

    blank = Recognizer(Blank(), recognizer.image, recognizer.charset, "blank")
    reading = blank.read([line_image(0)])[0]
    expected = math.exp(3) / (math.exp(3) + recognizer.charset.classes - 1)
    assert (reading.text, reading.char_confidences) == ("", ())
    assert reading.confidence == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(4))
def test_a_searched_line_is_as_likely_as_its_text_among_those_that_the_search_kept(
    recognizer: Recognizer, seed: int
) -> None:
    charset, logits = recognizer.charset, np.random.default_rng(seed).normal(0, 3, (1, 12, 245))
    logits = logits[:, :, : recognizer.charset.classes].astype(np.float32)

    class Doubtful(CtcEngine):
        device, precision, runtime = "cpu", "fp32", "test"

        def logits(self, lines: np.ndarray) -> np.ndarray:
            return logits

    reader = Recognizer(
        Doubtful(), recognizer.image, charset, "doubtful", language_model=VI, calibration=UNCALIBRATED,
        second_look=False,
    )  # fmt: skip
    reading = reader.read([line_image(0)])[0]
    kept = fused_beam(log_softmax(logits[0]), open_language_model(str(VI)), charset)
    weights = np.exp([prefix.score for prefix in kept])
    share = np.exp(ctc_log_likelihoods([log_softmax(logits[0])], [prefix.classes for prefix in kept])).sum()
    assert reading.text == charset.decode(kept[0].classes) and len(kept) > 1
    assert reading.confidence == pytest.approx(weights[0] / weights.sum() * share**0.25)


def test_a_line_that_is_not_searched_is_as_likely_as_its_characters_together(
    recognizer: Recognizer,
) -> None:
    reader = Recognizer(
        recognizer.engine, recognizer.image, recognizer.charset, "tiny", calibration=UNCALIBRATED
    )
    reading = reader.read([line_image(3, width=60)])[0]
    assert reading.confidence == pytest.approx(math.prod(reading.char_confidences), rel=1e-9, abs=0)


class Leader(CtcEngine):
    """Reads ten dots where columns suffice, and as many as fit at two columns each where they do not."""

    device, precision, runtime = "cpu", "fp32", "test"

    def __init__(self, dot: int, classes: int, sure_when_wide: float) -> None:
        self.dot, self.classes, self.sure = dot, classes, sure_when_wide
        self.widths: list[int] = []

    def logits(self, lines: np.ndarray) -> np.ndarray:
        width = lines.shape[2] // 4
        self.widths.append(lines.shape[2])
        dots = min(10, width // 2)
        logits = np.zeros((len(lines), width, self.classes), np.float32)
        logits[:, :, 0] = 9.0
        logits[:, : 2 * dots : 2, self.dot] = 10.0 + (self.sure if dots == 10 else 0.0)
        return logits


@pytest.mark.parametrize(("sure_when_wide", "dots"), [(5.0, 10), (-0.5, 7)])
def test_dots_too_close_for_ctc_are_read_stretched_if_that_is_surer(
    recognizer: Recognizer, sure_when_wide: float, dots: int
) -> None:
    charset = recognizer.charset
    engine = Leader(charset.encode(".")[0], charset.classes, sure_when_wide)
    reader = Recognizer(engine, recognizer.image, charset, "leader")
    reading = reader.read([line_image(0, width=56, height=40)])[0]
    assert engine.widths == [56, 88]
    assert reading.text == "." * dots
    assert reading.flags == ("crowded",)


def test_allow_and_deny_hold(tiny_model: Path) -> None:
    images = [line_image(seed, width=200) for seed in range(6)]
    digits = Recognizer.load(tiny_model, "cpu", "fp32", allow="0123456789", deny="7")
    texts = "".join(reading.text for reading in digits.read(images))
    assert texts and set(texts) <= set("012345689")


def test_allow_outside_the_charset_is_refused(tiny_model: Path) -> None:
    with pytest.raises(DataError, match="U\\+00DF"):
        Recognizer.load(tiny_model, allow="aß")
    with pytest.raises(DataError, match="no character"):
        Recognizer.load(tiny_model, allow="ab", deny="ab")


def test_decomposed_allow_is_understood(tiny_model: Path) -> None:
    recognizer = Recognizer.load(tiny_model, "cpu", "fp32", allow="e\u0302\u0301")  # ế in three code points
    assert set(recognizer.read([line_image(1, width=300)])[0].text) <= {"ế"}


def test_a_beam_finds_nothing_less_likely_than_greedy(tiny_model: Path, recognizer: Recognizer) -> None:
    images = [line_image(seed, width=120) for seed in range(4)]
    beam = Recognizer.load(tiny_model, "cpu", "fp32", beam=6, n_best=6)
    for image, greedy, reading in zip(images, recognizer.read(images), beam.read(images), strict=True):
        logits = recognizer.engine.logits(np.stack([fit_line(image, recognizer.image)]))
        logs = torch.from_numpy(logits).log_softmax(-1).transpose(0, 1)  # (T, 1, C)

        def likelihood(text: str, logs: torch.Tensor = logs) -> float:
            classes = torch.tensor([recognizer.charset.encode(text)])
            lengths = torch.tensor([len(logs)]), torch.tensor([len(text)])
            return -float(torch.nn.functional.ctc_loss(logs, classes, *lengths, reduction="sum"))

        texts, scores = zip(*reading.alternatives, strict=True)
        assert texts[0] == reading.text and len(set(texts)) == 6
        assert list(scores) == sorted(scores, reverse=True)
        assert likelihood(reading.text) >= likelihood(greedy.text)
        assert scores[0] <= likelihood(reading.text) + 1e-3
        assert reading.min_confidence == min(reading.char_confidences) <= reading.confidence
        assert len(reading.char_confidences) == len(reading.text)


def test_squeezed_line_is_flagged(recognizer: Recognizer) -> None:
    assert recognizer.read([line_image(0, width=900)])[0].flags == ("squeezed",)
    assert recognizer.read([line_image(0)])[0].flags == ()


def test_missing_int8_companion_names_the_command(tiny_model: Path) -> None:
    with pytest.raises(ModelError) as caught:
        Recognizer.load(tiny_model, precision="int8")
    assert "vocr export" in caught.value.fix


def test_unknown_model_is_refused() -> None:
    with pytest.raises(ModelError, match="no-such"):
        Recognizer.load("no-such")
    with pytest.raises(ModelError, match="no-such"):
        Recognizer.load("no-such.onnx")


def test_fp16_on_cpu_and_int8_on_gpu_are_refused() -> None:
    with pytest.raises(ConfigError, match="GPU"):
        resolve_precision("fp16", "cpu")
    with pytest.raises(ConfigError, match="CPU"):
        resolve_precision("int8", "cuda")


def test_auto_takes_what_the_hardware_runs_well() -> None:
    assert resolve_precision("auto", "cpu") == good_precisions("cpu")[-1]


def test_bf16_reads_about_the_same(tiny_model: Path, recognizer: Recognizer) -> None:
    lines = np.stack([np.asarray(line_image(1).resize((96, 40)))[:, :, None]])
    bf16 = Recognizer.load(tiny_model, "cpu", "bf16").engine.logits(lines)
    assert bf16.dtype == np.float32  # the last layer is not rounded
    assert bf16 == pytest.approx(recognizer.engine.logits(lines), abs=0.1)
