"""A decision as a page sends it: checked, its image copied where the output cannot name it, and taken."""

from __future__ import annotations

from typing import Any

from vocr_cli.core.errors import DataError, VocrError
from vocr_cli.core.inference.inputs.sources import LineInput
from vocr_cli.core.web.labels.images import LineImage
from vocr_cli.core.web.labels.record.decisions import VERDICTS, Decision, StaleDecisionError
from vocr_cli.core.web.labels.record.output import copy_name, is_writable_name, save_copy
from vocr_cli.core.web.labels.session import LabelSession

_LONGEST_TEXT = 2000
_LONGEST_WORD = 100


def decide(session: LabelSession, sent: dict[str, Any]) -> Decision:
    """Takes what a page sends.

    Args:
        session: The session.
        sent: `line` (index), `version` and `image` as they were shown, `verdict`, `text`, `rotated`, `by`,
            and `id`, which is the same when the page sends a decision again.

    Raises:
        StaleDecisionError: The line was decided about meanwhile, or its image is another one.
        DataError: What was sent is no decision, or cannot be written.
    """
    index, verdict = sent.get("line"), sent.get("verdict")
    if not isinstance(index, int) or not 0 <= index < len(session.catalogue) or verdict not in VERDICTS:
        raise DataError("This is no decision about a line.", "Load the page again.")
    text = sent.get("text") if verdict == "text" else ""
    if not isinstance(text, str) or len(text) > _LONGEST_TEXT:
        raise DataError(f"A label has up to {_LONGEST_TEXT:,} characters.", "Label one line.")
    if verdict == "text":
        text = session.usable_text(text)
    name, line = session.catalogue.names[index], session.catalogue.lines[index]
    image = _seen_image(session, index, str(sent.get("image", "")), must_exist=verdict == "text")
    reading = session.catalogue.readings[index]
    earlier = session.decisions.get(name)
    decision = Decision(
        line=name,
        verdict=verdict,
        text=text,
        before=(earlier.text if earlier else "") or session.catalogue.labels[index] or "",
        by=_word(sent.get("by")) or session.options.by,
        id=_word(sent.get("id")),
        image=image.digest if image else "",
        reading=reading.text if reading else "",
        model=session.reader.name if session.reader and reading else "",
    )
    if image is not None and verdict == "text":
        decision = _with_copy(session, decision, line, image, rotated=sent.get("rotated") is True)
    version = sent.get("version")
    return session.decide(decision, version if isinstance(version, int) else 0)


def _seen_image(session: LabelSession, index: int, digest: str, must_exist: bool) -> LineImage | None:
    """The image, which must be the one that was shown.

    Raises:
        StaleDecisionError: It is another one.
        VocrError: It cannot be read, and must be.
    """
    try:
        image = session.describer.image(index)
    except VocrError:
        if must_exist:
            raise
        return None
    if image.digest != digest:
        raise StaleDecisionError("The image is another one than was shown.", "Look at it again.")
    return image


def _with_copy(
    session: LabelSession, decision: Decision, line: LineInput, image: LineImage, rotated: bool
) -> Decision:
    """The decision with a copy of the image, where the output cannot name the image itself."""
    if isinstance(line.source, str) and not rotated and is_writable_name(decision.line):
        image.open()  # a label of what nobody can decode would be of no use
        return decision
    data, suffix = image.copied(rotated)
    copy = copy_name(decision.line, image.digest, suffix, rotated)
    save_copy(session.files.images, copy, data)
    return decision.with_file(f"{session.files.images.name}/{copy}")


def _word(value: object) -> str:
    """A short word of a page's: control characters taken out."""
    if not isinstance(value, str):
        return ""
    return "".join(char for char in value if char.isprintable())[:_LONGEST_WORD].strip()
