"""Images that hide all that a page of a PDF shows before them, as OCR programs lay a scan over its text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vocr_cli.core.pages.seen_box import Box

_Matrix = tuple[float, float, float, float, float, float]
"""What a PDF writes as a b c d e f: x becomes a x + c y + e, and y becomes b x + d y + f."""

_MARGIN = 0.015  # of the page's sides: an image that ends so near to them covers it
_ASKEW = 1e-3  # of an image's side, that may lie across
_LETS_THROUGH = ("/SMask", "/Mask", "/ImageMask", "/SMaskInData", "/OC")


@dataclass(frozen=True)
class _State:
    """What of the graphics state decides whether an image hides what is below it."""

    placing: _Matrix = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)
    shows_through: bool = False  # by its opacity, or outside of a clipping path


def covered_instructions(instructions: Sequence[Any], resources: Any, box: Box) -> int:
    """How many instructions of a page come before the last opaque image that covers it; 0: none does.

    Args:
        instructions: All of the page, parsed.
        resources: The dictionary of what they name.
        box: What is seen of the page, in its own units.
    """
    state, covered = _State(), 0
    before: list[_State] = []
    layers: list[bool] = []  # of the marked content that is open: whether it may be switched off
    for index, instruction in enumerate(instructions):
        name, operands = str(instruction.operator), instruction.operands
        if name == "q":
            before.append(state)
        elif name == "Q" and before:
            state = before.pop()
        elif name == "cm" and len(operands) == 6:
            state = replace(state, placing=_within(tuple(map(float, operands)), state.placing))
        elif name in ("W", "W*") or (
            name == "gs" and not _is_opaque(_named(resources, "/ExtGState", operands))
        ):
            state = replace(state, shows_through=True)
        elif name in ("BMC", "BDC"):
            layers.append(bool(operands) and str(operands[0]) == "/OC")
        elif name == "EMC" and layers:
            layers.pop()
        elif name == "Do" and not (state.shows_through or any(layers)):
            image = _named(resources, "/XObject", operands)
            if _is_full_image(image) and _covers(state.placing, box):
                covered = index
    return covered


def _within(inner: Sequence[float], outer: _Matrix) -> _Matrix:
    a, b, c, d, e, f = outer

    def placed(x: float, y: float) -> tuple[float, float]:
        return a * x + c * y, b * x + d * y

    origin = placed(inner[4], inner[5])
    return *placed(inner[0], inner[1]), *placed(inner[2], inner[3]), origin[0] + e, origin[1] + f


def _named(resources: Any, kind: str, operands: Sequence[Any]) -> Any:
    """The resource that an instruction names; None: there is none."""
    from pikepdf import Dictionary

    known = resources.get(kind) if isinstance(resources, Dictionary) else None
    return known.get(str(operands[0])) if operands and isinstance(known, Dictionary) else None


def _is_opaque(state: Any) -> bool:
    """Whether what is painted with a graphics state hides what is below."""
    if state is None or float(state.get("/ca", 1)) < 1:
        return False
    plain = state.get("/BM", "/Normal") in ("/Normal", "/Compatible")
    return plain and ("/SMask" not in state or state["/SMask"] == "/None")


def _is_full_image(image: Any) -> bool:
    return (
        image is not None
        and image.get("/Subtype") == "/Image"
        and not any(key in image for key in _LETS_THROUGH)
    )


def _covers(placing: _Matrix, box: Box) -> bool:
    """Whether an image, the unit square placed so, has upright sides and reaches those of the page."""
    a, b, c, d, e, f = placing
    upright, turned = max(abs(a), abs(d)), max(abs(b), abs(c))
    if min(upright, turned) > _ASKEW * max(upright, turned):
        return False
    left, bottom, right, top = box
    across, down = _MARGIN * (right - left), _MARGIN * (top - bottom)
    xs, ys = (e, e + a + c), (f, f + b + d)
    return (
        min(xs) <= left + across
        and max(xs) >= right - across
        and min(ys) <= bottom + down
        and max(ys) >= top - down
    )
