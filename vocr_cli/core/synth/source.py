"""An endless, seeded source of rendered lines: line i is the same whoever renders it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from random import Random

from PIL import Image

from vocr_cli.core.config.tree import SynthConfig
from vocr_cli.core.synth.effects.degrade import degrade
from vocr_cli.core.synth.fonts.font_kinds import is_written, kind_of
from vocr_cli.core.synth.fonts.fonts import FontFace, FontSet, find_fonts
from vocr_cli.core.synth.fonts.glyphs import axis_ranges
from vocr_cli.core.synth.layout import choose_layout
from vocr_cli.core.synth.render import SMALL_DIGITS, draw_line
from vocr_cli.core.synth.scenes import Scene, choose_scene
from vocr_cli.core.synth.text.corpus import Corpus
from vocr_cli.core.text import Charset

_POOLS = {  # scene: share of its lines that are set in the faces of a pool; the rest in any face, by weight
    "hand": (("hand", 1.0),),
    "sign": (("display", 0.35), ("hand", 0.12), ("even", 0.4)),
    "photo": (("even", 0.4), ("display", 0.08)),
    "coloured": (("even", 0.4),),
    "typed": (("mono", 0.85),),
    "thermal": (("mono", 0.4), ("text", 0.5)),
    "matrix": (("mono", 0.55), ("text", 0.45)),
}
_PAGES = (("text", 0.88), ("mono", 0.04))
_GENRES = {  # scene: kind of text, and its share
    "thermal": ("receipt", 0.65),
    "matrix": ("receipt", 0.65),
    "sign": ("sign", 0.7),
    "photo": ("sign", 0.3),
    "hand": ("hand", 0.4),
}


@dataclass(frozen=True)
class RenderedLine:
    """A line image (mode L or RGB), its label, the font that drew it, and the kind of scene."""

    image: Image.Image
    text: str
    font: str
    kind: str = ""


class _Pool:
    """Faces to draw from by weight."""

    def __init__(self, faces: Iterable[FontFace], even: bool = False) -> None:
        self.faces = [face for face in faces if face.weight > 0]
        self._weights = list(
            itertools.accumulate(min(face.weight, 1.0) if even else face.weight for face in self.faces)
        )

    def choose(self, dice: Random, text: str) -> FontFace | None:
        """A face that draws every character of `text`; None if few or none do."""
        for face in dice.choices(self.faces, cum_weights=self._weights, k=4) if self.faces else ():
            if face.covered.issuperset(text):
                return face
        return None


class LineSource:
    """Renders labelled lines; picklable, so that workers can share the work.

    Args:
        config: Text, fonts, strength and seed.
        charset: What labels may hold.
        channels: 1: grey images, 3: colour.

    Raises:
        FontError: No font that covers Vietnamese.
        DataError: A text source is missing or empty.
    """

    def __init__(self, config: SynthConfig, charset: Charset, channels: int = 3) -> None:
        self.config = config
        self.channels = channels
        self.corpus = Corpus(config.text, config.text_share, charset)
        self.fonts: FontSet = find_fonts(config.fonts, config.font_weights, charset.characters)
        self._relatives: dict[str, list[FontFace]] = {}
        kinds: dict[str, list[FontFace]] = {"hand": [], "display": [], "mono": [], "text": []}
        for face in self.fonts.faces:
            self._relatives.setdefault(face.family, []).append(face)
            kinds[kind_of(face.family)].append(face)
        self._pools = {kind: _Pool(faces) for kind, faces in kinds.items()}
        self._pools["written"] = _Pool(face for face in kinds["hand"] if is_written(face.family))
        self._pools["even"] = _Pool(kinds["text"] + kinds["display"] + kinds["mono"], even=True)
        common = set("aA1.,-()")
        signs = {char for char in charset.characters if not char.isascii() and not char.isalpha()}
        # Signs that a page takes from another font when its own lacks them, as word processors do.
        self._lenders = {
            sign: [
                face
                for face in self.fonts.faces
                if sign in face.covered and face.weight > 0 and common <= face.covered
            ]
            for sign in signs
        }

    def line(self, index: int) -> RenderedLine:
        """Line number `index` of this seed."""
        dice = Random((self.config.seed << 48) + index)
        while True:
            scene = choose_scene(dice, self.config.strength)
            genre, share = _GENRES.get(scene.kind, ("", 0.0))
            text = self.corpus.line(dice, genre if dice.random() < share else "")
            chosen = self._faces(text, dice, scene)
            if chosen is None:
                continue
            face, lent = chosen
            faces = [varied(face, dice, scene), *self._second_face(face, text, dice, scene)]
            layout = choose_layout(dice, scene, len(text), face)
            ink = draw_line(text, faces, layout, dice, lambda: self.corpus.line(dice), lent)
            if ink is not None:
                return RenderedLine(
                    degrade(ink, scene, dice, self.channels, layout.em_px), text, face.path.name, scene.kind
                )

    def _faces(self, text: str, dice: Random, scene: Scene) -> tuple[FontFace, dict[str, FontFace]] | None:
        """A face for the scene, and those that lend it the signs it lacks; None if none draws the text."""
        if scene.kind == "clean":
            face = self.fonts.choose(dice, text)
            return None if face is None else (face, {})
        own = "".join(char for char in text if char not in self._lenders) or text
        face = None
        at = dice.random()
        shouted = len(own) > 3 and own.isupper()
        for pool, share in _POOLS.get(scene.kind, _PAGES):
            if at < share:
                if pool == "hand" and (shouted or dice.random() < 0.75):
                    pool = "written"  # nobody writes words in the capitals of wedding cards
                face = self._pools[pool].choose(dice, own)
                break
            at -= share
        face = face or self.fonts.choose(dice, own)
        if face is None:
            return None
        lent = {}
        for char in sorted(set(text) - face.covered - {" "}):
            if lenders := self._lenders.get(char):
                lent[char] = dice.choice(lenders)
            elif char not in SMALL_DIGITS:
                return None
        return face, lent

    def _second_face(self, face: FontFace, text: str, dice: Random, scene: Scene) -> list[FontFace]:
        """Now and then another style of the family, for a bold or italic stretch within the line."""
        if not scene.chance(dice, 0.1):
            return []
        others = [
            other
            for other in self._relatives[face.family]
            if other != face and other.covered.issuperset(text)
        ]
        return [dice.choice(others)] if others else []


def varied(face: FontFace, dice: Random, scene: Scene) -> FontFace:
    """Half the time, another weight, width or optical size of a variable font."""
    if scene.kind == "clean" or not (ranges := axis_ranges(face.path, face.index)):
        return face
    if not scene.chance(dice, 0.5):
        return face
    # Five instances a face: opened fonts and drawn glyphs are kept, and every instance is one more to open.
    turn = dice.randrange(5)
    places = [(turn + 2 * axis) % 5 / 4 for axis in range(len(ranges))]
    return replace(
        face, instance=tuple(low + (high - low) * at for (low, high), at in zip(ranges, places, strict=True))
    )
