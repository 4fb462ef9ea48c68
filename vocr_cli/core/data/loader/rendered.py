"""What the loader asks of a renderer; `core.synth` offers it, and stands above this package."""

from __future__ import annotations

from typing import Protocol

from PIL import Image


class RenderedLine(Protocol):
    """A line image (mode L or RGB) and its label."""

    @property
    def image(self) -> Image.Image:
        """The picture of the line."""

    @property
    def text(self) -> str:
        """What the picture shows."""


class RenderedLines(Protocol):
    """An endless source of rendered lines; it is pickled into the workers that share its lines."""

    def line(self, index: int) -> RenderedLine:
        """The line of that index, the same one whoever renders it."""
