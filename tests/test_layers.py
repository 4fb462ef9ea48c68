"""Who may import whom, and who may print."""

from __future__ import annotations

import ast
import graphlib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import vocr_cli

PACKAGE = Path(vocr_cli.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

LAYERS = (
    ("errors",),
    ("text",),
    ("machine",),
    ("config",),
    ("language_model",),
    ("data",),
    ("evaluation", "synth"),
    ("models",),
    ("decoding",),
    ("training", "inference"),
    ("pages",),
    ("export",),
    ("autoconf",),
    ("inspection",),
    ("bench",),
    ("web",),
)
"""Rooms of core, lowest first: each may use those below it, and none of its own layer but itself."""

LAYER_OF = {part: number for number, parts in enumerate(LAYERS) for part in parts}


def module_name(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def nodes_of(file: Path) -> tuple[ast.AST, ...]:
    """All nodes of a file's syntax tree; each file is parsed once for all rules."""
    return tuple(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))


@cache
def imports(file: Path) -> tuple[str, ...]:
    """Every module that a file imports anywhere, inside functions too; relative imports resolved."""
    return tuple(_imports(file))


def _imports(file: Path) -> Iterator[str]:
    name = module_name(file)
    package = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
    for node in nodes_of(file):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*start, *([node.module] if node.module else [])])
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)


def core_part(module: str) -> str | None:
    """`data` of `vocr_cli.core.data.images.fit`; None outside core."""
    parts = module.split(".")
    return parts[2] if parts[:2] == ["vocr_cli", "core"] and len(parts) > 2 else None


def within(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def shown(paths: list[Path]) -> list[str]:
    return [module_name(path) for path in paths]


CORE = [file for file in FILES if within(module_name(file), "vocr_cli.core")]
COMMANDS = [file for file in FILES if module_name(file).startswith("vocr_cli.commands.")]


@pytest.mark.parametrize("file", CORE, ids=shown(CORE))
def test_core_knows_nothing_of_the_command_line(file):
    forbidden = (
        "typer",
        "rich",
        "click",
        "vocr_cli.commands",
        "vocr_cli.terminal",
        "vocr_cli.options",
        "vocr_cli.app",
    )
    assert not [module for module in imports(file) if within(module, *forbidden)]


@pytest.mark.parametrize("file", CORE, ids=shown(CORE))
def test_core_imports_only_downwards(file):
    own = core_part(module_name(file))
    if own is None:
        return
    assert own in LAYER_OF, (
        f"`core.{own}` has no layer: give it one in this test and in the README's file map"
    )
    used = {part for module in imports(file) if (part := core_part(module)) in LAYER_OF} - {own}
    assert not [part for part in used if LAYER_OF[part] >= LAYER_OF[own]], (
        f"core.{own} uses what stands above or beside it"
    )


def test_no_modules_import_each_other_in_a_circle():
    """Imports inside functions and under TYPE_CHECKING count as well: a circle is a circle to a reader."""
    graph = {module_name(file): set(imports(file)) for file in FILES}
    graph = {
        module: {used for used in targets if used in graph} - {module} for module, targets in graph.items()
    }
    sorter = graphlib.TopologicalSorter(
        {
            module: {used for used in targets if not module.startswith(used + ".")}
            for module, targets in graph.items()
        }
    )
    sorter.prepare()  # raises CycleError, which names the circle


def test_no_room_is_too_full_to_be_looked_over():
    counts = Counter(file.parent for file in FILES if file.name != "__init__.py")
    assert not {str(folder): count for folder, count in counts.items() if count > 13}


LONG_ALGORITHMS: dict[str, str] = {}
"""Functions of over 60 lines that are one algorithm each, with the reason why they stay whole."""


@pytest.mark.parametrize("file", FILES, ids=shown(FILES))
def test_files_and_functions_can_be_read_at_a_stretch(file):
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 300
    functions = [node for node in nodes_of(file) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = {node.name for node in functions if node.end_lineno - node.lineno + 1 > 60}
    assert not {name for name in long if f"{module_name(file)}.{name}" not in LONG_ALGORITHMS}


@pytest.mark.parametrize("file", COMMANDS, ids=shown(COMMANDS))
def test_commands_do_not_import_one_another(file):
    own = module_name(file)
    assert not [
        m for m in imports(file) if within(m, "vocr_cli.commands", "vocr_cli.app") and not within(m, own)
    ]


@pytest.mark.parametrize("file", FILES, ids=shown(FILES))
def test_no_module_bundles_what_has_no_home(file):
    assert not {"utils", "util", "common", "helpers", "misc"} & set(module_name(file).split("."))


@pytest.mark.parametrize("file", FILES, ids=shown(FILES))
def test_only_the_terminal_package_prints(file):
    if within(module_name(file), "vocr_cli.terminal"):
        return
    calls = [node.func for node in nodes_of(file) if isinstance(node, ast.Call)]
    prints = [call.lineno for call in calls if isinstance(call, ast.Name) and call.id == "print"]
    streams = [
        call.lineno
        for call in calls
        if isinstance(call, ast.Attribute) and ast.unparse(call).startswith("sys.std")
    ]
    assert not prints + streams, f"{file.name} prints in line {prints + streams}"


def test_the_rules_see_imports_inside_functions_and_relative_ones(tmp_path, monkeypatch):
    monkeypatch.setattr("test_layers.PACKAGE", tmp_path / "vocr_cli")
    file = tmp_path / "vocr_cli" / "core" / "data" / "images.py"
    file.parent.mkdir(parents=True)
    file.write_text("def f():\n    import typer\n    from ..bench import suites\n")
    found = set(imports(file))
    assert {"typer", "vocr_cli.core.bench", "vocr_cli.core.bench.suites"} <= found
    assert core_part("vocr_cli.core.bench.suites") == "bench"
