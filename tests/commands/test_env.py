"""vocr env: the facts that a report of a fault needs."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib

import pytest
from documents import text_of
from typer.testing import CliRunner

from vocr_cli import __version__
from vocr_cli.app import app
from vocr_cli.core.inference.backends import environment

runner = CliRunner()


def test_a_document_on_stdout_stands_there_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in environment.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VOCR_CACHE_DIR", "here")
    result = runner.invoke(app, ["env", "--json", "-"])
    facts = json.loads(result.stdout)
    assert result.exit_code == 0 and facts["vocr"].startswith(__version__)
    assert facts["cache folder"] == "here" and facts["environment"] == "VOCR_CACHE_DIR=here"
    assert "formats on the CPU" in result.stderr
    assert runner.invoke(app, ["env"]).stdout.startswith("vocr env")


def test_the_extras_are_those_of_the_package() -> None:
    extras = set(tomllib.loads(text_of("pyproject.toml"))["project"]["optional-dependencies"])
    assert set(environment.EXTRAS) == extras - {"dev"}


def test_a_damaged_torch_is_a_fact_and_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    read_hardware = environment.read_hardware

    def damaged(torch_facts: bool = True):  # type: ignore[no-untyped-def]
        if torch_facts:
            raise OSError("libtorch.so: undefined symbol")
        return read_hardware(torch_facts=False)

    monkeypatch.setattr(environment, "read_hardware", damaged)
    facts = environment.environment_facts()
    assert "undefined symbol" in facts["torch"] and "torch" not in facts["runtimes"]


def test_it_needs_no_torch(without_torch: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vocr_cli", "env"], env=without_torch, capture_output=True, text=True
    )
    assert done.returncode == 0 and "not installed" in done.stdout, done.stderr
