"""Models that write step by step, a language model choosing among the hypotheses of doubtful lines."""

from __future__ import annotations

from functools import cache, reduce
from pathlib import Path

import pytest
from conftest import line_image
from tiny_vietocr import make_model
from typer.testing import CliRunner

from vocr_cli.app import app
from vocr_cli.core.decoding.ctc_beam import LM_FLOOR, UNSURE
from vocr_cli.core.inference import Recognizer
from vocr_cli.core.inference.engines.decoding import WRITTEN_BONUS, WRITTEN_WEIGHT
from vocr_cli.core.inference.engines.tokens import HEARD_BEAM
from vocr_cli.core.inference.torch_loading import make_engine
from vocr_cli.core.language_model.find import EMBEDDED_FILE
from vocr_cli.core.language_model.ngram import open_language_model
from vocr_cli.core.language_model.text_score import TextScorer
from vocr_cli.core.models.files import save_model

SEQUENCES = ("transformer", "seq2seq", "convseq2seq")
IMAGES = [line_image(seed, width=60 + 20 * (seed % 4)) for seed in range(10)]


@cache
def reader(sequence: str, beam: int = 1, heard: bool = False, length_penalty: float = 1.0) -> Recognizer:
    model = make_model(sequence)
    engine = make_engine(model, "cpu", "fp32", 1).engine
    engine.options = engine.options.model_copy(update={"length_penalty": length_penalty})  # type: ignore[attr-defined]
    lm = EMBEDDED_FILE if heard else None
    return Recognizer(engine, model.image, model.charset, "tiny", beam=beam, n_best=beam, language_model=lm)


def text_score(text: str, recognizer: Recognizer) -> float:
    lm, charset = open_language_model(str(EMBEDDED_FILE)), recognizer.charset
    scorer = TextScorer(lm, charset, weight=WRITTEN_WEIGHT, bonus=WRITTEN_BONUS, floor=LM_FLOOR)
    return reduce(scorer.advance, charset.encode(text), scorer.start).score


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_doubtful_lines_say_what_decoder_and_language_model_together_find_likeliest(sequence: str) -> None:
    greedy, heard = reader(sequence), reader(sequence, heard=True)
    summed = reader(sequence, HEARD_BEAM, length_penalty=0.0)
    changed = searched = 0
    for image, alone, both in zip(IMAGES, greedy.read(IMAGES), heard.read(IMAGES), strict=True):
        (found,) = summed.read([image])
        if not alone.text or alone.min_confidence >= UNSURE:
            assert both == alone
            continue
        if found.flags:
            continue  # what was stopped stands behind what ended, and has no score to compare
        searched += 1
        scores = {text: score + text_score(text, heard) for text, score in found.alternatives}
        assert scores[both.text] == pytest.approx(max(scores.values()), abs=1e-3)
        assert len(both.char_confidences) == len(both.text)
        changed += both.text != alone.text
    assert searched and changed


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_a_beam_is_told_in_the_scores_of_both(sequence: str) -> None:
    told = 0
    plain, heard = reader(sequence, 3).read(IMAGES), reader(sequence, 3, heard=True).read(IMAGES)
    for alone, both in zip(plain, heard, strict=True):
        if both == alone:  # sure, or stopped before an end
            continue
        told += 1
        texts, scores = zip(*both.alternatives, strict=True)
        assert texts[0] == both.text and list(scores) == sorted(scores, reverse=True) and len(texts) <= 3
    assert told


def test_the_command_hears_one_on_request_and_whole_onnx_files_choose_the_same(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="ONNX files are written with onnx")
    pytest.importorskip("onnxruntime", reason="the decoder runs in ONNX Runtime")
    weights, graph = tmp_path / "tiny.safetensors", tmp_path / "tiny.onnx"
    save_model(weights, make_model("seq2seq"))
    lines = tmp_path / "lines"
    lines.mkdir()
    for number, image in enumerate(IMAGES):
        image.save(lines / f"{number}.png")
    texts = {}
    words = ["export", str(weights), str(graph)]
    assert CliRunner().invoke(app, words).exit_code == 0
    for name, more in (("alone", ["--lm", "none"]), ("auto", []), ("heard", ["--lm", "vi"]),
                       ("graph", ["--lm", "vi", "--model", str(graph)])):  # fmt: skip
        out = tmp_path / f"{name}.tsv"
        words = ["infer", str(lines), "--model", str(weights), "--precision", "fp32", *more]
        result = CliRunner().invoke(app, [*words, "--out", str(out)])
        assert result.exit_code == 0, result.output
        texts[name] = [row.split("\t")[1] for row in out.read_text(encoding="utf-8").splitlines()]
    assert texts["auto"] == texts["alone"] != texts["heard"] == texts["graph"]
