"""What a page is told about a line."""

from __future__ import annotations

import os
from typing import Any

from vocr_cli.core.errors import VocrError
from vocr_cli.core.inference.reading import Reading
from vocr_cli.core.text import readable
from vocr_cli.core.web.labels.catalogue import Catalogue, LineReading, as_bytes
from vocr_cli.core.web.labels.images import LineImage
from vocr_cli.core.web.labels.read_ahead import ReadAhead
from vocr_cli.core.web.labels.record.decisions import Decision, Decisions


class Describer:
    """Tells of lines, and notices images that are not what they were.

    Args:
        catalogue: The lines.
        decisions: About them.
        reader: The model whose readings are shown.
    """

    def __init__(self, catalogue: Catalogue, decisions: Decisions, reader: ReadAhead | None) -> None:
        self._catalogue, self._decisions, self._reader = catalogue, decisions, reader
        self._digests: dict[int, str] = {}

    def line(self, index: int) -> dict[str, Any]:
        """A line as the page knows it; `reading` is null as long as nobody has read it."""
        try:
            return self._line(index, self.image(index).digest, "")
        except VocrError as problem:
            return self._line(index, "", problem.problem)

    def decided_line(self, index: int) -> dict[str, Any]:
        """A line that was decided about just now, for which its image was looked at."""
        digest = self._digests.get(index)
        return self.line(index) if digest is None else self._line(index, digest, "")

    def _line(self, index: int, digest: str, error: str) -> dict[str, Any]:
        catalogue = self._catalogue
        decision = self._decisions.get(catalogue.names[index])
        second = catalogue.second[index]
        return {
            "id": index,
            "name": readable(catalogue.names[index]),
            "version": decision.version if decision else 0,
            "label": catalogue.labels[index],
            "reading": self.reading(catalogue.readings[index]),
            "second": None if second is None else {"text": second.text, "error": second.error},
            "decision": _decision(decision),
            "changed": bool(catalogue.changed[index]),
            "image": digest,
            "error": error,
        }

    def row(self, index: int) -> dict[str, Any]:
        """A line in a list: without a look at its image."""
        catalogue = self._catalogue
        decision, reading = self._decisions.get(catalogue.names[index]), catalogue.readings[index]
        text = decision.text if decision else ""
        return {
            "id": index,
            "name": readable(catalogue.names[index]),
            "verdict": decision.verdict if decision else "undecided",
            "text": text or catalogue.labels[index] or (reading.text if reading else ""),
            "confidence": reading.confidence if reading and not reading.error else None,
        }

    def reading(self, reading: LineReading | None) -> dict[str, Any] | None:
        """A reading as the page knows it."""
        if reading is None:
            return None
        return {
            "text": reading.text,
            "confidence": reading.confidence,
            "chars": list(reading.chars),
            "flags": list(reading.flags),
            "error": reading.error,
        }

    def turned_reading(self, reading: Reading) -> dict[str, Any]:
        """The reading of a turned image, which is kept nowhere."""
        chars = as_bytes(reading.char_confidences)
        compact = LineReading(reading.text, reading.confidence, chars, reading.flags)
        return self.reading(compact) or {}

    def image(self, index: int) -> LineImage:
        """The image of a line; what was read of an earlier one is forgotten.

        Raises:
            VocrError: It cannot be read.
        """
        image = LineImage.load(self._catalogue.lines[index])
        before = self._digests.get(index)
        is_other = before is not None and before != image.digest
        if is_other or (before is None and self._catalogue.was_read_before(index, self._changed_at(index))):
            self._catalogue.forget_readings(index)
        self._digests[index] = image.digest
        self._compare(index, image.digest)
        return image

    def notice_change(self, index: int) -> None:
        """Looks whether a decided line's image is still the one that was decided about."""
        try:
            self._compare(index, LineImage.load(self._catalogue.lines[index]).digest)
        except VocrError:
            self._catalogue.set_changed(index)

    def _compare(self, index: int, digest: str) -> None:
        decision = self._decisions.get(self._catalogue.names[index])
        if decision is not None and decision.verdict != "undecided" and decision.image not in ("", digest):
            self._catalogue.set_changed(index)

    def _changed_at(self, index: int) -> float:
        """When an image's file was changed or put in its place; 0: it lies in no file of its own."""
        source = self._catalogue.lines[index].source
        if not isinstance(source, str):
            return 0.0
        try:
            facts = os.stat(source)
        except OSError:
            return 0.0
        return max(facts.st_mtime, facts.st_ctime)


def _decision(decision: Decision | None) -> dict[str, Any] | None:
    if decision is None or decision.verdict == "undecided":
        return None
    return {
        "verdict": decision.verdict,
        "text": decision.text,
        "by": decision.by,
        "time": decision.time,
    }
