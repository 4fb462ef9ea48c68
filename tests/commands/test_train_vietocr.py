"""vocr train with VietOCR's YAML and annotation files."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from conftest import line_image
from tiny_vietocr import make_model
from typer.testing import CliRunner, Result

from vocr_cli.app import app
from vocr_cli.core.config.tree import load_config
from vocr_cli.core.errors import ConfigError, DataError
from vocr_cli.core.export.vietocr import save_for_vietocr
from vocr_cli.core.inference import Recognizer
from vocr_cli.core.models.files import load_model, save_model
from vocr_cli.core.models.vietocr.yaml_config import read_vietocr_yaml

runner = CliRunner()
MODEL = make_model()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder as VietOCR's users have it: config.yml, data/ with annotations and images."""
    images = tmp_path / "data" / "img"
    images.mkdir(parents=True)
    for number in range(4):
        line_image(number, 40 + 10 * (number % 2)).save(images / f"{number}.png")
    rows = [f"img/{number}.png\tabc {number}\n" for number in range(4)]
    (tmp_path / "data" / "train.txt").write_text("".join(rows), encoding="utf-8")
    (tmp_path / "data" / "valid.txt").write_text(rows[0], encoding="utf-8")
    tree = {
        "vocab": MODEL.charset.characters,
        "backbone": "resnet50",
        "cnn": {"hidden": 16, "pretrained": True},
        "seq_modeling": "transformer",
        "transformer": {
            "d_model": 16, "nhead": 2, "num_encoder_layers": 1, "num_decoder_layers": 1,
            "dim_feedforward": 32, "max_seq_length": 200, "pos_dropout": 0.1, "trans_dropout": 0.1,
        },
        "optimizer": {"max_lr": 1e-3, "pct_start": 0.2},
        "trainer": {"batch_size": 2, "print_every": 1, "valid_every": 2, "iters": 2, "export": "w.pth",
                    "checkpoint": "c.pth", "log": "train.log", "metrics": None},
        "dataset": {"name": "d", "data_root": "./data/", "train_annotation": "train.txt",
                    "valid_annotation": "valid.txt", "image_height": 32, "image_min_width": 32,
                    "image_max_width": 512},
        "dataloader": {"num_workers": 0, "pin_memory": True},
        "aug": {"image_aug": True, "masked_language_model": True},
        "pretrain": "https://example.org/vgg.pth",
        "weights": "https://example.org/vgg.pth",
    }  # fmt: skip
    write(tmp_path / "config.yml", tree)
    return tmp_path


def write(path: Path, tree: dict[str, object]) -> None:
    path.write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")


def train(project: Path, *more: str) -> Result:
    arguments = ["train", str(project / "config.yml"), "--out", str(project / "run"), "--device", "cpu"]
    return runner.invoke(app, [*arguments, *more])


def test_a_vietocr_yaml_trains_and_its_model_reads_and_goes_back_to_vietocr(project: Path) -> None:
    result = train(project)
    assert result.exit_code == 0, result.output
    for part in ("fetch https://example.org/vgg.pth", "--init FILE", "`trainer.export`", "`cnn.pretrained`"):
        assert result.output.count(part) == 1, part
    saved = load_config(project / "run" / "config.yaml")
    assert saved.schedule.name == "onecycle" and saved.optim.lr == 1e-3 and saved.batch.max_lines == 2
    assert saved.data.train[0].annotations == project / "data" / "train.txt"
    best = project / "run" / "checkpoints" / "best.safetensors"
    readings = Recognizer.load(best, device="cpu").read([line_image(0, 40)])
    assert len(readings) == 1
    exported = runner.invoke(app, ["export", str(best), str(project / "x.pth"), "--to", "vietocr"])
    assert exported.exit_code == 0, exported.output
    assert load_model(project / "x.pth").charset == MODEL.charset


def test_lines_that_cannot_be_used_are_named_and_the_exit_code_says_so(project: Path) -> None:
    file = project / "data" / "train.txt"
    file.write_text("img/gone.png\tx\n" + file.read_text(encoding="utf-8") + "no tab\n", encoding="utf-8")
    result = train(project, "--max-steps", "1")
    assert result.exit_code == 3 and "2 lines left out" in result.output
    rows = [row.split("\t") for row in (project / "run" / "bad-lines.tsv").read_text("utf-8").splitlines()]
    assert [(row[0], row[1]) for row in rows] == [(str(file), "1"), (str(file), "6")]
    assert "no such file" in rows[0][2]


def test_local_pretrained_weights_are_the_start_though_the_vocab_grew(project: Path) -> None:
    save_for_vietocr(project / "old.pth", MODEL)
    tree = yaml.safe_load((project / "config.yml").read_text(encoding="utf-8"))
    write(project / "config.yml", tree | {"pretrain": "old.pth", "vocab": MODEL.charset.characters + "ß"})
    result = train(project, "--max-steps", "1")
    assert result.exit_code == 0, result.output
    assert "Started from old" in result.output and "ß" in result.output


def test_init_is_stronger_than_the_weights_that_the_yaml_names(project: Path) -> None:
    save_model(project / "mine.safetensors", MODEL)
    result = train(project, "--init", str(project / "mine.safetensors"), "--max-steps", "1")
    assert result.exit_code == 0, result.output
    assert "Started from mine" in result.output and "example.org" not in result.output


def test_paths_that_are_not_beside_the_yaml_start_from_the_current_folder(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "configs").mkdir()
    (project / "config.yml").rename(project / "configs" / "c.yml")
    monkeypatch.chdir(project)
    arguments = ["train", "configs/c.yml", "--max-steps", "1", "--device", "cpu"]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert load_config(Path("runs/train/config.yaml")).data.train[0].annotations == Path("data/train.txt")


def test_a_missing_annotation_file_is_named_with_the_places_looked_at(project: Path) -> None:
    (project / "data" / "valid.txt").unlink()
    result = train(project)
    assert isinstance(result.exception, DataError) and result.exit_code == 1
    assert "valid_annotation" in str(result.exception) and str(project / "data") in str(result.exception)
    assert train(project, "--valid", str(project / "data" / "train.txt"), "--max-steps", "1").exit_code == 0


def test_annotation_files_can_be_given_as_options(project: Path) -> None:
    (project / "elsewhere").mkdir()
    for name in ("train.txt", "valid.txt"):
        (project / "data" / name).rename(project / "elsewhere" / name)
    files = ["--data", str(project / "elsewhere/train.txt"), "--valid", str(project / "elsewhere/valid.txt")]
    result = train(project, *files, "--images", str(project / "data"), "--max-steps", "1")
    assert result.exit_code == 0, result.output
    refused = train(project, "--images", str(project / "data"), "--data", str(project / "a.lmdb"))
    assert isinstance(refused.exception, ConfigError) and "--images" in str(refused.exception)


def test_settings_lie_over_a_vietocr_yaml(project: Path) -> None:
    refused = train(project, "--set", "optim.rate=1")
    assert isinstance(refused.exception, ConfigError) and "optim.rate" in str(refused.exception)
    result = train(project, "--set", "optim.lr=0.002", "--set", "precision.amp=off", "--max-steps", "1")
    assert result.exit_code == 0, result.output
    saved = load_config(project / "run" / "config.yaml")
    assert saved.optim.lr == 0.002 and saved.precision.amp == "off"


def test_a_mistyped_annotation_is_told_by_vietocrs_key(project: Path) -> None:
    tree = yaml.safe_load((project / "config.yml").read_text(encoding="utf-8"))
    tree["dataset"]["train_anotation"] = tree["dataset"].pop("train_annotation")
    write(project / "config.yml", tree)
    result = train(project)
    assert isinstance(result.exception, ConfigError), result.output
    assert f"{project / 'config.yml'} names no training data" in result.exception.problem
    assert "dataset.train_annotation" in result.exception.fix
    assert "did you mean `train_annotation`" in " ".join(result.output.split())


def test_characters_that_are_lost_are_told(project: Path) -> None:
    """A vocab that lost a letter by accident forgets what the model knew of it."""
    tree = yaml.safe_load((project / "config.yml").read_text(encoding="utf-8"))
    tree["vocab"] = tree["vocab"].replace("g", "").replace("k", "") + "x"
    write(project / "config.yml", tree)
    save_model(project / "own.safetensors", MODEL)
    said = " ".join(train(project, "--init", str(project / "own.safetensors")).output.split())
    assert "new characters: x" in said and "which are forgotten: gk" in said


def test_another_architecture_is_told_by_its_kind(project: Path) -> None:
    save_model(project / "own.safetensors", make_model("seq2seq"))
    result = train(project, "--init", str(project / "own.safetensors"))
    assert "sequence is seq2seq, not transformer" in str(result.exception)


def test_sections_that_are_not_in_the_file_are_told(project: Path) -> None:
    tree = yaml.safe_load((project / "config.yml").read_text(encoding="utf-8"))
    del tree["aug"]
    write(project / "config.yml", tree)
    (note,) = (note for note in read_vietocr_yaml(project / "config.yml").notes if "Sections not" in note)
    assert note.endswith("VietOCR's defaults: `aug`.")
