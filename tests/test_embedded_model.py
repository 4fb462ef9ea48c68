"""What a newcomer meets first: the embedded model, the example lines and the README's commands."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from conftest import EXAMPLE_LINES, ROOT
from typer.testing import CliRunner

from vocr_cli.app import app
from vocr_cli.core.models.files import load_model
from vocr_cli.core.models.spec import embedded_models

runner = CliRunner()


@pytest.mark.parametrize("name", ["vi-small", "vi-base"])
def test_the_models_are_small_and_tell_nothing_of_the_machine_they_came_from(name: str) -> None:
    path = embedded_models()[name]
    assert path.stat().st_size <= 10_000_000
    model = load_model(name)
    assert model.provenance["lines"] > 0
    assert not re.search(r'"(/|[A-Z]:\\\\)', json.dumps(model.provenance))


@pytest.mark.parametrize("name", ["vi-small", "vi-base"])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_example_lines_are_read(tmp_path: Path, precision: str, name: str) -> None:
    if precision == "int8":
        pytest.importorskip("onnxruntime", reason="extra onnx is not installed")
    out = tmp_path / "scores.json"
    arguments = ["eval", str(EXAMPLE_LINES), "--model", name, "--precision", precision]
    arguments += ["--device", "cpu", "--json", str(out)]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    scores = json.loads(out.read_text(encoding="utf-8"))
    assert scores["lines"] >= 24
    assert scores["cer"]["value"] <= 0.01


@pytest.mark.parametrize("readme", ["README.md", "README.vi.md"])
def test_every_command_in_the_readme_exists_with_its_options(readme: str) -> None:
    text = (ROOT / readme).read_text(encoding="utf-8")
    commands = re.findall(r"^(?:\$ )?(vocr [a-z-]+ .*?)(?: \|.*)?$", text, re.MULTILINE)
    assert len(commands) >= 5
    for command in commands:
        _, name, *arguments = shlex.split(command, comments=True)
        shown = runner.invoke(app, [name, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
        assert shown.exit_code == 0, command
        for option in (argument for argument in arguments if argument.startswith("--")):
            assert option in shown.output, f"{command}: {option}"
