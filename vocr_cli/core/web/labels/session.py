"""A labelling session: the lines, what is known and decided about them, and the files that tell of it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vocr_cli.core.errors import DataError, VocrError
from vocr_cli.core.inference.recognizer_options import RecognizerOptions
from vocr_cli.core.text import clean, readable
from vocr_cli.core.web.labels.catalogue import NOT_A_LINE, STATE_OF, TEXT, UNDECIDED, UNREADABLE, Catalogue
from vocr_cli.core.web.labels.choice import Picker
from vocr_cli.core.web.labels.courtesy import Courtesy
from vocr_cli.core.web.labels.description import Describer
from vocr_cli.core.web.labels.queue import ORDERS, Queue
from vocr_cli.core.web.labels.read_ahead import ReadAhead
from vocr_cli.core.web.labels.record.decisions import Decision, Decisions
from vocr_cli.core.web.labels.record.output import OutputFiles, row_fault
from vocr_cli.core.web.labels.record.writer import OutputWriter
from vocr_cli.core.web.labels.source import open_label_source

_USUAL_PICK = 200


@dataclass(frozen=True, kw_only=True)
class LabelOptions:
    """What is labelled, and how.

    Attributes:
        source: A folder, a database, a file of labels or of readings.
        out: The annotation file to write.
        by: Who labels, unless a page says another name.
        model: The model that reads ahead; None: none does.
        also: A second model, to see where the two disagree; None: there is none.
        device: auto, cpu or cuda.
        order: In which lines are shown at first; "": as suits the source.
        pick: How many lines to choose that would teach most; 0: none are chosen.
        decided_only: Leave out of the output what nobody has decided about, even where it had a label.
    """

    source: Path
    out: Path
    by: str
    model: RecognizerOptions | None = None
    also: RecognizerOptions | None = None
    device: str = "auto"
    order: str = ""
    pick: int = 0
    decided_only: bool = False


class LabelSession:
    """Lines to be labelled and what was decided about them; used by many threads.

    Args:
        options: See there.

    Raises:
        DataError: The source or the output cannot be used, or another session writes it.
        ModelError: There is no such model.
    """

    def __init__(self, options: LabelOptions) -> None:
        self.options = options
        self.files = OutputFiles(options.out)
        self.files.check(options.source)
        self.source = open_label_source(options.source, options.out)
        self.catalogue = Catalogue()
        self.courtesy = Courtesy()
        self.readers: list[ReadAhead] = []
        for recognizer in (options.model, options.also):
            if recognizer is not None:
                second = recognizer is options.also
                self.readers.append(
                    ReadAhead(self.catalogue, recognizer, options.device, self.files.readings,
                              courtesy=self.courtesy, second=second, on_progress=self._choose)
                )  # fmt: skip
        self.decisions = Decisions(self.files.journal)
        earlier = self.decisions.chosen if options.pick else ()
        self.picker = Picker(self.catalogue, options.pick or _USUAL_PICK, earlier)
        self.queue = Queue(self.catalogue, self._decided_text, lambda: self.picker.chosen)
        self.describer = Describer(self.catalogue, self.decisions, self.reader)
        self.problem: VocrError | None = None
        self.writer = OutputWriter(self.files, self.catalogue, self.decisions, self._keeps_labels)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._listing = threading.Thread(target=self._list, name="vocr-list", daemon=True)

    @property
    def reader(self) -> ReadAhead | None:
        """The model whose readings are shown; None: there is none."""
        return next(iter(self.readers), None) if self.options.model is not None else None

    def start(self) -> None:
        """Begins to list, to read and to write."""
        self._listing.start()
        self.writer.start()
        for reader in self.readers:
            reader.start()

    def stop(self) -> None:
        """Ends reading, and writes the output once more.

        Raises:
            DataError: It cannot be written; the journal has everything.
        """
        self._stopped.set()
        self.writer.stop()
        for reader in self.readers:
            reader.stop()
        if self._keeps_labels:
            self._listing.join()  # labels that were not listed yet would be missing
        try:
            if len(self.decisions):
                self.writer.write()
        finally:
            self.decisions.close()

    def decide(self, decision: Decision, seen_version: int) -> Decision:
        """Takes a decision: its text cleaned, on the disk when this returns.

        Raises:
            StaleDecisionError: See `Decisions.take`.
            DataError: The text cannot be a label, or the journal cannot be written.
        """
        with self._lock:
            taken = self.decisions.take(decision, seen_version)
        index = self.catalogue.index(taken.line)
        if index is not None:
            self.catalogue.set_state(index, STATE_OF[taken.verdict])
        self.writer.mark()
        return taken

    def state(self) -> dict[str, Any]:
        """What the page shows above the line."""
        catalogue = self.catalogue
        with catalogue.lock:
            counts = np.bincount(catalogue.state, minlength=4).tolist()
            total, changed = len(catalogue), int(np.count_nonzero(catalogue.changed))
            read = int(np.count_nonzero(~np.isnan(catalogue.confidence)))
            chosen = self.picker.chosen
            chosen_done = sum(catalogue.state[index] != UNDECIDED for index in chosen)
        problems = [self.problem, self.writer.problem, *(reader.problem for reader in self.readers)]
        return {
            "source": str(self.options.source),
            "out": str(self.files.labels),
            "kind": self.source.kind,
            "by": self.options.by,
            "models": [reader.name for reader in self.readers],
            "total": total,
            "listed": catalogue.is_complete,
            "read": read,
            "text": counts[TEXT],
            "unreadable": counts[UNREADABLE],
            "not_a_line": counts[NOT_A_LINE],
            "undecided": counts[UNDECIDED],
            "changed": changed,
            "pick": self.options.pick,
            "chosen": len(chosen),
            "chosen_done": int(chosen_done),
            "order": self.order,
            "orders": self._orders(),
            "problems": [{"problem": one.problem, "fix": one.fix} for one in problems if one],
            "notes": self.notes(),
        }

    def notes(self) -> list[str]:
        """What is worth knowing about the source and the journal."""
        notes = []
        journal = self.decisions.journal
        if self.source.fault_count:
            more = self.source.fault_count - len(self.source.faults)
            shown = "; ".join(map(readable, self.source.faults)) + (f"; and {more:,} more" if more else "")
            notes.append(f"{self.source.fault_count:,} rows need a look: {shown}.")
        if self.catalogue.duplicates:
            notes.append(f"{self.catalogue.duplicates:,} rows name an image that another row names already.")
        if journal.damaged_lines:
            numbers = ", ".join(map(str, journal.damaged_lines[:10]))
            notes.append(f"{journal.path}: lines {numbers} are damaged, and were passed by.")
        if self.decisions.unknown_records:
            notes.append(f"{journal.path}: {self.decisions.unknown_records:,} records are unknown here.")
        return notes

    def usable_text(self, text: str) -> str:
        """A typed text as it will stand in the file: NFC, single spaces.

        Raises:
            DataError: No reader would find it again.
        """
        cleaned = clean(text)
        if not cleaned:
            raise DataError(
                "The text is empty.", "Type what the line says, or choose “unreadable” or “not a line”."
            )
        if fault := row_fault("a", cleaned):
            raise DataError(f"This text cannot be a label: {fault}.", "Type it anew.")
        return cleaned

    def index_in_output(self, name: str) -> int | None:
        """The index of a line by the name of its image in the output, which may be that of a copy."""
        index = self.catalogue.index(name)
        if index is not None:
            return index
        lines = (decision.line for decision in self.decisions if decision.file == name)
        return next((self.catalogue.index(line) for line in lines), None)

    def release(self, tab: str) -> None:
        """A page was closed."""
        self.queue.release(tab)

    @property
    def _keeps_labels(self) -> bool:
        return self.source.is_labelled and not self.options.decided_only

    @property
    def order(self) -> str:
        """In which lines are shown unless a page says another order."""
        if self.options.order:
            return self.options.order
        if self.options.pick:
            return "teach"
        if not self.readers:
            return "confidence" if self.source.kind == "readings" else "source"
        labelled = self.source.kind in ("labels", "database")
        return "disagreement" if self.options.also or labelled else "confidence"

    def _orders(self) -> Sequence[str]:
        usable = {"shortest", "longest", "source", "confidence", "teach", "disagreement"}
        if not self.readers and self.source.kind != "readings":
            usable -= {"confidence", "teach", "disagreement"}
        elif self.options.also is None and self.source.kind not in ("labels", "database"):
            usable -= {"disagreement"}
        return [order for order in ORDERS if order in usable]

    def _decided_text(self, name: str) -> str:
        decision = self.decisions.get(name)
        return decision.text if decision else ""

    def _list(self) -> None:
        try:
            for line in self.source.lines():
                decision = self.decisions.get(line.name)
                self.catalogue.add(line, STATE_OF[decision.verdict] if decision else UNDECIDED)
                if self._stopped.is_set() and not self._keeps_labels:
                    return
        except VocrError as error:
            self.problem = error
        finally:
            self.catalogue.complete()
        self._choose()
        for decision in self.decisions:
            index = self.catalogue.index(decision.line)
            if index is not None and decision.image and not self._stopped.is_set():
                self.describer.notice_change(index)

    def _choose(self) -> None:
        """Chooses the lines that would teach most, and notes a choice that will stay."""
        if "teach" not in self._orders():
            return
        self.picker.update()
        if self.picker.is_final and self.options.pick:
            try:
                self.decisions.choose([self.catalogue.names[index] for index in self.picker.chosen])
            except DataError as error:
                self.problem = error
