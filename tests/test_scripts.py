"""Scripts outside the package, which no other test runs, import only what the package has."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest
from conftest import ROOT

SCRIPTS = sorted([*(ROOT / "benchmarks").rglob("*.py"), *(ROOT / "examples").rglob("*.py")])


@pytest.mark.parametrize("script", SCRIPTS, ids=[str(script.relative_to(ROOT)) for script in SCRIPTS])
def test_scripts_import_what_is_there(script: Path) -> None:
    missing = []
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("vocr_cli"):
            continue
        try:
            module = importlib.import_module(node.module or "")
        except ModuleNotFoundError as error:
            missing.append(str(error))
            continue
        for alias in node.names:
            try:
                found = hasattr(module, alias.name) or importlib.import_module(f"{node.module}.{alias.name}")
            except ModuleNotFoundError:
                found = False
            if not found:
                missing.append(f"{node.module}.{alias.name}")
    assert not missing
