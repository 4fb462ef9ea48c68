"""How a line is set: sizes, spacing, bends and crops, drawn for the scene that it appears in."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from random import Random

from vocr_cli.core.synth.fonts.font_kinds import kind_of
from vocr_cli.core.synth.fonts.fonts import FontFace
from vocr_cli.core.synth.scenes import Scene

MASTER_PX = 48
"""Glyphs of lines that are not hinted are drawn at this size, once, and scaled."""

_HINTED_PX = (12, 13, 14, 15, 16, 17, 18, 20, 22, 24)
_COMMON = 2.0  # weight of a face from which on it is drawn often enough to be hinted at every size
_PINS = (13, 14, 15, 16, 20, 22, 24)
_SEVERAL_WORDS = 20  # characters
_CLEAN_PX = (20, 24, 28, 32, 36, 40, 44)

_EM_PX: dict[str, tuple[float, float]] = {  # least and largest font size of each scene
    "digital": (12, 32),
    "screen": (11.5, 19),
    "scan": (14, 34),
    "copy": (15, 30),
    "typed": (15, 30),
    "thermal": (15, 30),
    "photo": (14, 34),
    "sign": (18, 44),
    "hand": (17, 36),
}
_HINTED = {"screen": 0.7, "digital": 0.2, "typed": 0.0, "sign": 0.0, "hand": 0.0}


@dataclass(frozen=True)
class Layout:
    """How a line is set, before anything spoils it.

    Attributes:
        em_px: Font size in the finished image.
        master_px: Size at which glyphs are drawn and bent; the drawing is scaled to em_px. Equal to em_px:
            text is hinted at its own size, as screens do.
        bilevel: Pixels are on or off, fully hinted, as older screens and printers draw (master_px = em_px).
        subpixel: The three colours of a pixel are sampled side by side, as ClearType does.
        word_gap: Width of a space over the font's own.
        column_gap_em: Extra width of one or two of the spaces, as between the columns of a table.
        letter_gap_em: Extra space after every character.
        stretch: Horizontal scale; below 1 condensed.
        slant: Horizontal shift per px of height.
        angle_rad: Rotation.
        curve_em: Height of the arc of the baseline.
        waves_em: How far the baseline wanders, as curved paper and hands make it.
        bend_em: How far points of the drawing stray, smoothly, as the letters of a hand do.
        swell: How much the height of letters comes and goes along the line, as a hand's does, 0..1.
        jitter_em: How far single letters leave the baseline, as a typewriter's do.
        unevenness: How much the ink of single letters differs, 0..1.
        weight_px: Strokes thickened (> 0) or thinned (< 0) by so many px of the drawing.
        perspective: Relative change of height from left to right.
        neighbours: Whether parts of the lines above and below are drawn.
        pitch_em: Distance of neighbouring baselines.
        crop: `cut` (through the outermost marks), `capitals` (marks above them may be lost), `tight`,
            `line-box`, `loose` or `wide`.
        underline: Whether a rule runs under the text.
        small_digits: Whether raised and lowered digits are small common ones, as word processors set them.
    """

    em_px: float = 32.0
    master_px: int = 32
    bilevel: bool = False
    subpixel: bool = False
    word_gap: float = 1.0
    column_gap_em: float = 0.0
    letter_gap_em: float = 0.0
    stretch: float = 1.0
    slant: float = 0.0
    angle_rad: float = 0.0
    curve_em: float = 0.0
    waves_em: float = 0.0
    bend_em: float = 0.0
    swell: float = 0.0
    jitter_em: float = 0.0
    unevenness: float = 0.0
    weight_px: int = 0
    perspective: float = 0.0
    neighbours: bool = False
    pitch_em: float = 1.3
    crop: str = "tight"
    underline: bool = False
    small_digits: bool = False

    @property
    def hinted(self) -> bool:
        """Whether glyphs are drawn at their finished size."""
        return self.master_px == self.em_px

    @property
    def warped(self) -> bool:
        """Whether the drawing is bent in any way."""
        return bool(
            self.slant
            or self.angle_rad
            or self.curve_em
            or self.waves_em
            or self.bend_em
            or self.swell
            or self.perspective
        )


def _size(dice: Random, low: float, high: float) -> float:
    """em_px, small sizes more often, and most often a whole fraction of MASTER_PX: those scale fast."""
    em_px = math.exp(dice.uniform(math.log(low), math.log(high)))
    if dice.random() < 0.75:
        near = min((MASTER_PX / by for by in (4, 3, 2)), key=lambda size: abs(math.log(size / em_px)))
        return near if low <= near <= high else em_px
    return em_px


def _own_size(dice: Random, face: FontFace, sizes: tuple[int, ...]) -> int:
    """A size to hint a face at; rare faces have one each: every size is one more set of glyphs to draw."""
    if face.weight >= _COMMON:
        return dice.choice(sizes)
    return sizes[zlib.crc32(face.path.name.encode()) % len(sizes)]


def choose_layout(dice: Random, scene: Scene, characters: int, face: FontFace) -> Layout:
    """How a line of so many characters in that face is set in that scene."""
    if scene.kind == "clean":
        crop = "loose" if dice.random() < 0.5 else "tight"
        if dice.random() < 0.5:
            hinted_px = _own_size(dice, face, _CLEAN_PX)
            return Layout(em_px=hinted_px, master_px=hinted_px, crop=crop)
        return Layout(em_px=_size(dice, 20, 44), master_px=MASTER_PX, crop=crop)
    if scene.kind == "matrix":
        return _dot_layout(dice, scene, face)
    chance, kind = scene.chance, scene.kind
    low, high = _EM_PX.get(kind, (15, 34))
    if kind in ("photo", "sign") and characters <= 12:
        high *= 1.2
    fine = kind_of(face.family) == "hand"
    if fine:  # hairlines and small bodies
        low, high = max(low, 22), max(high, 36)
    hand = kind == "hand"
    hinted = not (hand or fine) and dice.random() < _HINTED.get(kind, 0.08)
    em_px: float = _size(dice, low, high)
    master_px = MASTER_PX
    if hinted:
        em_px = master_px = _own_size(dice, face, _HINTED_PX)
    bilevel = hinted and kind == "screen" and dice.random() < 0.35
    word_gap = 1.0
    if chance(dice, 0.3):
        word_gap = math.exp(dice.uniform(math.log(0.75), math.log(3.5)))
    return Layout(
        em_px=em_px,
        master_px=master_px,
        bilevel=bilevel,
        subpixel=not bilevel
        and kind in ("screen", "digital")
        and chance(dice, 0.4 if kind == "screen" else 0.04),
        word_gap=word_gap,
        column_gap_em=dice.uniform(1, 7) if chance(dice, 0.25 if kind == "thermal" else 0.06) else 0.0,
        letter_gap_em=_letter_gap(dice, scene),
        stretch=1.0 if hinted else _stretch(dice, scene),
        weight_px=_weight(dice, scene, master_px) if not hinted else 0,
        neighbours=chance(dice, 0.35 if kind in ("digital", "scan", "screen", "copy") else 0.15),
        pitch_em=dice.uniform(1.06, 1.5),
        crop=_crop(dice, scene, characters),
        underline=chance(dice, 0.05),
        small_digits=dice.random() < 0.6,
        **({} if hinted else _bends(dice, scene, characters)),
    )


def _dot_layout(dice: Random, scene: Scene, face: FontFace) -> Layout:
    """Pins of a printer's head are the pixels: 9 pins, 9 pins in two passes, or 24 pins."""
    size = _own_size(dice, face, _PINS)
    return Layout(
        em_px=size,
        master_px=size,
        bilevel=True,
        word_gap=dice.choice((1.0, 1.0, 1.3)),
        column_gap_em=dice.uniform(1, 7) if scene.chance(dice, 0.25) else 0.0,
        letter_gap_em=dice.choice((0.0, 0.0, 0.08, 0.15)),
        neighbours=scene.chance(dice, 0.15),
        pitch_em=dice.uniform(1.2, 1.7),
        crop=_crop(dice, scene),
        small_digits=False,
    )


def _letter_gap(dice: Random, scene: Scene) -> float:
    if scene.kind == "hand":
        return dice.uniform(-0.05, 0.06)
    if not scene.chance(dice, 0.2 if scene.kind in ("sign", "thermal", "typed") else 0.09):
        return 0.0
    return dice.uniform(-0.03, 0.12) if dice.random() < 0.6 else dice.uniform(0.1, 0.4)


def _stretch(dice: Random, scene: Scene) -> float:
    if not scene.chance(dice, 0.6 if scene.kind in ("sign", "hand") else 0.25):
        return 1.0
    return math.exp(dice.uniform(math.log(0.62), math.log(1.5)))


def _weight(dice: Random, scene: Scene, master_px: int) -> int:
    if not scene.chance(dice, 0.4 if scene.kind in ("typed", "copy", "hand") else 0.15):
        return 0
    if scene.kind == "hand":
        return dice.choice((1, 1, -1))
    return dice.randint(1, max(1, round(0.05 * master_px))) if dice.random() < 0.75 else -1


def _crop(dice: Random, scene: Scene, characters: int = 0) -> str:
    if scene.kind == "screen":
        return dice.choices(("cut", "tight", "line-box", "loose"), (2, 2, 3, 3))[0]
    if scene.kind in ("photo", "sign", "hand"):
        return dice.choices(("cut", "tight", "line-box", "loose", "wide"), (2, 5, 1, 4, 1))[0]
    # Of marks that are cut away only the words around tell.
    capitals = 1.5 if characters >= _SEVERAL_WORDS else 0
    crops = ("cut", "tight", "line-box", "capitals", "loose", "wide")
    return dice.choices(crops, (3, 3, 4, capitals, 2, 0.5))[0]


def _bends(dice: Random, scene: Scene, characters: int) -> dict[str, float]:
    """What camera, paper, hand or typewriter do to the straight line."""
    chance, kind = scene.chance, scene.kind
    photo = kind in ("photo", "sign")
    # The longer a line, the less it can turn or wander before it leaves its crop.
    room = min(1.0, 30 / characters)
    if kind == "hand":
        return {
            "slant": dice.gauss(0.08, 0.16),
            "bend_em": dice.uniform(0.015, 0.06) * scene.strength,
            "waves_em": dice.uniform(0, 0.22) * room,
            "angle_rad": dice.gauss(0, 0.02) * room,
            "swell": dice.uniform(0, 0.18),
            "jitter_em": dice.uniform(0, 0.05),
            "unevenness": dice.uniform(0, 0.25) if chance(dice, 0.3) else 0.0,
        }
    bends: dict[str, float] = {}
    if chance(dice, 0.5 if photo else 0.2 if kind in ("scan", "copy", "thermal", "typed") else 0.02):
        bends["angle_rad"] = dice.gauss(0, 0.02 if photo else 0.006) * room
    if chance(dice, 0.12 if kind == "sign" else 0.04):
        bends["slant"] = dice.gauss(0, 0.12)
    if photo and chance(dice, 0.25):
        bends["perspective"] = dice.gauss(0, 0.08)
    if chance(dice, {"sign": 0.15, "photo": 0.08}.get(kind, 0.0)):
        bends["curve_em"] = dice.gauss(0, 0.12 if kind == "photo" else 0.2)
    if chance(dice, {"photo": 0.15, "thermal": 0.12}.get(kind, 0.0)):
        bends["waves_em"] = dice.uniform(0.02, 0.15) * room
    if chance(dice, 0.04):
        bends["bend_em"] = dice.uniform(0.01, 0.03)
    if kind == "typed":
        bends |= {"jitter_em": dice.uniform(0, 0.05), "unevenness": dice.uniform(0, 0.5)}
    return bends
