"""Keeps the annotation file near to the journal, in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from vocr_cli.core.errors import DataError
from vocr_cli.core.web.labels.catalogue import Catalogue
from vocr_cli.core.web.labels.record.decisions import Decision, Decisions
from vocr_cli.core.web.labels.record.output import OutputFiles, row_fault, write_changes, write_labels

_WRITE_EVERY_S = 5.0
_WRITE_SHARE = 20  # writing takes no more than this part of the time


class OutputWriter:
    """Writes the annotation file and the list of changes, some seconds after decisions, and when told to.

    Args:
        files: Where.
        catalogue: The lines.
        decisions: About them.
        keeps_labels: Whether lines that nobody decides about keep the labels that they have.

    Attributes:
        problem: Why the files could not be written last; None: they could.
    """

    def __init__(
        self, files: OutputFiles, catalogue: Catalogue, decisions: Decisions, keeps_labels: bool
    ) -> None:
        self.problem: DataError | None = None
        self._files, self._catalogue, self._decisions = files, catalogue, decisions
        self._keeps_labels = keeps_labels
        self._writing = threading.Lock()
        self._dirty, self._stopped = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="vocr-write", daemon=True)

    def start(self) -> None:
        """Begins to write."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; what is not written yet stays so."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def mark(self) -> None:
        """Something was decided."""
        self._dirty.set()

    def write(self) -> int:
        """Writes both files; returns how many lines have a label.

        Raises:
            DataError: One cannot be written.
        """
        with self._writing:
            self._dirty.clear()
            try:
                count = write_labels(self._files.labels, self._rows())
                write_changes(self._files.changes, self._decisions)
            except DataError as error:
                self.problem = error
                self._dirty.set()
                raise
            self.problem = None
            return count

    def _rows(self) -> Iterator[tuple[str, str]]:
        """Rows of the output: lines in the order of the source, then those of earlier sources."""
        indexed: dict[int, Decision] = {}
        others: list[Decision] = []
        for decision in self._decisions:
            index = self._catalogue.index(decision.line)
            if index is None:
                others.append(decision)
            else:
                indexed[index] = decision
        for index in range(len(self._catalogue)) if self._keeps_labels else sorted(indexed):
            name, label = self._catalogue.names[index], self._catalogue.labels[index]
            decided = indexed.get(index)
            if decided is not None and decided.verdict == "text":
                yield decided.file or name, decided.text
            elif self._keeps_labels and label and (decided is None or decided.verdict == "undecided"):
                if not row_fault(name, label):
                    yield name, label
        for decision in others:
            if decision.verdict == "text":
                yield decision.file or decision.line, decision.text

    def _run(self) -> None:
        pause_s = _WRITE_EVERY_S
        while not self._stopped.wait(pause_s):
            # Labels that are not listed yet would be missing.
            if not self._dirty.is_set() or (self._keeps_labels and not self._catalogue.is_complete):
                continue
            began = time.monotonic()
            try:
                self.write()
            except DataError:
                pause_s = _WRITE_EVERY_S  # the page tells of it
                continue
            pause_s = max(_WRITE_EVERY_S, _WRITE_SHARE * (time.monotonic() - began))
