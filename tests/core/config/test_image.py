"""Image settings: alike wherever they come from, a config or a model's file."""

from __future__ import annotations

import dataclasses
import json

import pytest

from vocr_cli.core.config.image import ImageConfig
from vocr_cli.core.config.tree import Config, parse_config
from vocr_cli.core.errors import ConfigError

WRONG = [
    {"height_px": 7},
    {"height_px": 1025},
    {"channels": 2},
    {"max_width_px": 63},
    {"stretch": 0.1},
    {"stretch": float("nan")},
    {"resample": "nearest"},
    {"polarity": None},
]
CONVERTIBLE = [{"height_px": "40"}, {"height_px": 40.0}, {"height_px": True}, {"channels": True}]
"""What YAML and the command line may give for a number, and no model's file does."""


@pytest.mark.parametrize("values", WRONG + CONVERTIBLE, ids=str)
def test_what_a_file_cannot_say_is_named(values: dict[str, object]) -> None:
    (name,) = values
    with pytest.raises(ValueError, match=f"image.{name} is"):
        ImageConfig.parse(values)
    with pytest.raises(ValueError, match=f"image.{name} is"):
        dataclasses.replace(ImageConfig(), **values)  # type: ignore[arg-type]


@pytest.mark.parametrize("values", WRONG, ids=str)
def test_a_config_is_held_to_the_same_limits(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        parse_config({"image": values}, "test")


@pytest.mark.parametrize("height_px", [41, 8, 136])
def test_a_ctc_model_takes_fewer_heights_than_vietocrs(height_px: int) -> None:
    with pytest.raises(ConfigError, match=r"`image.height_px` must be a multiple of 8 from 16 to 128"):
        parse_config({"image": {"height_px": height_px}}, "test")
    tree = {"model": {"family": "vietocr"}, "image": {"height_px": height_px}}
    assert parse_config(tree, "test").image.height_px == height_px


def test_an_unknown_setting_is_named() -> None:
    with pytest.raises(ValueError, match=r"image\.height is unknown"):
        ImageConfig.parse({"height": 40})


def test_settings_are_written_and_read_back() -> None:
    image = ImageConfig(height_px=32, channels=3, stretch=2, polarity="as-is")
    assert ImageConfig.parse(json.loads(image.to_json())) == image
    assert image.to_json() == json.dumps(image.to_dict(), separators=(",", ":"))
    assert '"stretch":2.0' in image.to_json()
    assert parse_config({"image": image.to_dict()}, "test").image == image
    assert ImageConfig.parse({}) == ImageConfig() == parse_config({}, "test").image


def test_the_schema_of_a_config_tells_limits_and_meaning() -> None:
    section = Config.model_json_schema()["$defs"]["ImageConfig"]
    height = section["properties"]["height_px"]
    assert (height["minimum"], height["maximum"]) == (8, 1024)
    assert height["description"].startswith("Every line is scaled to this height;")
    assert section["additionalProperties"] is False
