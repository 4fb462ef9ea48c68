"""How far a run that writes a folder has come: the pages it read, one JSON object a line.

The first line says what the run is. A page follows when it was read, and `{"written": STEM}` when the output
of a document was put in its place; all else can be made again from these.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vocr_cli.core.errors import DataError, reason_of
from vocr_cli.core.pages.page import Page, page_of

_NAME = ".vocr-read.partial"
_ANEW = "--overwrite in place of --resume reads everything again."


class PageJournal:
    """The journal of a folder.

    Args:
        folder: Where the output goes; made if need be.
        run: What must be the same for an interrupted run to go on.
        shard: Which of the runs that share the folder it is of, such as 1/1.
        resume: Whether to go on with what is there; otherwise it is begun anew.
        keeps_others: Whether a run that is begun anew passes by documents that are there.

    Attributes:
        written: The stems of the documents whose output is in its place.
        keeps_others: What the run that was begun does.

    Raises:
        DataError: The folder cannot be written, or what is there is of another run, or damaged.
    """

    def __init__(
        self, folder: Path, run: Mapping[str, object], shard: str, *, resume: bool, keeps_others: bool
    ) -> None:
        self.path = journal_file(folder, shard)
        self.written: set[str] = set()
        self.keeps_others = keeps_others
        self._offsets: list[tuple[str, int, int]] = []  # of the pages: path, number, where it begins
        self._paths: set[str] = set()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            kept = self._load(run) if resume and self.path.is_file() else 0
            self._file = self.path.open("r+b" if kept else "wb")
            self._file.truncate(kept)
            self._file.seek(kept)
            if not kept:
                self._append({"run": dict(run), "keeps_others": keeps_others})
        except OSError as error:
            raise DataError(
                f"{folder} cannot be written: {reason_of(error)}.",
                "Name another --out folder, or free disk space.",
            ) from None

    @property
    def resumed(self) -> int:
        """Pages that an interrupted run has read."""
        return len(self._offsets)

    def holds(self, path: str) -> bool:
        """Whether a page of a file was read."""
        return path in self._paths

    def page(self, index: int, path: str, number: int) -> Page:
        """Gives a page that was read, by how many were before it.

        Raises:
            DataError: It is not the page of that path and number.
        """
        was, page, offset = self._offsets[index]
        if (was, page) != (path, number):
            raise DataError(
                f"The inputs are not those of the interrupted run, which read {was}, page {page}, where "
                f"{path}, page {number}, comes now.",
                f"Give the same files in the same order; {_ANEW}",
            )
        with self.path.open("rb") as file:
            file.seek(offset)
            return page_of(json.loads(file.readline().decode("utf-8", "surrogateescape")))

    def add(self, page: Page) -> None:
        """Writes a page that was read."""
        self._note(page.path, page.number, self._file.tell())
        self._append(page.record())

    def mark_written(self, stem: str) -> None:
        """Notes that the output of a document is in its place."""
        self.written.add(stem)
        self._append({"written": stem})

    def finish(self) -> None:
        """Removes the journal: the run is complete."""
        self.close()
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Stops writing."""
        self._file.close()

    def _append(self, record: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(record, ensure_ascii=False).encode("utf-8", "surrogateescape") + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _load(self, run: Mapping[str, object]) -> int:
        """Reads what is there; returns the bytes of its complete lines."""
        kept = 0
        with self.path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break  # cut short by the interruption
                try:
                    record = json.loads(line.decode("utf-8", "surrogateescape"))
                    self._take(record, kept, run)
                except (ValueError, KeyError, TypeError) as error:
                    raise DataError(f"{self.path} is damaged: {error}.", _ANEW) from None
                kept += len(line)
        return kept

    def _take(self, record: dict[str, Any], offset: int, run: Mapping[str, object]) -> None:
        if offset == 0:
            before, self.keeps_others = record["run"], bool(record["keeps_others"])
            if other := [key for key in sorted({*before, *run}) if before.get(key) != run.get(key)]:
                shown = "; ".join(f"{key}: {before.get(key)} then, {run.get(key)} now" for key in other)
                raise DataError(
                    f"{self.path} is of another run ({shown}).", f"Give the same options; {_ANEW}"
                )
        elif "written" in record:
            self.written.add(str(record["written"]))
        else:
            self._note(str(record["path"]), int(record["page"]), offset)

    def _note(self, path: str, number: int, offset: int) -> None:
        self._offsets.append((path, number, offset))
        self._paths.add(path)


def journal_file(folder: Path, shard: str) -> Path:
    """Where the journal of a folder lies, hidden among its documents."""
    mark = "" if shard == "1/1" else f"-{shard.replace('/', '-of-')}"
    return folder / f"{_NAME}{mark}.jsonl"


def begun_run(folder: Path, shard: str) -> dict[str, Any]:
    """What the run is that a folder's journal is of; empty: there is none."""
    try:
        with journal_file(folder, shard).open(encoding="utf-8", errors="surrogateescape") as file:
            return dict(json.loads(file.readline())["run"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}
