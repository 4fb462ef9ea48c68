"""Shows settings: as paragraphs for a terminal, as a page of tables for the documents."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vocr_cli.terminal import console

if TYPE_CHECKING:
    from vocr_cli.core.config.reference import SectionFacts, SettingFacts

_WIDEST = 110  # columns: longer lines are hard to follow
_HEADING = """# Settings

Made by `vocr config --markdown`, which shows what the installed version has; `vocr config optim.lr` explains
one setting, and `vocr config --schema` is for editors. They stand in a YAML file under their sections, as
`vocr autoconf` writes it; `vocr train --set optim.lr=0.0005` overrides one. `data.train[]` stands for every
item of the list `data.train`.
"""
_COLUMNS = "| setting | type | default | limits | meaning |\n| --- | --- | --- | --- | --- |"


def show_settings(sections: Sequence[SectionFacts]) -> None:
    """Shows each setting as its name, its type, default and limits, and what it means."""
    width = min(shutil.get_terminal_size((_WIDEST, 24)).columns, _WIDEST)
    for section in sections:
        console.result("\n".join(textwrap.wrap(f"{section.title}: {section.meaning}", width)))
        for setting in section.settings:
            facts = "; ".join(_facts(setting))
            console.result("\n".join(_hanging(f"{setting.key}  {facts}", width, 2)))
            console.result("\n".join(_hanging(setting.meaning, width, 6)))
        console.result("")


def markdown_page(sections: Sequence[SectionFacts]) -> str:
    """The page `docs/settings.md`."""
    parts = [_HEADING]
    for section in sections:
        rows = [_row(setting) for setting in section.settings]
        table = "\n".join([_COLUMNS, *rows])
        parts.append(f"## {section.title}\n\n{section.meaning}\n\n{table}\n")
    return "\n".join(parts)


def _row(setting: SettingFacts) -> str:
    cells = (f"`{setting.key}`", setting.kind, f"`{setting.default}`", setting.limits, setting.meaning)
    return f"| {' | '.join(map(_cell, cells))} |"


def _facts(setting: SettingFacts) -> list[str]:
    facts = [setting.kind, f"default {setting.default}"]
    return [*facts, setting.limits] if setting.limits else facts


def _hanging(text: str, width: int, indent: int) -> list[str]:
    first, rest = " " * indent, " " * max(indent, 6)
    return textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=rest,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<TAB>", "⇥")
