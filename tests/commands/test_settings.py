"""vocr config and docs/settings.md: every setting is explained, and the page is what the command prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from documents import ROOT, text_of
from typer.testing import CliRunner

from vocr_cli.app import app
from vocr_cli.core.config.reference import all_sections, json_schema
from vocr_cli.core.config.tree import Config, parse_config
from vocr_cli.core.errors import ConfigError

runner = CliRunner()


def leaves(tree: Any, start: str = "") -> set[str]:
    """The dotted keys of the values of a config."""
    if not isinstance(tree, dict) or start.endswith("font_weights"):
        return {start}
    return {
        key for name, value in tree.items() for key in leaves(value, f"{start}.{name}" if start else name)
    }


def test_every_setting_of_a_config_is_there_with_a_meaning() -> None:
    known = {setting.key: setting for section in all_sections() for setting in section.settings}
    assert not [
        key for key, setting in known.items() if not (setting.meaning and setting.kind and setting.default)
    ]
    trees = [parse_config({"model": {"family": family}}, "test") for family in ("ctc", "vietocr")]
    for tree in trees:
        assert leaves(tree.model_dump(mode="json", by_alias=True)) - {"data.train"} <= set(known)


def test_the_page_of_settings_is_what_the_command_prints() -> None:
    """Made anew by: vocr config --markdown > docs/settings.md."""
    result = runner.invoke(app, ["config", "--markdown"])
    assert result.exit_code == 0 and result.stdout == text_of("docs/settings.md")


@pytest.mark.parametrize("width", [60, 200])
def test_a_setting_is_shown_with_type_default_limits_and_meaning(width: int) -> None:
    result = runner.invoke(app, ["config", "augment.strength"], env={"COLUMNS": str(width)})
    assert result.exit_code == 0 and max(map(len, result.stdout.splitlines())) <= width
    words = " ".join(result.stdout.split())
    assert "augment.strength number; default 0.5; ≥ 0, ≤ 1 At the start" in words
    assert "optim" not in words


def test_an_unknown_setting_is_refused_with_the_nearest() -> None:
    for key in ("optm.lr", "lr"):
        error = runner.invoke(app, ["config", key]).exception
        assert isinstance(error, ConfigError) and "optim.lr" in error.fix


def test_the_schema_knows_the_sections_and_both_families() -> None:
    result = runner.invoke(app, ["config", "--schema"])
    schema = json.loads(result.stdout)
    assert schema == json_schema()
    assert set(schema["properties"]) == set(Config().model_dump(by_alias=True))
    definitions = schema["$defs"]
    names = [item["$ref"].rpartition("/")[2] for item in schema["properties"]["model"]["anyOf"]]
    assert [definitions[name]["properties"]["family"]["const"] for name in names] == ["ctc", "vietocr"]
    assert definitions["OptimConfig"]["properties"]["lr"]["exclusiveMinimum"] == 0
    assert all(f"#/$defs/{name}" in result.stdout for name in definitions)  # each is used
    assert runner.invoke(app, ["config", "--schema", "optim"]).exit_code == 2


def test_an_inspected_config_can_be_used(tmp_path: Path) -> None:
    for source in sorted((ROOT / "tests" / "golden" / "configs").glob("*.yaml")):
        shown = runner.invoke(app, ["inspect", str(source)])
        assert shown.exit_code == 0, shown.output
        again = tmp_path / source.name
        again.write_text(shown.stdout, encoding="utf-8")
        assert yaml.safe_load(runner.invoke(app, ["inspect", str(again)]).stdout) == yaml.safe_load(
            shown.stdout
        )
