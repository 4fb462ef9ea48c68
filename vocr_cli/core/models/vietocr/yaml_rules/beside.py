"""The YAML that belongs to a file of weights, where it lies as VietOCR leaves it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vocr_cli.core.config.tree import read_tree
from vocr_cli.core.errors import ConfigError
from vocr_cli.core.models.vietocr.yaml_config import VietocrYaml, read_vietocr_yaml
from vocr_cli.core.models.vietocr.yaml_rules.known_keys import is_vietocr

_SUFFIXES = (".yml", ".yaml")


def yaml_beside(path: Path) -> VietocrYaml | None:
    """Finds the VietOCR YAML of a file: one beside it, of its name or `config.yml`, or one above its folder.

    VietOCR's example saves `config.yml` above `weights/transformerocr.pth`. Such a one is taken where it
    names the file, as `weights`, `trainer.export` or `trainer.checkpoint`.

    Raises:
        ConfigError: The YAML cannot be used.
    """
    for beside in _beside(path):
        if beside.is_file() and is_vietocr(read_tree(beside)):
            return read_vietocr_yaml(beside)
    for suffix in _SUFFIXES:
        above = path.absolute().parent.parent / f"config{suffix}"
        if above.is_file() and _names(above, path):
            return read_vietocr_yaml(above)
    return None


def _beside(path: Path) -> Iterator[Path]:
    for suffix in _SUFFIXES:
        yield path.with_suffix(suffix)
    for suffix in _SUFFIXES:
        yield path.with_name(f"config{suffix}")


def _names(config: Path, weights: Path) -> bool:
    """Whether a YAML is VietOCR's and says that these weights are its own."""
    try:
        tree = read_tree(config)
    except ConfigError:  # of something else than these weights
        return False
    trainer: Any = tree.get("trainer")
    trainer = trainer if isinstance(trainer, dict) else {}
    named = [tree.get("weights"), trainer.get("export"), trainer.get("checkpoint")]
    own = os.path.abspath(weights)
    places = (os.path.abspath(config.parent / name) for name in named if isinstance(name, str) and name)
    return is_vietocr(tree) and own in places
