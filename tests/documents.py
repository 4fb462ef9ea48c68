"""The documents as tests read them: their fenced blocks, and the commands in those."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MIRRORS = {"README.md": "README.vi.md"} | {
    f"docs/{name}.md": f"docs/vi/{name}.md"
    for name in ("reading", "pages", "training", "vietocr", "several-gpus", "label", "platforms")
}
"""The pages with commands, and their Vietnamese mirrors."""


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str = "") -> list[str]:
    """The fenced blocks of a page in a language, without their fences."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text_of(page), re.MULTILINE | re.DOTALL)
    return [block for name, block in fenced if name == language]


def commands(page: str) -> list[str]:
    """The commands of a page in their order, without comments; of a block with output, those after `$`."""
    found = []
    for block in blocks(page):
        lines = block.splitlines()
        if lines[0].startswith("$ "):
            lines = [line[2:] for line in lines if line.startswith("$ ")]
        found += [re.sub(r" +# .*", "", line) for line in lines]
    return [line for line in found if re.match(r"vocr |make |torchrun |examples/\S+\.sh ", line)]
