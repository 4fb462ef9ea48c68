"""Prints what documents say by the renderer's grammar, a line each: receipts, forms, addresses, signs.

python examples/vi-small/phrases.py LINES >phrases.txt
"""

from __future__ import annotations

import sys
from random import Random

from vocr_cli.core.synth.text import templates

RULES = {
    "receipt": 5, "price": 1, "row": 1, "sign": 4, "note": 3, "address": 3, "form": 3, "heading": 3,
    "person_line": 2, "short": 3, "document": 2, "measure": 1, "english": 2, "bullet": 1,
}  # fmt: skip
"""Rules of the grammar, and how often each is drawn."""

dice = Random(20)
lines = dice.choices(list(RULES), weights=list(RULES.values()), k=int(sys.argv[1]))
sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
sys.stdout.writelines(f"{templates.expand(rule, dice)}\n" for rule in lines)
