"""The lines of a run's validation set that its best model reads worst."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rapidfuzz.distance import Levenshtein

from vocr_cli.core.config.tree import load_config
from vocr_cli.core.data.readers.labelled import load_labelled
from vocr_cli.core.errors import DataError, VocrError
from vocr_cli.core.inference.inputs.sources import LineInput
from vocr_cli.core.inference.pipeline import read_all
from vocr_cli.core.inference.recognizer import Recognizer
from vocr_cli.core.text import readable
from vocr_cli.core.training.resume import CONFIG_FILE

_MOST_READ = 2_000
_SHOWN = 30


class WorstLines:
    """Reads validation sets in the background, one at a time, and keeps what came out.

    Args:
        index_of: The index of a line in the labelling view, by its name; None: it is not there.
    """

    def __init__(self, index_of: Callable[[str], int | None]) -> None:
        self._index_of = index_of
        self._lock = threading.Lock()
        self._known: dict[Path, tuple[int, dict[str, Any]]] = {}
        self._reading: Path | None = None

    def of(self, run: Path, start: bool) -> dict[str, Any]:
        """What is known of a run: `state` is none, reading, done or failed; `lines` the worst ones.

        Args:
            run: Its folder.
            start: Whether to read the validation set, unless that was done with this model.
        """
        stamp = _stamp(run)
        with self._lock:
            known = self._known.get(run)
            if self._reading == run:
                return {"state": "reading"}
            if known is not None and known[0] == stamp:
                return known[1]
            if not start or self._reading is not None:
                return {"state": "none"}
            self._reading = run
        threading.Thread(target=self._read, args=(run, stamp), name="vocr-worst", daemon=True).start()
        return {"state": "reading"}

    def _read(self, run: Path, stamp: int) -> None:
        try:
            found: dict[str, Any] = {"state": "done", **self._worst(run)}
        except VocrError as error:
            found = {"state": "failed", "problem": error.problem, "fix": error.fix}
        with self._lock:
            self._known[run] = (stamp, found)
            self._reading = None

    def _worst(self, run: Path) -> dict[str, Any]:
        valid = load_config(run / CONFIG_FILE).data.valid
        if not valid:
            raise DataError("The run has no validation set.", "Train with one: build-lmdb --valid-share.")
        recognizer = Recognizer.load(_best(run), threads=1)
        rows: list[dict[str, Any]] = []
        edits = characters = 0
        for path in valid:
            found = load_labelled(Path(path), _MOST_READ)
            lines = [LineInput(line.name, line.image) for line in found.lines]
            for line, result in zip(found.lines, read_all(recognizer, lines), strict=True):
                read = result.reading.text if result.reading else ""
                wrong = Levenshtein.distance(line.label, read)
                edits, characters = edits + wrong, characters + len(line.label)
                rows.append({"name": line.name, "label": line.label, "reading": read, "edits": wrong})
        rows.sort(key=lambda row: (-row["edits"] / max(1, len(row["label"])), -row["edits"]))
        worst = [
            {**row, "name": readable(row["name"]), "line": self._index_of(row["name"])}
            for row in rows[:_SHOWN]
            if row["edits"]
        ]
        return {"read": len(rows), "cer": edits / max(1, characters), "lines": worst}


def _best(run: Path) -> Path:
    return run / "checkpoints" / "best.safetensors"


def _stamp(run: Path) -> int:
    try:
        return _best(run).stat().st_mtime_ns
    except OSError:
        return 0
