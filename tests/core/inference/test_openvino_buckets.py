"""Lines go into OpenVINO padded to few widths: what it reads stays what the exact widths say."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import EXAMPLE_LINES, line_image
from PIL import Image

from vocr_cli.core.data.images.fit import fit_line
from vocr_cli.core.evaluation.metrics import score
from vocr_cli.core.inference import Recognizer
from vocr_cli.core.inference.engines.onnx_format import pad_right
from vocr_cli.core.inference.engines.openvino_model import OPENVINO_BUCKET_PX
from vocr_cli.core.machine.precision import cpu_sums_int8_exactly

pytest.importorskip("onnxruntime")
pytest.importorskip("openvino")


@pytest.fixture(scope="module")
def readers() -> tuple[Recognizer, Recognizer]:
    """The embedded model in ONNX Runtime, and in OpenVINO."""
    exact = Recognizer.load("vi-small", "cpu", "int8", 1, runtime="onnxruntime")
    return exact, Recognizer.load("vi-small", "cpu", "int8", 1, runtime="openvino")


# 2376 px and more would be padded beyond the limit of the model, where its tables of positions end.
@pytest.mark.parametrize("width", [32, 40, 64, 104, 120, 128, 400, 2368, 2376, 2400])
def test_a_padded_line_has_the_columns_of_its_own_width(
    readers: tuple[Recognizer, Recognizer], width: int
) -> None:
    lines = np.random.default_rng(0).integers(0, 256, (2, 40, width, 1), dtype=np.uint8)
    exact, padded = (reader.engine.logits(lines) for reader in readers)
    assert padded.shape == exact.shape and padded.shape[1] == -(-width // 4)


def test_lines_as_wide_as_the_model_takes_are_read(readers: tuple[Recognizer, Recognizer]) -> None:
    image = line_image(0, width=4000)
    assert [reader.read([image])[0].flags for reader in readers] == [("squeezed",)] * 2


def test_padding_continues_the_ground_of_each_line() -> None:
    lines = np.random.default_rng(0).integers(0, 256, (3, 40, 50, 3), dtype=np.uint8)
    lines[:, :35, -1] = np.array([[250, 240, 230], [10, 20, 30], [90, 90, 90]], np.uint8)[:, None]
    padded = pad_right(lines, 14)
    assert padded.shape == (3, 40, OPENVINO_BUCKET_PX, 3) and padded.dtype == np.uint8
    assert (padded[:, :, :50] == lines).all()
    assert (padded[:, :, 50:] == lines[:, :1, -1:]).all()
    assert pad_right(lines, 0) is lines


@pytest.mark.skipif(not cpu_sums_int8_exactly(), reason="on this CPU the int8 sums of OpenVINO saturate")
def test_both_runtimes_read_the_example_lines_alike(readers: tuple[Recognizer, Recognizer]) -> None:
    images = [Image.open(path) for path in sorted((EXAMPLE_LINES / "images").glob("*.png"))]
    widths = [fit_line(image, readers[0].image).shape[1] for image in images]
    assert len({-width % OPENVINO_BUCKET_PX for width in widths}) > 5
    exact, padded = ([reading.text for reading in reader.read(images)] for reader in readers)
    assert score(exact, padded).cer.value <= 0.005
