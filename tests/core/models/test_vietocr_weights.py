"""VietOCR's weight files: understood from their tensors, never executed, written back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from vocr_cli.app import app
from vocr_cli.core.config.families import ConvSeq2SeqConfig, Seq2SeqConfig, TransformerConfig, VietocrConfig
from vocr_cli.core.config.tree import Config, ImageConfig
from vocr_cli.core.data.images.fit import fitted_width
from vocr_cli.core.data.loader.dataset import StoredSource
from vocr_cli.core.errors import ConfigError, ModelError
from vocr_cli.core.export.vietocr import save_for_vietocr
from vocr_cli.core.models.files import ModelFile, load_model, save_model
from vocr_cli.core.models.vietocr.constants import VIETOCR_CHARACTERS, VIETOCR_IMAGE
from vocr_cli.core.models.vietocr.recognizer import VietocrRecognizer
from vocr_cli.core.text import Charset

TINY = TransformerConfig(d_model=16, encoder_layers=1, decoder_layers=2, feed_forward=24, positions=200)


def tiny(classes: int = 233, sequence: str = "transformer", **settings: object) -> VietocrRecognizer:
    torch.manual_seed(0)
    config = VietocrConfig(
        backbone="resnet50",
        hidden=16,
        sequence=sequence,  # type: ignore[arg-type]
        transformer=settings.get("transformer", TINY),  # type: ignore[arg-type]
        seq2seq=Seq2SeqConfig(encoder_hidden=8, decoder_hidden=10, embedding=12),
        convseq2seq=ConvSeq2SeqConfig(
            embedding=16,
            hidden=8,
            encoder_layers=1,
            decoder_layers=2,
            decoder_kernel=5,
            encoder_positions=150,
        ),
    )
    return VietocrRecognizer(config, VIETOCR_IMAGE, classes).eval()


def saved(path: Path, content: object = None) -> Path:
    torch.save(tiny().state_dict() if content is None else content, path)
    return path


def logits(module: torch.nn.Module) -> torch.Tensor:
    lines = torch.rand((2, 3, 32, 80), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        result: torch.Tensor = module(lines, torch.tensor([[1, 6, 7], [1, 5, 4]]))
        return result


@pytest.mark.parametrize("sequence", ["transformer", "seq2seq", "convseq2seq"])
def test_a_bare_state_dict_is_enough(tmp_path: Path, sequence: str) -> None:
    source = tiny(sequence=sequence)
    model = load_model(saved(tmp_path / "transformerocr.pth", source.state_dict()))
    assert isinstance(model.config, VietocrConfig)
    assert getattr(model.config, sequence) == getattr(source.config, sequence)
    assert (model.config.backbone, model.config.sequence, model.config.hidden) == ("resnet50", sequence, 16)
    assert model.charset.characters == VIETOCR_CHARACTERS and model.config.specials == 4
    assert model.image.height_px == 32 and model.name == "transformerocr"
    assert torch.equal(logits(model.module), logits(source)) and not model.module.training


def test_vgg_backbones_are_told_apart(tmp_path: Path) -> None:
    config = VietocrConfig(backbone="vgg11_bn", hidden=16, transformer=TINY)
    path = saved(tmp_path / "a.pth", VietocrRecognizer(config, VIETOCR_IMAGE, 233).state_dict())
    loaded = load_model(path).config
    assert isinstance(loaded, VietocrConfig) and loaded.backbone == "vgg11_bn"


def test_old_files_have_a_class_less(tmp_path: Path) -> None:
    model = load_model(saved(tmp_path / "old.pth", tiny(232).state_dict()))
    assert isinstance(model.config, VietocrConfig) and model.config.specials == 3
    assert model.charset.characters == VIETOCR_CHARACTERS


def test_checkpoints_and_parallel_training_leave_other_shapes(tmp_path: Path) -> None:
    state = tiny().state_dict()
    wrapped = {f"module.{key}": value for key, value in state.items()}
    checkpoint = {"iter": 7, "state_dict": wrapped, "optimizer": {"state": {}}, "train_losses": [(1, 0.5)]}
    model = load_model(saved(tmp_path / "c.pth", checkpoint))
    assert torch.equal(logits(model.module), logits(tiny()))
    assert model.provenance["iterations"] == 7


def test_files_of_old_torch_are_read_and_their_damage_named(tmp_path: Path) -> None:
    path = tmp_path / "old.pth"
    torch.save(tiny().state_dict(), path, _use_new_zipfile_serialization=False)
    assert torch.equal(logits(load_model(path).module), logits(tiny()))
    whole = path.read_bytes()
    for length in (0, 20, len(whole) // 2, len(whole) - 9):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError, match=r"old\.pth"):
            load_model(path)


def test_half_precision_and_lacking_buffers_are_made_whole(tmp_path: Path) -> None:
    state = {
        key: value.half() if value.is_floating_point() else value
        for key, value in tiny().state_dict().items()
        if "num_batches_tracked" not in key
    }
    table = state.pop("transformer.pos_enc.pe")
    (tmp_path / "h.yml").write_text("transformer: {max_seq_length: 200}")
    state["transformer.pos_enc.pe"] = table
    model = load_model(saved(tmp_path / "h.pth", state))
    assert torch.allclose(logits(model.module), logits(tiny()), atol=0.05)
    del state["transformer.pos_enc.pe"]
    assert torch.allclose(
        load_model(saved(tmp_path / "i.pth", state)).module.state_dict()["transformer.pos_enc.pe"][:200],
        tiny().state_dict()["transformer.pos_enc.pe"],
    )


def test_characters_come_from_the_config_beside_or_named(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.pth", tiny(9).state_dict())
    with pytest.raises(ModelError, match="9 classes") as caught:
        load_model(path)
    assert "--config" in caught.value.fix
    (tmp_path / "config.yml").write_text(
        "vocab: 'ăbcđ5'\ncnn: {hidden: 16}\ntransformer: {nhead: 2, d_model: 16}\n"
    )
    model = load_model(path)
    assert model.charset == Charset("ăbcđ5") and isinstance(model.config, VietocrConfig)
    assert model.config.specials == 4 and model.config.transformer.heads == 2
    (tmp_path / "m.yaml").write_text(
        "vocab: 'ăbcđ56'\ndataset: {image_max_width: 300}\n"
    )  # nearer by its name
    model = load_model(path)
    assert model.charset == Charset("ăbcđ56") and model.image.max_width_px == 300
    assert isinstance(model.config, VietocrConfig) and model.config.specials == 3
    (tmp_path / "other.yml").write_text("vocab: 'xyzuv'\n")
    assert load_model(path, tmp_path / "other.yml").charset == Charset("xyzuv")


def test_a_foreign_config_beside_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text("model: {family: ctc}\nlr: 3\n")
    assert load_model(saved(tmp_path / "m.pth")).provenance["config"] is None


def test_a_vocab_that_does_not_fit_says_both_counts(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text("vocab: 'abc'\n")
    with pytest.raises(ModelError, match=r"233 classes.*3 characters.*make 7"):
        load_model(saved(tmp_path / "m.pth"))
    (tmp_path / "config.yml").write_text("vocab: 'abca'\n")
    with pytest.raises(ModelError, match=r"233 classes.*3 characters.*make 7"):
        load_model(tmp_path / "m.pth")


def test_a_vocab_with_a_character_more_than_the_weights_makes_no_old_file(tmp_path: Path) -> None:
    """Each class would stand for its neighbour's character."""
    config = tmp_path / "config.yml"
    config.write_text(yaml.safe_dump({"vocab": VIETOCR_CHARACTERS + "€"}, allow_unicode=True), "utf-8")
    with pytest.raises(ModelError, match=r"233 classes.*230 characters.*make 234"):
        load_model(saved(tmp_path / "m.pth"))
    own = saved(tmp_path / "own.pth", tiny(9).state_dict())  # of one's own vocab, nobody can tell: it is said
    config.write_text("vocab: 'ăbcđ56'\ncnn: {hidden: 16}\ntransformer: {d_model: 16}\n", "utf-8")
    model = load_model(own)
    assert any("taken for an old file" in note for note in model.notes) and model.config.special_classes == 3
    config.write_text("vocab: 'ăbcđ5'\ncnn: {hidden: 16}\ntransformer: {d_model: 16}\n", "utf-8")
    assert not any("old file" in note for note in load_model(own).notes)


@pytest.mark.parametrize("entry", ["weights", "export", "checkpoint"])
def test_a_config_above_the_folder_of_the_weights_counts_where_it_names_them(
    tmp_path: Path, entry: str
) -> None:
    path = tmp_path / "weights" / "m.pth"
    path.parent.mkdir()
    saved(path)
    named = {"weights": "./weights/m.pth"}
    tree = named if entry == "weights" else {"trainer": {entry: "./weights/m.pth"}}
    tree |= {"dataset": {"image_max_width": 300}, "seq_modeling": "transformer"}
    (tmp_path / "config.yml").write_text(yaml.safe_dump(tree), "utf-8")
    assert load_model(path).image.max_width_px == 300
    assert not any("No config beside" in note for note in load_model(path).notes)
    other = load_model(saved(path.with_name("n.pth")))
    assert other.image.max_width_px == 512 and "No config beside n.pth" in other.notes[0]


def test_what_is_supposed_of_weights_is_said_where_they_are_read(tmp_path: Path) -> None:
    line = next((Path(__file__).parents[3] / "examples" / "lines" / "images").glob("*.png"))
    path = saved(tmp_path / "m.pth")
    for command in (["infer", str(line)], ["eval", str(line.parents[1]), "--limit", "1"]):
        result = CliRunner().invoke(app, [*command, "--model", str(path), "--device", "cpu"])
        assert result.exit_code == 0 and "No config beside m.pth" in result.stderr, result.output
    (tmp_path / "m.yml").write_text(
        "predictor: {beamsearch: true}\ncnn: {hidden: 16}\ntransformer: {d_model: 16}\n", "utf-8"
    )
    result = CliRunner().invoke(app, ["infer", str(line), "--model", str(path), "--device", "cpu"])
    assert "--beam 4" in result.stderr and "No config" not in result.stderr


@pytest.mark.parametrize("place", [0, 5, len(VIETOCR_CHARACTERS)])
def test_a_repeated_character_of_a_vocab_has_vietocrs_class(tmp_path: Path, place: int) -> None:
    vocab = VIETOCR_CHARACTERS[:place] + "a" + VIETOCR_CHARACTERS[place:]
    (tmp_path / "m.yml").write_text(yaml.safe_dump({"vocab": vocab}, allow_unicode=True), encoding="utf-8")
    charset = load_model(saved(tmp_path / "m.pth")).charset
    class_of = {char: index for index, char in enumerate(vocab)}  # as VietOCR numbers: the last one counts
    classes = len(set(vocab))
    for index, char in enumerate(charset.characters):
        assert char == vocab[index] or class_of[vocab[index]] != index, index
    assert len(charset) == classes
    assert [char for char in vocab if class_of[char] < classes and char not in charset] == []


def test_a_config_of_another_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.yml").write_text("backbone: vgg19_bn\n")
    with pytest.raises(ModelError, match=r"holds a resnet50.*describes a vgg19_bn"):
        load_model(saved(tmp_path / "m.pth"))
    assert load_model(tmp_path / "m.pth", "resnet_transformer").config.family == "vietocr"
    with pytest.raises(ConfigError, match=r"nothing\.yml"):
        load_model(tmp_path / "m.pth", tmp_path / "nothing.yml")


def test_heads_that_no_shape_tells_need_a_config(tmp_path: Path) -> None:
    odd = TransformerConfig(
        d_model=48, heads=5 + 1, encoder_layers=1, decoder_layers=1, feed_forward=8, positions=200
    )
    config = VietocrConfig(backbone="resnet50", hidden=48, transformer=odd)
    module = VietocrRecognizer(config, VIETOCR_IMAGE, 233)
    state = {key: value for key, value in module.state_dict().items()}
    path = saved(tmp_path / "m.pth", state)
    (tmp_path / "m.yml").write_text("cnn: {hidden: 48}\ntransformer: {d_model: 48, nhead: 6}\n")
    loaded = load_model(path).config
    assert isinstance(loaded, VietocrConfig) and loaded.transformer.heads == 6
    (tmp_path / "m.yml").write_text("cnn: {hidden: 48}\ntransformer: {d_model: 48, nhead: 7}\n")
    with pytest.raises(ConfigError, match=r"`transformer\.nhead: 7` does not divide"):
        load_model(path)


def test_lines_are_no_wider_than_the_table_of_positions(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.pth", tiny(sequence="convseq2seq").state_dict())  # 150 positions
    (tmp_path / "m.yml").write_text("dataset: {image_max_width: 2000}\n")
    model = load_model(path)
    widest = model.image.max_width_px
    assert any("150 positions" in note for note in model.provenance["notes"])
    with torch.inference_mode():
        assert model.module(torch.rand(1, 3, 32, widest), torch.ones(1, 1, dtype=torch.int64)).shape[2] == 233
    assert widest // 4 + 1 == 150


class Trap:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.target,))


def test_code_in_a_file_is_not_executed(tmp_path: Path) -> None:
    target = tmp_path / "executed"
    for content in (Trap(target), {"state_dict": tiny().state_dict(), "extra": Trap(target)}):
        with pytest.raises(ModelError, match=r"more than tensors.*nothing in it was executed") as caught:
            load_model(saved(tmp_path / "trap.pth", content))
        assert "state_dict" in caught.value.fix and not target.exists()
    assert isinstance(CliRunner().invoke(app, ["inspect", str(tmp_path / "trap.pth")]).exception, ModelError)
    assert not target.exists()


def test_what_is_no_vietocr_model_is_told_apart(tmp_path: Path) -> None:
    whole = saved(tmp_path / "whole.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "text.pth").write_text("not a model")
    foreign = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 3), torch.nn.Linear(3, 3)).state_dict()
    lacking, extra, other = tiny().state_dict(), tiny().state_dict(), tiny().state_dict()
    del lacking["transformer.fc.weight"]
    extra["transformer.surplus"] = torch.ones(2)
    other["cnn.model.conv1.weight"] = torch.ones(2, 2)
    for name, content in {
        "foreign": foreign, "list": [torch.ones(2)], "tensor": torch.ones(2), "nothing": {},
        "lacking": lacking, "extra": extra, "other": other,
        "half": {key: value for key, value in tiny().state_dict().items() if "embed" not in key},
    }.items():  # fmt: skip
        saved(tmp_path / f"{name}.pth", content)
    for name, reason in {
        "cut": "cut off or damaged", "empty": "not a model file", "text": "not a model file",
        "foreign": "another project's", "list": "no weights", "tensor": "no weights", "nothing": "no weights",
        "lacking": "fc.weight is missing", "extra": "surplus is not VietOCR's",
        "other": r"conv1.weight is \(2, 2\)", "half": "sequence model",
    }.items():  # fmt: skip
        with pytest.raises(ModelError, match=reason) as caught:
            load_model(tmp_path / f"{name}.pth")
        assert name in caught.value.problem and caught.value.fix


@pytest.mark.parametrize("sequence", ["transformer", "seq2seq", "convseq2seq"])
def test_a_file_for_vietocr_comes_back_as_it_was(tmp_path: Path, sequence: str) -> None:
    source = tiny(8, sequence)
    model = ModelFile(source, source.config, VIETOCR_IMAGE, Charset("ấbcđ"), name="m")
    written = save_for_vietocr(tmp_path / "out" / "m.pth", model)
    assert sorted(path.name for path in written.parent.iterdir()) == ["m.pth", "m.yml"]
    state = torch.load(tmp_path / "out" / "m.pth", weights_only=True)
    assert list(state) == list(source.state_dict())
    assert all(torch.equal(state[key], value) for key, value in source.state_dict().items())
    tree = yaml.safe_load(written.read_text(encoding="utf-8"))
    assert tree["vocab"] == "ấbcđ" and tree["seq_modeling"] == sequence and tree["backbone"] == "resnet50"
    assert set(tree["cnn"]) == {"ss", "hidden"}  # what VietOCR's resnet50 takes
    again = load_model(tmp_path / "out" / "m.pth")
    assert (again.image, again.charset) == (model.image, model.charset)
    assert isinstance(again.config, VietocrConfig)
    assert getattr(again.config, sequence) == getattr(source.config, sequence)
    assert torch.equal(logits(again.module), logits(source))


def test_export_goes_both_ways(tmp_path: Path, tiny_model: Path) -> None:
    runner = CliRunner()

    def export(*arguments: object) -> object:
        return runner.invoke(app, ["export", *map(str, arguments)])

    path = saved(tmp_path / "a.pth")
    assert export(path, tmp_path / "b.safetensors").exit_code == 0  # type: ignore[attr-defined]
    assert export(tmp_path / "b.safetensors", tmp_path / "c.pth", "--to", "vietocr").exit_code == 0  # type: ignore[attr-defined]
    first, last = (torch.load(tmp_path / name, weights_only=True) for name in ("a.pth", "c.pth"))
    assert list(first) == list(last)
    assert all(torch.equal(first[key], last[key]) for key in first)
    assert load_model(tmp_path / "b.safetensors").config == load_model(tmp_path / "c.pth").config
    assert export(path, tmp_path / "d.pth").exit_code == 2  # type: ignore[attr-defined]
    assert export(path, tmp_path / "d.onnx", "--to", "vietocr").exit_code == 2  # type: ignore[attr-defined]
    refused = export(tiny_model, tmp_path / "d.pth", "--to", "vietocr")
    assert isinstance(refused.exception, ModelError)  # type: ignore[attr-defined]
    assert not list(tmp_path.glob("d.*"))


def test_a_file_that_describes_itself_takes_no_config(tmp_path: Path) -> None:
    source = tiny()
    path = tmp_path / "m.safetensors"
    save_model(path, ModelFile(source, source.config, VIETOCR_IMAGE, Charset(VIETOCR_CHARACTERS)))
    loaded = load_model(path)
    assert loaded.config == source.config and torch.equal(logits(loaded.module), logits(source))
    with pytest.raises(ConfigError, match="describes itself"):
        load_model(path, "vgg_transformer")


def test_inspect_says_what_a_file_is(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.pth", {"iter": 3, "state_dict": tiny(50).state_dict()})
    result = CliRunner().invoke(app, ["inspect", str(path), "--json", str(tmp_path / "out.json")])
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    facts = found["facts"]
    assert found["kind"] == "model" and facts["written by"] == "VietOCR, checkpoint"
    assert facts["iterations"] == 3 and facts["classes"] == 50 and facts["model"]["backbone"] == "resnet50"
    assert facts["transformer"]["decoder_layers"] == 2 and "--config" in facts["charset"]
    path = saved(tmp_path / "n.pth")
    result = CliRunner().invoke(app, ["inspect", str(path)])
    assert result.exit_code == 0 and "characters 229" in result.stdout


@settings(deadline=None)
@given(st.integers(1, 5000), st.integers(1, 400))
def test_a_line_gets_the_width_that_vietocr_gives_it(width: int, height: int) -> None:
    natural = int(32 * float(width) / float(height))
    expected = min(max(int(np.ceil(natural / 10)) * 10, 32), 512)
    assert fitted_width(width, height, VIETOCR_IMAGE) == expected


@pytest.mark.parametrize("image", [ImageConfig(), VIETOCR_IMAGE])
def test_stored_lines_are_planned_with_the_width_they_get(image: ImageConfig) -> None:
    class Store:
        widths = np.array([1, 33, 321, 640, 99, 30_001], np.int32)
        heights = np.array([7, 32, 32, 63, 64, 40], np.int32)

    source = StoredSource(Store(), Config(image=image), Charset(), 0)  # type: ignore[arg-type]
    expected = [fitted_width(int(w), int(h), image) for w, h in zip(Store.widths, Store.heights, strict=True)]
    assert source.widths.tolist() == expected
