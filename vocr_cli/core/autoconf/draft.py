"""A plan: a config as it is chosen value by value, each with its reason, and its YAML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from vocr_cli.core.autoconf.facts import ProbeResult
from vocr_cli.core.autoconf.fine_tuning import FineTuning
from vocr_cli.core.autoconf.reasons.base import Reason
from vocr_cli.core.autoconf.reasons.notes import Note
from vocr_cli.core.config.tree import Config, ImageConfig, dump_config


@dataclass
class Plan:
    """A config, why it is so, and what the user should know besides."""

    config: Config
    reasons: dict[str, Reason]
    """`section.key` to the reason of that value; `section` alone to that of a whole section."""
    notes: list[Note]
    step: ProbeResult
    """The step that was chosen; its time is 0 if nothing was timed."""


@dataclass
class Draft:
    """A plan in the making: `tree` is that of a config."""

    tree: dict[str, Any]
    fine_tuning: FineTuning | None = None
    reasons: dict[str, Reason] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)

    def choose(self, key: str, value: Any, reason: Reason) -> None:
        """Set the value of a `section.key`."""
        section, name = key.split(".")
        self.tree[section][name] = value
        self.reasons[key] = reason

    @property
    def replay(self) -> float:
        """Fraction of the training lines that is rendered for fine-tuning."""
        return self.fine_tuning.replay if self.fine_tuning else 0.0

    @property
    def image(self) -> ImageConfig:
        """The image settings so far."""
        return ImageConfig.parse(self.tree["image"])


def annotated_yaml(plan: Plan, heading: Sequence[str] = ()) -> str:
    """Return the config as YAML that `load_config` reads back, each reason beside its value.

    Args:
        plan: What was planned.
        heading: Lines that come on top, as comments.
    """
    lines = [f"# {line}" for line in heading]
    section = ""
    for line in dump_config(plan.config).splitlines():
        if top := re.match(r"(\w+):", line):
            section = top[1]
        key = re.match(r"  (\w+):", line)
        reason = str(plan.reasons.get(f"{section}.{key[1]}" if key else section if top else "", ""))
        lines.append(f"{line}  # {' '.join(reason.split())}" if reason else line)
    return "\n".join(lines) + "\n"
