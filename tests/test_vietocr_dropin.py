"""Programs written for VietOCR, their imports changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import line_image
from PIL import Image
from tiny_vietocr import make_model

from vocr_cli.core.errors import ConfigError, ModelError
from vocr_cli.core.export.vietocr import save_for_vietocr
from vocr_cli.core.inference import Recognizer
from vocr_cli.vietocr import Cfg, Predictor

NAMES = ("vgg_transformer", "vgg_seq2seq", "resnet_transformer", "vgg_convseq2seq")
IMAGES = [line_image(seed, width=60 + 20 * (seed % 4)) for seed in range(6)]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The YAML of a model, which names its weights."""
    return save_for_vietocr(tmp_path_factory.mktemp("vietocr") / "tiny.pth", make_model("convseq2seq"))


@pytest.fixture
def config(files: Path) -> Cfg:
    config = Cfg.load_config_from_file(files)
    config["device"] = "cpu"
    return config


@pytest.mark.parametrize("name", NAMES)
def test_every_named_config_is_complete(name: str) -> None:
    config = Cfg.load_config_from_name(name)
    assert config["seq_modeling"] == name.split("_")[1] and config["backbone"].startswith(name[:3])
    assert len(config["vocab"]) == 229 and config["dataset"]["image_height"] == 32
    config["cnn"]["pretrained"] = False
    config["predictor"]["beamsearch"] = True
    assert Cfg.load_config_from_name(name)["predictor"]["beamsearch"] is False  # each call makes its own


def test_unknown_name_is_refused_and_the_names_are_listed() -> None:
    with pytest.raises(ConfigError) as caught:
        Cfg.load_config_from_name("vgg_transformers")
    assert all(name in caught.value.fix for name in NAMES)


def test_file_is_laid_over_the_base_section_by_section(tmp_path: Path) -> None:
    file = tmp_path / "mine.yml"
    file.write_text("vocab: abc\ndataset: {image_height: 40}\n", encoding="utf-8")
    config = Cfg.load_config_from_file(str(file))
    assert config["vocab"] == "abc" and config["predictor"]["beamsearch"] is False
    assert config["dataset"] == {"image_height": 40}  # a section is laid over as a whole
    alone = Cfg.load_config_from_file(file, download_base=False)
    assert alone == {"vocab": "abc", "dataset": {"image_height": 40}}
    with pytest.raises(ConfigError):
        Cfg.load_config_from_file(tmp_path / "none.yml")


def test_entries_are_attributes_and_survive_saving(tmp_path: Path) -> None:
    config = Cfg.load_config_from_name("vgg_seq2seq")
    config.weights = "weights/mine.pth"
    assert config["weights"] == config.weights == "weights/mine.pth"
    with pytest.raises(AttributeError):
        _ = config.nothing
    config.save(tmp_path / "saved.yml")
    assert yaml.safe_load((tmp_path / "saved.yml").read_text(encoding="utf-8")) == dict(config)
    assert Cfg.load_config_from_file(tmp_path / "saved.yml") == config
    with pytest.raises(ConfigError):
        config.save(tmp_path)
    config["device"] = object()
    with pytest.raises(ConfigError):
        config.save(tmp_path / "saved.yml")


def test_results_have_vietocrs_shapes_and_batch_is_single(config: Cfg) -> None:
    predictor = Predictor(config)
    texts = predictor.predict_batch(IMAGES)
    assert isinstance(texts, list) and [predictor.predict(image) for image in IMAGES] == texts
    assert len(set(texts)) > 4
    found, probabilities = predictor.predict_batch(IMAGES, return_prob=True)
    assert found == texts
    for image, text, probability in zip(IMAGES, texts, probabilities, strict=True):
        alone, single = predictor.predict(image, return_prob=True)
        assert (alone, single) == (text, pytest.approx(probability, abs=1e-3))
    assert predictor.predict_batch([]) == [] and predictor.predict_batch([], return_prob=True) == ([], [])


def test_probability_is_the_mean_over_the_characters(config: Cfg) -> None:
    readings = Recognizer.of(make_model("convseq2seq"), "cpu", "fp32", threads=1).read(IMAGES)
    texts, probabilities = Predictor(config).predict_batch(IMAGES, return_prob=True)
    assert texts == [reading.text for reading in readings]
    for reading, probability in zip(readings, probabilities, strict=True):
        mean = sum(reading.char_confidences) / len(reading.char_confidences)
        assert probability == pytest.approx(mean, abs=1e-3)


def test_beamsearch_is_honoured(config: Cfg) -> None:
    greedy = Predictor(config).predict_batch(IMAGES)
    config["predictor"]["beamsearch"] = True
    predictor = Predictor(config)
    expected = Recognizer.of(make_model("convseq2seq"), "cpu", "fp32", threads=1, beam=4).read(IMAGES)
    assert [predictor.predict(image) for image in IMAGES] == [reading.text for reading in expected] != greedy


def test_images_of_any_mode_are_read(config: Cfg) -> None:
    predictor = Predictor(config)
    expected = predictor.predict(IMAGES[0])
    for mode in ("RGB", "RGBA", "P", "1"):
        assert predictor.predict(IMAGES[0].convert(mode)) == expected or mode == "1"
    assert isinstance(predictor.predict(Image.new("CMYK", (80, 20))), str)


def test_a_plain_dict_serves_and_stays_as_it_is(config: Cfg) -> None:
    plain = dict(config)
    before = yaml.safe_dump(plain)
    assert Predictor(plain).predict(IMAGES[0]) == Predictor(config).predict(IMAGES[0])
    assert yaml.safe_dump(plain) == before


def test_precision_can_be_asked_for(config: Cfg) -> None:
    assert Predictor(config).recognizer.engine.precision == "fp32"
    assert Predictor(config, precision="bf16").recognizer.engine.precision == "bf16"


def test_url_is_never_fetched_but_a_file_of_its_name_is_found(
    config: Cfg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = Path(config["weights"])
    url = config["weights"] = "https://vocr.vn/data/vietocr/surely_not_here.pth?download=1"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError) as caught:
        Predictor(config)
    assert url in caught.value.problem and str(tmp_path / "surely_not_here.pth") in caught.value.fix
    (tmp_path / "surely_not_here.pth").write_bytes(weights.read_bytes())
    assert Predictor(config).predict(IMAGES[0])


def test_weights_and_devices_that_cannot_be_had_are_errors_with_a_remedy(config: Cfg, tmp_path: Path) -> None:
    for changes, kind in (
        ({"weights": ""}, ConfigError),
        ({"weights": str(tmp_path / "none.pth")}, ModelError),
        ({"device": "cuda:1"}, ConfigError),
        ({"device": "tpu"}, ConfigError),
        ({"vocab": "abc"}, ModelError),
    ):
        with pytest.raises(kind) as caught:
            Predictor({**config, **changes})
        assert caught.value.fix
    config.pop("weights")
    with pytest.raises(ConfigError):
        Predictor(config)


def test_errors_in_a_config_name_no_file_that_the_caller_does_not_know(config: Cfg) -> None:
    with pytest.raises((ConfigError, ModelError)) as refused:
        Predictor({**config, "vocab": "abc"})
    assert "the config" in str(refused.value) and "/config" not in str(refused.value)


def test_entries_of_their_own_kinds_are_what_they_stand_for_and_others_are_passed_by(
    config: Cfg, tmp_path: Path
) -> None:
    expected = Predictor(config).predict_batch(IMAGES)
    notebook = Cfg({**config, "cnn": Cfg(config["cnn"]), "device": torch.device("cpu")})
    notebook["dataset"] = {
        **config["dataset"],
        "image_max_width": np.int64(512),
        "image_height": np.float64(32),
    }
    notebook["transform"] = lambda image: image
    assert Predictor(notebook).predict_batch(IMAGES) == expected
    del notebook.transform
    notebook.save(tmp_path / "saved.yml")
    written = yaml.safe_load((tmp_path / "saved.yml").read_text(encoding="utf-8"))
    assert written["device"] == "cpu" and written["dataset"]["image_max_width"] == 512
    with pytest.raises(AttributeError):
        del notebook.transform


def test_changes_of_the_config_count_from_the_next_line_on(config: Cfg) -> None:
    wide = Image.new("RGB", (300, 32), "white")
    wide.paste(line_image(3, width=280), (10, 0))
    predictor = Predictor(config)
    before, loaded = predictor.predict(wide), predictor.recognizer
    assert predictor.recognizer is loaded and predictor.device == "cpu"
    predictor.config["dataset"]["image_max_width"] = 64
    squeezed = Predictor(config).predict(wide)
    assert predictor.predict(wide) == squeezed != before
    predictor.config["predictor"]["beamsearch"] = True
    assert predictor.recognizer.beam == 4


def test_a_base_beside_a_file_is_laid_under_it_as_everywhere(tmp_path: Path) -> None:
    from vocr_cli.core.models.vietocr.yaml_config import read_vietocr_yaml

    (tmp_path / "base.yml").write_text(
        "vocab: abcdef\ndataset: {image_max_width: 640}\ntrainer: {batch_size: 3}\n", encoding="utf-8"
    )
    file = tmp_path / "mine.yml"
    file.write_text("backbone: vgg19_bn\nseq_modeling: transformer\n", encoding="utf-8")
    config = Cfg.load_config_from_file(file)
    assert config["vocab"] == read_vietocr_yaml(file).characters == "abcdef"
    assert config["dataset"] == {"image_max_width": 640}
