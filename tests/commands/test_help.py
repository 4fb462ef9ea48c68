"""Help texts flow: the line breaks of the source are none of the reader's business."""

from __future__ import annotations

from itertools import pairwise

import pytest
from typer.testing import CliRunner

from vocr_cli.app import app

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
