"""The `base.yml` that VietOCR's configs are laid over, where one lies beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vocr_cli.core.config.tree import read_tree
from vocr_cli.core.models.vietocr.yaml_rules.known_keys import is_vietocr

_NAMES = ("base.yml", "base.yaml")


def over_base(path: Path, sections: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """Lays a file's sections, each as a whole, over those of the base beside it, as VietOCR does.

    Args:
        path: The file.
        sections: What it holds.
        notes: Says which sections are the base's.

    Returns:
        The sections of both; those of the file alone where no base lies beside it.

    Raises:
        ConfigError: The base cannot be read.
    """
    beside = next((path.with_name(name) for name in _NAMES if path.with_name(name).is_file()), None)
    if beside is None or path.name in _NAMES:
        return sections
    base = read_tree(beside)
    added = {key: value for key, value in base.items() if key not in sections and value is not None}
    if not added:
        return sections
    if not is_vietocr(base):
        notes.append(f"{beside} lies beside it, but is not VietOCR's: not used.")
        return sections
    names = ", ".join(f"`{key}`" for key in added)
    notes.append(f"{names} {'is' if len(added) == 1 else 'are'} taken from {beside}, beside it.")
    return {**added, **sections}
