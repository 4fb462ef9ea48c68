"""Which language model a name stands for, and who may have one."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vocr_cli import Recognizer
from vocr_cli.app import app
from vocr_cli.core.errors import ModelError
from vocr_cli.core.inference.engines.vietocr import Seq2SeqEngine
from vocr_cli.core.inference.language_model import language_model_file
from vocr_cli.core.inference.loading import load_engine
from vocr_cli.core.inference.model_source import find_source
from vocr_cli.core.language_model.find import EMBEDDED_FILE
from vocr_cli.core.models.files import load_model, save_model


def test_the_embedded_model_has_its_own_and_others_have_what_lies_beside_them(
    tmp_path: Path, tiny_model: Path
) -> None:
    source = find_source("vi-small")
    engine = load_engine(source, "cpu", "int8", 1).engine
    assert language_model_file("auto", source, engine) == EMBEDDED_FILE
    assert language_model_file("none", source, engine) is None
    copy = tmp_path / "mine.safetensors"
    shutil.copy(tiny_model, copy)
    assert language_model_file("auto", find_source(copy), engine) is None
    assert language_model_file("vi", find_source(copy), engine) == EMBEDDED_FILE
    (tmp_path / "mine.lm").touch()
    assert language_model_file("auto", find_source(copy), engine) == tmp_path / "mine.lm"
    with pytest.raises(ModelError, match="No language model other"):
        language_model_file("other.lm", source, engine)


@pytest.mark.parametrize("file", ["mine.safetensors", "mine.onnx"])
def test_what_is_made_of_an_embedded_model_keeps_its_language_model(tmp_path: Path, file: str) -> None:
    """An exported vi-small reads as vi-small does, whatever it is called."""
    made = tmp_path / file
    exported = CliRunner().invoke(app, ["export", "vi-small", str(made)])
    assert exported.exit_code == 0
    assert "Of 16 lines, 16 read the same" in " ".join(exported.output.split())  # both without it
    recognizer = Recognizer.load(made, "cpu")
    assert recognizer.language_model == EMBEDDED_FILE and recognizer.second_look
    shown = CliRunner().invoke(app, ["inspect", str(made), "--json", "-", "--quiet"]).stdout
    facts = json.loads(shown)["facts"]
    assert facts["language model"] == "vi"
    (tmp_path / "mine.lm").touch()
    engine = recognizer.engine
    assert language_model_file("auto", find_source(made), engine) == tmp_path / "mine.lm"
    assert language_model_file("none", find_source(made), engine) is None


def test_a_language_model_of_another_name_is_left_alone_and_no_name_refused(
    tmp_path: Path, tiny_model: Path
) -> None:
    model = load_model(tiny_model)
    later = tmp_path / "later.safetensors"
    save_model(later, replace(model, language_model="of a later version"))
    assert Recognizer.load(later, "cpu").language_model is None
    save_model(later, replace(model, language_model=["vi"]))  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="`language_model` is no text"):
        Recognizer.load(later, "cpu")


def test_a_model_that_writes_step_by_step_has_one_only_on_request() -> None:
    engine = object.__new__(Seq2SeqEngine)
    source = find_source("vi-small")
    assert language_model_file("auto", source, engine) is None
    assert language_model_file("vi", source, engine) == EMBEDDED_FILE
