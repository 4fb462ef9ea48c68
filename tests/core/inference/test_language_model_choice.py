"""Which language model a name stands for, and who may have one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from vocr_cli.core.errors import ModelError
from vocr_cli.core.inference.engines.vietocr import Seq2SeqEngine
from vocr_cli.core.inference.language_model import language_model_file
from vocr_cli.core.inference.loading import load_engine
from vocr_cli.core.inference.model_source import find_source
from vocr_cli.core.language_model.find import EMBEDDED_FILE


def test_the_embedded_model_has_its_own_and_others_have_what_lies_beside_them(tmp_path: Path) -> None:
    source = find_source("vi-small")
    engine = load_engine(source, "cpu", "int8", 1).engine
    assert language_model_file("auto", source, engine) == EMBEDDED_FILE
    assert language_model_file("none", source, engine) is None
    copy = tmp_path / "mine.safetensors"
    shutil.copy(source.path, copy)
    assert language_model_file("auto", find_source(copy), engine) is None
    assert language_model_file("vi", find_source(copy), engine) == EMBEDDED_FILE
    (tmp_path / "mine.lm").touch()
    assert language_model_file("auto", find_source(copy), engine) == tmp_path / "mine.lm"
    with pytest.raises(ModelError, match="No language model other"):
        language_model_file("other.lm", source, engine)


def test_a_model_that_writes_step_by_step_has_one_only_on_request() -> None:
    engine = object.__new__(Seq2SeqEngine)
    source = find_source("vi-small")
    assert language_model_file("auto", source, engine) is None
    assert language_model_file("vi", source, engine) == EMBEDDED_FILE
