"""What was decided about lines: the last word on each, rebuilt from the journal at the start."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from vocr_cli.core.errors import DataError
from vocr_cli.core.web.labels.record.journal import Journal

Verdict = Literal["text", "unreadable", "not-a-line", "undecided"]
"""A label; legible to nobody; no line of text; an earlier decision that was taken back."""

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
FORMAT = 1
_TEXT_FIELDS = ("line", "verdict", "text", "before", "by", "time", "id", "image", "file", "reading", "model")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The last word on a line.

    Attributes:
        line: The line's name, as the output file has it.
        verdict: See `Verdict`.
        text: The label; "" with any other verdict.
        before: What stood there: the label or the reading that was shown first.
        by: Who decided.
        time: When, ISO 8601, UTC.
        id: Made by the page, so that a decision that is sent twice counts once.
        image: Digest of the image that was seen.
        file: The image that the label belongs to, as the output names it, where it is not `line`: a copy of
            one that lies in a database, was turned, or has a name that no annotation file can hold.
        reading: What the model read.
        model: Which one.
        version: How many decisions were taken about the line; 0: none.
    """

    line: str
    verdict: Verdict
    text: str = ""
    before: str = ""
    by: str = ""
    time: str = ""
    id: str = ""
    image: str = ""
    file: str = ""
    reading: str = ""
    model: str = ""
    version: int = 1

    def with_file(self, file: str) -> Decision:
        """The same with the image that the label belongs to."""
        return replace(self, file=file)


class StaleDecisionError(DataError):
    """Somebody else decided about the line since it was shown, or its image changed."""


class Decisions:
    """All decisions about one output.

    Args:
        path: The journal's file.

    Attributes:
        chosen: Names of the lines that were chosen last, as those that would teach most.
        unknown_records: How many records of the journal mean nothing here.

    Raises:
        DataError: See `Journal`; or the journal is of a newer vocr.
    """

    def __init__(self, path: Path) -> None:
        self._latest: dict[str, Decision] = {}
        self.unknown_records = 0
        self.chosen: list[str] = []
        self._path = path
        self.journal = Journal(path, self._replay)

    def __len__(self) -> int:
        """Lines that are decided."""
        return sum(decision.verdict != "undecided" for decision in self._latest.values())

    def __iter__(self) -> Iterator[Decision]:
        """The last decision about each line, in the order in which the lines were decided first."""
        return iter(list(self._latest.values()))

    def get(self, line: str) -> Decision | None:
        """The last decision about a line; None: there was none."""
        return self._latest.get(line)

    def version(self, line: str) -> int:
        """How many decisions were taken about a line."""
        latest = self._latest.get(line)
        return latest.version if latest else 0

    def take(self, decision: Decision, seen_version: int) -> Decision:
        """Writes a decision to the journal, and returns it as it stands there.

        Args:
            decision: Without time and version.
            seen_version: That of the line when it was shown. The same decision sent again is not stale.

        Raises:
            StaleDecisionError: Another decision was taken since the line was shown.
            DataError: The journal cannot be written; nothing is changed.
        """
        latest = self._latest.get(decision.line)
        if latest is not None and decision.id and latest.id == decision.id:
            return latest
        if latest is not None and latest.version != seen_version:
            raise StaleDecisionError(
                f"{latest.by or 'Somebody'} decided about this line meanwhile.",
                "Look at that decision; then keep it, or replace it by yours.",
            )
        now = datetime.now(UTC).isoformat(timespec="seconds")
        version = (latest.version if latest else 0) + 1
        taken = replace(decision, time=now, version=version)
        self.journal.append({"format": FORMAT, **{k: v for k, v in asdict(taken).items() if v != ""}})
        self._latest[taken.line] = taken
        return taken

    def choose(self, lines: list[str]) -> None:
        """Notes which lines were chosen, so that a restart goes on with them.

        Raises:
            DataError: The journal cannot be written.
        """
        if lines != self.chosen:
            self.journal.append({"format": FORMAT, "chosen": lines})
            self.chosen = lines

    def close(self) -> None:
        """Lets another process write."""
        self.journal.close()

    def _replay(self, record: dict[str, Any]) -> None:
        if isinstance(record.get("format"), int) and record["format"] > FORMAT:
            raise DataError(
                f"{self._path} was written by a newer vocr (format {record['format']}).",
                "Update vocr, or name another --out file.",
            )
        if isinstance(record.get("chosen"), list):
            self.chosen = [name for name in record["chosen"] if isinstance(name, str)]
            return
        decision = _decision(record)
        if decision is None:
            self.unknown_records += 1
            return
        self._latest[decision.line] = decision


def _decision(record: dict[str, Any]) -> Decision | None:
    """The decision that a record holds; None: it is none."""
    known = {field.name: record[field.name] for field in fields(Decision) if field.name in record}
    texts = all(isinstance(known.get(name, ""), str) for name in _TEXT_FIELDS)
    if not texts or not known.get("line") or known.get("verdict") not in VERDICTS:
        return None
    if not isinstance(known.get("version", 1), int):
        return None
    return Decision(**known)
