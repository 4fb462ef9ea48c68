"""What programs hand to `Recognizer.read`, and what it says of all else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import EXAMPLE_LINES
from PIL import Image

from vocr_cli.core.errors import ConfigError, ImageError
from vocr_cli.core.inference import Recognizer

LINE = EXAMPLE_LINES / "images" / "00.png"


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer.load("vi-small", "cpu")


def test_paths_images_of_any_mode_and_arrays_read_alike(recognizer: Recognizer) -> None:
    image = Image.open(LINE)
    array = np.asarray(image.convert("RGB"))
    grey = np.asarray(image.convert("L"))
    modes = [image.convert(mode) for mode in ("RGBA", "LA", "P", "CMYK", "I", "YCbCr")]
    given = [str(LINE), LINE, image, *modes, array, grey, grey[:, :, None]]
    assert {reading.text for reading in recognizer.read(given)} == {"PHIẾU NHẬP KHO SỐ 0457/PN-KT"}
    assert recognizer.read(item for item in ()) == []


def test_an_image_that_lies_on_its_side_is_turned_upright(recognizer: Recognizer) -> None:
    image = Image.open(LINE).convert("RGB").transpose(Image.Transpose.ROTATE_90)
    image.getexif()[0x0112] = 6
    image.info["exif"] = image.getexif().tobytes()
    assert recognizer.read([image])[0].text == "PHIẾU NHẬP KHO SỐ 0457/PN-KT"


@pytest.mark.parametrize(
    "item",
    [b"bytes", None, [1], np.zeros((4, 5)), np.zeros((1, 4, 5, 3), np.uint8), np.zeros((0, 5), np.uint8)],
)
def test_another_item_is_refused_with_what_is_taken(recognizer: Recognizer, item: Any) -> None:
    with pytest.raises(ImageError) as refused:
        recognizer.read([LINE, item])
    assert "Item 1" in refused.value.problem and "(H, W, 3)" in refused.value.fix


@pytest.mark.parametrize("single", [LINE, str(LINE), Image.new("L", (9, 9)), np.zeros((9, 9), np.uint8)])
def test_a_single_item_is_to_be_put_into_a_list(recognizer: Recognizer, single: Any) -> None:
    for read in (recognizer.read, recognizer.read_files):
        with pytest.raises(ImageError, match="list") as refused:
            read(single)
        assert refused.value.fix == "Write [image]."


def test_no_list_at_all_is_refused(recognizer: Recognizer) -> None:
    for wrong in (5, b"bytes", None):
        with pytest.raises(ImageError, match="list"):
            recognizer.read(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("option", ["precision", "device", "runtime"])
def test_an_unknown_name_of_an_option_is_refused_with_the_known_ones(option: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Recognizer.load("vi-small", **{option: "foo"})
    assert f"{option} 'foo'" in refused.value.problem and "auto" in refused.value.fix
    assert "--" not in refused.value.fix  # who programs has no command line


def test_a_missing_config_of_vietocr_names_no_command(tmp_path: Path) -> None:
    from vocr_cli.vietocr import Cfg

    with pytest.raises(ConfigError) as refused:
        Cfg.load_config_from_file(tmp_path / "gone.yml")
    assert "load_config_from_name" in refused.value.fix and "--" not in refused.value.fix
