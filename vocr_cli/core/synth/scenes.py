"""How an image came about: the kinds of scene, their shares, and how hard their chances are scaled."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from random import Random

_SHARES = {
    # Documents as offices have them: a little over half of all lines.
    "digital": 0.26,  # pages of PDF files
    "screen": 0.13,  # captures of screens
    "scan": 0.14,
    "copy": 0.04,  # photocopies of photocopies, faxes
    "typed": 0.03,  # typewriters
    # Printers of receipts.
    "thermal": 0.07,
    "matrix": 0.04,
    # Phones, and what they are held before.
    "photo": 0.11,
    "sign": 0.09,  # posters, covers, menus, shop signs
    "coloured": 0.03,  # text on tinted and patterned paper, certificates
    "hand": 0.06,
}
SCENES = tuple(_SHARES)
_CUMULATIVE = list(itertools.accumulate(_SHARES.values()))


@dataclass(frozen=True)
class Scene:
    """How an image came about, and how hard its chances are scaled."""

    kind: str
    """`clean`, or one of SCENES."""
    strength: float

    def chance(self, dice: Random, probability: float) -> bool:
        """Whether something of that probability at full strength happens."""
        return dice.random() < probability * self.strength


def choose_scene(dice: Random, strength: float) -> Scene:
    """A scene by its share in use; clean documents alone at strength 0."""
    if dice.random() >= strength:
        return Scene("clean", strength)
    return Scene(dice.choices(SCENES, cum_weights=_CUMULATIVE)[0], strength)
