"""YAML out of files that others wrote: plain values alone, of a bounded size, every fault a ValueError."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_BYTES = 1 << 20
"""Longer files are no config: parsing them would take minutes."""

_MAX_VALUES = 50_000
_MAX_DEPTH = 50


def parse_yaml(text: str) -> Any:
    """Parses YAML into dictionaries, lists, texts, numbers and dates; nothing in it is executed.

    What anchors stand for counts each time that it is used: a few lines of them may stand for billions of
    values ("billion laughs"), which are refused before any is made.

    Raises:
        ValueError: It is no YAML, holds a value that cannot be, or too many or too deeply nested ones.
    """
    if len(text) > MAX_BYTES:
        raise ValueError(f"it has {len(text):,} characters, more than {MAX_BYTES:,}")
    try:
        _check_size(text)
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        raise ValueError(_in_words(error)) from None
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, AttributeError, OverflowError) as error:
        # The constructors of YAML's numbers and dates let through whatever Python's own raise.
        raise ValueError(_first_line(error)) from None


def repeated_key(text: str) -> tuple[str, int, int] | None:
    """Returns the first key that stands twice in one mapping, and both lines; YAML's readers take the last.

    Args:
        text: What `parse_yaml` takes; `<<` may stand more than once.
    """
    nodes = [yaml.compose(text, Loader=yaml.SafeLoader)]
    found, seen = list[tuple[int, str, int]](), set[int]()
    while nodes:
        node = nodes.pop()
        if not isinstance(node, yaml.CollectionNode) or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            nodes += node.value
            continue
        lines = dict[str, int]()
        for key, value in node.value:
            nodes.append(value)
            if not isinstance(key, yaml.ScalarNode) or key.value == "<<":
                continue
            line = key.start_mark.line + 1
            if key.value in lines:
                found.append((line, key.value, lines[key.value]))
            lines[key.value] = line
    if not found:
        return None
    line, key, first = min(found)
    return key, first, line


@dataclass
class _Size:
    """How many values have come so far, those that anchors stand for included."""

    values: int = 0
    of_anchor: dict[str, int] = field(default_factory=dict)
    open_nodes: list[tuple[str | None, int]] = field(default_factory=list)
    """The anchor of each list or dictionary that is not ended, and how many values came before it."""

    def add(self, count: int) -> None:
        """Counts values.

        Raises:
            ValueError: They are too many.
        """
        self.values += count
        if self.values > _MAX_VALUES:
            raise ValueError(f"it stands for more than {_MAX_VALUES:,} values")


def _check_size(text: str) -> None:
    size = _Size()
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in size.open_nodes):
                raise ValueError(f"`*{event.anchor}` stands within itself")
            size.add(size.of_anchor.get(event.anchor or "", 1))
        elif isinstance(event, yaml.CollectionStartEvent):
            size.open_nodes.append((event.anchor, size.values))
            size.add(1)
            if len(size.open_nodes) > _MAX_DEPTH:
                raise ValueError(f"it is nested more than {_MAX_DEPTH} levels deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = size.open_nodes.pop()
            if anchor is not None:
                size.of_anchor[anchor] = size.values - before
        elif isinstance(event, yaml.ScalarEvent):
            size.add(1)
            if event.anchor is not None:
                size.of_anchor[event.anchor] = 1


def _in_words(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
    return where + _shortened(error.problem or error.context or "no YAML")


def _first_line(error: Exception) -> str:
    return _shortened((str(error).strip() or type(error).__name__).split("\n")[0])


def _shortened(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}…"
