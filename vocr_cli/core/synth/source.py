"""An endless, seeded source of rendered lines: line i is the same whoever renders it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from vocr_cli.core.config.tree import SynthConfig
from vocr_cli.core.synth.corpus import Corpus
from vocr_cli.core.synth.degrade import Scene, choose_scene, degrade
from vocr_cli.core.synth.fonts import FontFace, FontSet, find_fonts
from vocr_cli.core.synth.render import Layout, axis_ranges, draw_line
from vocr_cli.core.text import Charset


@dataclass(frozen=True)
class RenderedLine:
    """A line image (mode L or RGB), its label, and the font that drew it."""

    image: Image.Image
    text: str
    font: str


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
        for face in self.fonts.faces:
            self._relatives.setdefault(face.family, []).append(face)

    def line(self, index: int) -> RenderedLine:
        """Line number `index` of this seed."""
        rng = np.random.default_rng((self.config.seed, index))
        while True:
            text = self.corpus.line(rng)
            face = self.fonts.choose(rng, text)
            if face is None:
                continue
            scene = choose_scene(rng, self.config.strength)
            faces = [varied(face, rng, scene), *self._second_face(face, text, rng, scene)]
            layout = choose_layout(rng, scene, len(text))
            ink = draw_line(text, faces, layout, rng, lambda: self.corpus.line(rng))
            if ink is not None:
                return RenderedLine(degrade(ink, scene, rng, self.channels), text, face.path.name)

    def _second_face(
        self, face: FontFace, text: str, rng: np.random.Generator, scene: Scene
    ) -> list[FontFace]:
        """Now and then another style of the family, for a bold or italic stretch within the line."""
        if not scene.chance(rng, 0.1):
            return []
        others = [
            other
            for other in self._relatives[face.family]
            if other != face and set(text) <= set(other.covered)
        ]
        return [others[int(rng.integers(len(others)))]] if others else []


def varied(face: FontFace, rng: np.random.Generator, scene: Scene) -> FontFace:
    """Half the time, another weight, width or optical size of a variable font."""
    if scene.kind == "clean" or not (ranges := axis_ranges(face.path, face.index)):
        return face
    if not scene.chance(rng, 0.5):
        return face
    # Few steps an axis: opened fonts are kept, and every instance is one more to open.
    places = rng.integers(0, 5, len(ranges)) / 4
    return replace(
        face, instance=tuple(low + (high - low) * at for (low, high), at in zip(ranges, places, strict=True))
    )


def choose_layout(rng: np.random.Generator, scene: Scene, characters: int) -> Layout:
    """How a line of so many characters is set in that scene."""
    if scene.kind == "clean":
        return Layout(
            em_px=float(rng.uniform(20, 44)),
            oversample=int(rng.integers(1, 3)),
            crop="loose" if rng.random() < 0.5 else "tight",
        )
    chance = scene.chance
    smallest, largest = {"screen": (11.5, 19), "digital": (12, 34), "scan": (15, 36)}.get(
        scene.kind, (15, 38)
    )
    em_px = float(np.exp(rng.uniform(np.log(smallest), np.log(largest))))
    screen = scene.kind == "screen"
    wobbly = chance(rng, 0.12)
    hinted = not wobbly and rng.random() < {"screen": 0.7, "digital": 0.25}.get(scene.kind, 0.1)
    bent = scene.kind in ("photo", "thermal", "coloured")
    photo, scan = scene.kind == "photo", scene.kind in ("scan", "thermal")
    # The longer a line, the less it can turn before it leaves its crop.
    turn = (0.02 if photo else 0.006) * min(1.0, 30 / characters)
    word_gap = 1.0
    if chance(rng, 0.3):
        word_gap = float(np.exp(rng.uniform(np.log(0.75), np.log(4.0))))
    oversample = 1 if hinted else 2 if em_px > 20 or rng.random() < 0.5 else 3
    heaviest = max(1, round(0.05 * em_px * oversample))
    return Layout(
        em_px=em_px,
        oversample=oversample,
        bilevel=screen and hinted and rng.random() < 0.6,
        subpixel=screen and hinted and rng.random() < 0.6,
        word_gap=word_gap,
        letter_gap_em=float(rng.uniform(-0.03, 0.12) if rng.random() < 0.6 else rng.uniform(0.1, 0.35))
        if chance(rng, 0.1)
        else 0.0,
        stretch=1.0
        if hinted or not chance(rng, 0.4)
        else float(np.exp(rng.uniform(np.log(0.65), np.log(1.5)))),
        slant=float(rng.normal(0, 0.08)) if chance(rng, 0.12) else 0.0,
        angle_rad=float(rng.normal(0, turn))
        if chance(rng, 0.6 if photo else 0.25 if scan else 0.03)
        else 0.0,
        curve_em=float(rng.normal(0, 0.12)) if bent and chance(rng, 0.15) else 0.0,
        wobble_em=float(rng.uniform(0.01, 0.04)) if wobbly else 0.0,
        weight_px=int(rng.integers(1, heaviest + 1) if rng.random() < 0.75 else -1)
        if not hinted and chance(rng, 0.18)
        else 0,
        perspective=float(rng.normal(0, 0.07)) if photo and chance(rng, 0.3) else 0.0,
        neighbours=chance(rng, 0.35 if scene.kind in ("digital", "scan", "screen") else 0.15),
        pitch_em=float(rng.uniform(1.08, 1.6)),
        crop=str(
            rng.choice(("tight", "line-box", "loose"), p=(0.2, 0.3, 0.5) if screen else (0.4, 0.4, 0.2))
        ),
        underline=chance(rng, 0.05),
    )
