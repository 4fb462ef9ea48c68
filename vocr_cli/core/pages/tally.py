"""What went through a run of pages."""

from __future__ import annotations

from dataclasses import dataclass, field

from vocr_cli.core.errors import VocrError
from vocr_cli.core.pages.page import Page

SHOWN = 20


@dataclass
class PageTally:
    """What went through.

    Attributes:
        pages: All of them.
        lines: Lines that were read.
        empty: Pages on which nothing was found.
        unreadable: Pages that could not be read.
        left_out: What of other pages was left out, and documents that could not be written.
        signed: Documents that were signed, and are not as they were written.
        reasons: Why, of the first `SHOWN`.
        remedies: What can be done about that, each once.
        faults: All reasons: the page, and why.
        flags: How often each occurred.
    """

    pages: int = 0
    lines: int = 0
    empty: int = 0
    unreadable: int = 0
    left_out: int = 0
    signed: int = 0
    reasons: list[str] = field(default_factory=list)
    remedies: list[str] = field(default_factory=list)
    faults: list[tuple[str, str]] = field(default_factory=list)
    flags: dict[str, int] = field(default_factory=dict)

    def count(self, page: Page) -> None:
        """Takes one page."""
        self.pages += 1
        self.lines += len(page.lines)
        self.empty += not (page.lines or page.error)
        for line in page.lines:
            for flag in line.reading.flags:
                self.flags[flag] = self.flags.get(flag, 0) + 1
        name = page.path if page.number == 1 else f"{page.path}, page {page.number}"
        for reason in (*([page.error] if page.error else ()), *page.warnings):
            self.unreadable += bool(page.error)
            self.left_out += not page.error
            self._note(name, reason)
        self._advise(page.fix)

    def count_unwritten(self, path: str, error: VocrError) -> None:
        """Takes a document that was read, but could not be written."""
        self.left_out += 1
        self._note(path, error.problem)
        self._advise(error.fix)

    def _note(self, name: str, reason: str) -> None:
        self.faults.append((name, reason))
        if len(self.reasons) < SHOWN:
            self.reasons.append(reason)

    def _advise(self, fix: str) -> None:
        if fix and fix not in self.remedies:
            self.remedies.append(fix)
