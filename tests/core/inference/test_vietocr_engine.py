"""VietOCR's models through the recogniser."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest
import torch
from conftest import line_image
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_vietocr import make_model

from vocr_cli.core.data.images.fit import fit_line
from vocr_cli.core.errors import ConfigError
from vocr_cli.core.inference import Recognizer
from vocr_cli.core.inference.engines.torch_ctc import use_threads
from vocr_cli.core.inference.torch_loading import make_engine
from vocr_cli.core.models.files import ModelFile
from vocr_cli.core.models.vietocr.constants import EOS, SOS

SEQUENCES = ("transformer", "seq2seq", "convseq2seq")
IMAGES = [line_image(seed, width=60 + 20 * (seed % 4)) for seed in range(10)]

model_of = cache(make_model)


@cache
def reader(sequence: str) -> Recognizer:
    return Recognizer.of(model_of(sequence), "cpu", "fp32", threads=1)


def written_out(model: ModelFile, image, steps: int) -> list[tuple[int, float]]:
    """Class and probability of each step, the whole text so far computed anew for each; the end included."""
    line = torch.from_numpy(np.stack([fit_line(image, model.image)])).permute(0, 3, 1, 2).float() / 255
    tokens, found = [SOS], []
    with torch.inference_mode():
        features = model.module.features(line)
        while len(found) < steps and (not found or found[-1][0] != EOS):
            logits = model.module.transformer(features, torch.tensor([tokens]))[0, -1]
            tokens.append(int(logits.argmax()))
            found.append((tokens[-1], float(logits.softmax(-1)[tokens[-1]])))
    return found


@pytest.mark.parametrize(
    ("sequence", "backbone", "specials"),
    [
        ("transformer", "resnet50", 4),
        ("seq2seq", "resnet50", 4),
        ("convseq2seq", "resnet50", 4),
        ("seq2seq", "resnet50", 3),
        ("seq2seq", "vgg11_bn", 4),
    ],
)
def test_text_is_what_the_model_says_recomputed_at_every_step(
    sequence: str, backbone: str, specials: int
) -> None:
    model = model_of(sequence, backbone, specials)
    images = IMAGES[:1] if backbone == "vgg11_bn" else IMAGES[:8]
    for image, reading in zip(
        images, Recognizer.of(model, "cpu", "fp32", threads=1).read(images), strict=True
    ):
        expected = written_out(model, image, len(reading.text) + (not reading.flags))
        ended = expected[-1][0] == EOS
        assert ended == (not reading.flags)
        emitted = expected[:-1] if ended else expected
        assert reading.text == model.charset.decode(number - specials + 1 for number, _ in emitted)
        assert reading.char_confidences == pytest.approx([value for _, value in emitted], abs=1e-3)
        if not emitted:
            assert reading.confidence == pytest.approx(expected[0][1], abs=1e-3)


def test_the_lines_differ_and_some_are_empty_or_never_end() -> None:
    """Else the other tests here would show little."""
    for sequence in SEQUENCES:
        readings = reader(sequence).read(IMAGES)
        assert len({reading.text for reading in readings}) >= 7
        assert any(not reading.flags and reading.text for reading in readings)
    readings = reader("transformer").read(IMAGES)
    assert any(not reading.text for reading in readings)
    assert any("repetition" in reading.flags for reading in readings)


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_batch_reads_as_single_and_in_order(sequence: str) -> None:
    batch = reader(sequence).read(IMAGES)
    for image, one in zip(IMAGES, batch, strict=True):
        (single,) = reader(sequence).read([image])
        assert (one.text, one.flags) == (single.text, single.flags)
        assert one.char_confidences == pytest.approx(single.char_confidences, abs=1e-3)


@settings(max_examples=10, deadline=None)
@given(
    sequence=st.sampled_from(SEQUENCES),
    beam=st.sampled_from((1, 3)),
    widths=st.lists(st.integers(30, 260), min_size=2, max_size=6),
    columns=st.integers(1, 1000),
    seed=st.integers(0, 10_000),
)
def test_lines_of_several_widths_read_together_as_they_do_singly(
    sequence: str, beam: int, widths: list[int], columns: int, seed: int
) -> None:
    images = [line_image(seed + place, width=width) for place, width in enumerate(widths)]
    model = model_of(sequence)
    recognizer = Recognizer.of(
        model, "cpu", "fp32", threads=1, beam=beam, n_best=beam, batch_pixels=columns * model.image.height_px
    )
    singly = [recognizer.read([image])[0] for image in images]
    for one, single in zip(recognizer.read(images), singly, strict=True):
        assert (one.text, one.flags) == (single.text, single.flags)
        assert one.char_confidences == pytest.approx(single.char_confidences, abs=5e-4)
        assert one.confidence == pytest.approx(single.confidence, abs=5e-4)
        assert [text for text, _ in one.alternatives] == [text for text, _ in single.alternatives]


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_several_widths_are_written_in_one_go(sequence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []
    recognizer = Recognizer.of(model_of(sequence), "cpu", "fp32", threads=1)
    real = type(recognizer.engine).read_groups

    def counted(engine, groups, *rest):  # type: ignore[no-untyped-def]
        counts.append([len(lines) for lines in groups])
        return real(engine, groups, *rest)

    monkeypatch.setattr(type(recognizer.engine), "read_groups", counted)
    recognizer.read(IMAGES)
    assert len(counts) == 1 and len(counts[0]) == 4 and sum(counts[0]) == len(IMAGES)


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_batches_side_by_side_do_not_disturb_each_other(sequence: str) -> None:
    several = Recognizer.of(model_of(sequence), "cpu", "fp32", threads=3, batch_pixels=1)  # a batch a line
    several.read(IMAGES[:1])  # alone, by this thread, with all processors
    expected = [reading.text for reading in reader(sequence).read(IMAGES)]
    assert [reading.text for reading in several.read(IMAGES * 2)] == expected * 2


def test_threads_side_by_side_leave_each_other_their_processors() -> None:
    with ThreadPoolExecutor(1) as alone, ThreadPoolExecutor(1) as beside:  # threads that torch has not met
        alone.submit(use_threads, 3).result()
        beside.submit(use_threads, 1).result()
        assert alone.submit(torch.get_num_threads).result() == 3
        assert beside.submit(torch.get_num_threads).result() == 1


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_allow_and_deny_hold_and_lines_still_end(sequence: str) -> None:
    engine = make_engine(model_of(sequence), "cpu", "fp32", 1).engine
    model = model_of(sequence)
    limited = Recognizer(engine, model.image, model.charset, "tiny", allow="abcdefgh0123456789", deny="1")
    readings = limited.read(IMAGES)
    texts = "".join(reading.text for reading in readings)
    assert texts and set(texts) <= set("abcdefgh023456789")
    assert any(not reading.flags for reading in readings)  # the end needs no leave


def test_a_beam_never_scores_below_greedy_and_gives_what_it_weighed() -> None:
    model = model_of("convseq2seq")
    beam = Recognizer.of(model, "cpu", "fp32", threads=1, beam=3, n_best=3)
    compared = 0
    for greedy, reading in zip(reader("convseq2seq").read(IMAGES), beam.read(IMAGES), strict=True):
        texts, scores = zip(*reading.alternatives, strict=True)
        assert texts[0] == reading.text and list(scores) == sorted(scores, reverse=True)
        assert len(set(texts)) == len(texts) <= 3
        assert len(reading.char_confidences) == len(reading.text)
        assert greedy.alternatives == ()
        if greedy.text in texts:
            compared += 1
            assert scores[texts.index(greedy.text)] <= scores[0]
    assert compared


def test_flags_of_the_image_come_before_those_of_the_reading() -> None:
    wide = [line_image(seed, width=600) for seed in range(6)]
    readings = reader("transformer").read(wide)
    assert {reading.flags for reading in readings} == {("squeezed",), ("squeezed", "repetition")}


def test_minimum_is_that_of_the_least_sure_character() -> None:
    for reading in reader("transformer").read(IMAGES):
        if reading.text:
            assert reading.min_confidence == min(reading.char_confidences) <= reading.confidence
        else:
            assert reading.min_confidence == reading.confidence > 0


def test_bf16_is_about_as_sure_of_the_first_character() -> None:
    rounded = Recognizer.of(model_of("seq2seq"), "cpu", "bf16", threads=1)
    assert rounded.engine.precision == "bf16"
    pairs = list(zip(reader("seq2seq").read(IMAGES), rounded.read(IMAGES), strict=True))
    same = [(one, other) for one, other in pairs if one.text[:1] == other.text[:1]]
    assert len(same) >= 8
    for one, other in same:
        assert one.char_confidences[:1] == pytest.approx(other.char_confidences[:1], abs=0.15)


def test_int8_is_refused_naming_what_there_is() -> None:
    with pytest.raises(ConfigError) as caught:
        Recognizer.of(model_of("seq2seq"), "cpu", "int8")
    assert "fp32" in caught.value.fix and "int8" not in caught.value.fix


def test_the_module_is_left_as_it_was() -> None:
    model = make_model("seq2seq")
    before = {key: value.clone() for key, value in model.module.state_dict().items()}
    Recognizer.of(model, "cpu", "bf16", threads=1).read(IMAGES[:1])
    after = model.module.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
