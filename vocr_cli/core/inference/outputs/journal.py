"""How far a run that writes a file has come, so that after a kill it goes on where it was.

Beside FILE.partial lies FILE.partial.json: what the run is, and what of it is safe on the disk.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vocr_cli.core.errors import DataError, reason_of
from vocr_cli.core.inference.outputs.partial import partial_name
from vocr_cli.core.inference.prepare import LineResult
from vocr_cli.core.machine.atomic_write import atomic_write

SHOWN_ERRORS = 20
_VERSION = 1
_ANEW = "--overwrite in place of --resume reads everything again."


@dataclass
class Tally:
    """What went through.

    Attributes:
        lines: All of them.
        unreadable: Those without a reading.
        reasons: Why, of the first `SHOWN_ERRORS`.
        flags: How often each occurred.
        remedies: What can be done about the reasons, each once.
    """

    lines: int = 0
    unreadable: int = 0
    reasons: list[str] = field(default_factory=list)
    flags: dict[str, int] = field(default_factory=dict)
    remedies: list[str] = field(default_factory=list)

    def count(self, result: LineResult) -> None:
        """Takes one line."""
        self.lines += 1
        if result.error is not None:
            self.unreadable += 1
            if len(self.reasons) < SHOWN_ERRORS:
                self.reasons.append(result.error.problem)
                if result.error.fix and result.error.fix not in self.remedies:
                    self.remedies.append(result.error.fix)
        elif result.reading is not None:
            for flag in result.reading.flags:
                self.flags[flag] = self.flags.get(flag, 0) + 1


@dataclass(frozen=True)
class Progress:
    """What is done.

    Attributes:
        tally: Of the lines whose results are written; as many inputs are consumed.
        out_bytes: Of the output file, which hold these results.
        errors_bytes: Of the list of unreadable inputs.
        paths: Digest of the consumed inputs' names, hexadecimal.
        complete: Whether only the files' names are still to be given.
    """

    tally: Tally = field(default_factory=Tally)
    out_bytes: int = 0
    errors_bytes: int = 0
    paths: str = ""
    complete: bool = False


class Journal:
    """The file beside an unfinished output file.

    Args:
        out: The output file.
        run: What must be the same for the run to go on: options and their values.
    """

    def __init__(self, out: Path, run: Mapping[str, object]) -> None:
        self.path = journal_file(out)
        self._out, self._run = out, {**run, "journal": _VERSION}

    def load(self) -> Progress:
        """What an interrupted run has done; nothing, where there was none.

        Raises:
            DataError: The file is missing beside a FILE.partial, damaged, or of another run.
        """
        partial = partial_name(self._out)
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            run, done = dict(content["run"]), dict(content["done"])
            progress = Progress(**{**done, "tally": Tally(**done["tally"])})
        except FileNotFoundError:
            if not partial.exists():
                return Progress()
            raise DataError(f"{partial} cannot be continued: {self.path} is missing.", _ANEW) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{self.path} cannot be used: {reason_of(error)}.", _ANEW) from None
        differing = [name for name in {**run, **self._run} if run.get(name) != self._run.get(name)]
        if differing:
            raise DataError(
                f"{partial} was begun with {_shown(differing, run)}, not {_shown(differing, self._run)}.",
                "Give the same model and options as then, or --overwrite in place of --resume to read anew.",
            )
        return progress

    def save(self, progress: Progress) -> None:
        """Writes what is done; after a kill either this or what was saved before stands there.

        Raises:
            DataError: The file cannot be written.
        """
        content: dict[str, Any] = {"run": self._run, "done": asdict(progress)}
        try:
            with atomic_write(self.path, only_writer=True) as temporary:
                temporary.write_text(json.dumps(content, ensure_ascii=True), encoding="utf-8")
        except OSError as error:
            raise DataError(
                f"{self.path} cannot be written: {error.strerror or error}.",
                "Free disk space, check the permissions, or name another --out file.",
            ) from None

    def remove(self) -> None:
        """The run is complete."""
        self.path.unlink(missing_ok=True)


def journal_file(out: Path) -> Path:
    """FILE.partial.json."""
    return out.with_name(f"{out.name}.partial.json")


def begun_backend(out: Path) -> tuple[str, str] | None:
    """The precision and the runtime of the run that a file was begun with; None: it tells of none."""
    try:
        run = json.loads(journal_file(out).read_text(encoding="utf-8"))["run"]
        return str(run["precision"]), str(run["runtime"]).partition(" ")[0]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def is_complete(out: Path) -> bool:
    """Whether the file is there and nothing beside it tells of a run that is not."""
    return out.is_file() and not journal_file(out).exists() and not partial_name(out).exists()


def _shown(names: list[str], run: Mapping[str, object]) -> str:
    """Options and values, long ones (a model's digest) cut."""
    return ", ".join(f"{name} {str(run.get(name, 'none'))[:12] or 'none'}" for name in names)
