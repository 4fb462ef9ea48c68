"""Help texts flow: the line breaks of the source are none of the reader's business."""

from __future__ import annotations

import shlex
from itertools import pairwise

import pytest
import typer
from typer.testing import CliRunner

from vocr_cli.app import EXAMPLES, app

WIDTH = 80


@pytest.mark.parametrize("command", ["build-lmdb", "infer", "train"])
def test_help_breaks_a_line_only_where_the_next_word_does_not_fit(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0, result.output
    prose = result.output.partition("╭")[0].partition("Usage:")[2].splitlines()[1:]
    assert any(len(line.split()) > 1 for line in prose)
    for line, below in pairwise(line.strip() for line in prose):
        if line and below:
            assert len(f" {line} {below.split()[0]}") > WIDTH - 2, (line, below)


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize(
    "command",
    ["infer", "build-lmdb", "eval", "synth", "export", "bench infer", "lm", "train", "autoconf", "calibrate"],
)
def test_names_of_values_are_never_broken(command: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list such as auto|fp32|bf16 cut in the middle can neither be read nor copied."""
    monkeypatch.setenv("COLUMNS", str(width))
    shown = CliRunner().invoke(app, [*command.split(), "--help"]).output
    for line in shown.splitlines():
        assert line.count("<") == line.count(">") or "<TAB>" in line or "[" in line, line


@pytest.mark.parametrize("name", EXAMPLES)
def test_values_have_names_not_types(name: str) -> None:
    """`<float range> [0<=x<=0.95]` takes a third of the page and says less than SHARE."""
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    for parameter in command.params:
        takes_value = parameter.param_type_name == "argument" or not (
            parameter.is_flag or hasattr(parameter.type, "choices")
        )
        assert not takes_value or parameter.metavar, f"{name}: {parameter.name}"


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_of_a_help_page_is_a_command_line(name: str) -> None:
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    words = shlex.split(EXAMPLES[name])
    assert words[:2] == ["vocr", name]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= known | {"-q"}
    with command.make_context(name, words[2:]):  # parses them
        pass
