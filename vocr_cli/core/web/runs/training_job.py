"""Training on what was labelled: the commands, and the process that runs them one after the other."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vocr_cli.core.errors import DataError, reason_of

_LOG_BYTES = 8_000
_SAVING_S = 60
_GOOD_CODES = (0, 3)  # 3: done, but some lines could not be used, and each is named


@dataclass(frozen=True)
class TrainingPlan:
    """What a training run is made by.

    Attributes:
        run: The run folder.
        commands: Words after `vocr`, in order: build a database, plan, train.
    """

    run: Path
    commands: tuple[tuple[str, ...], ...]

    @property
    def shown(self) -> list[str]:
        """The commands, to be pasted into a shell."""
        return [shlex.join(("vocr", *words)) for words in self.commands]


class TrainingJobs:
    """Plans training, and where that is allowed starts it.

    Args:
        labels: The annotation file.
        model: What to start from.
        allowed: Whether a page may start a process.
    """

    def __init__(self, labels: Path, model: str, allowed: bool) -> None:
        self.allowed = allowed
        self.folder = labels.parent / "runs"
        self._labels, self._model = labels, model
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._log: Path | None = None
        self._stopped = False
        self.plan_running: TrainingPlan | None = None
        self.outcome = ""

    def plan(self, minutes: float = 0) -> TrainingPlan:
        """The commands of the next run.

        Args:
            minutes: How long to train; 0: as `vocr autoconf` plans it.
        """
        number = 1
        while any(
            (self.folder / f"{self._labels.stem}-{number}{ending}").exists() for ending in ("", ".log")
        ):
            number += 1
        run = self.folder / f"{self._labels.stem}-{number}"
        database, config = f"{run}.lmdb", f"{run}.yaml"
        limit = ("--max-minutes", f"{minutes:g}") if minutes else ()
        return TrainingPlan(
            run,
            (
                ("build-lmdb", str(self._labels), database, "--valid-share", "0.1"),
                ("autoconf", "--data", database, "--init", self._model, "--out", config),
                ("train", config, "--out", str(run), "--init", self._model, *limit),
            ),
        )

    @property
    def is_running(self) -> bool:
        """Whether a run that was started here goes on."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, minutes: float = 0) -> TrainingPlan:
        """Starts the next run.

        Raises:
            DataError: That is not allowed, one runs already, or its folder cannot be written.
        """
        if not self.allowed:
            raise DataError(
                "Training is not started from here.",
                "Start vocr label with --allow-train, or paste the commands.",
            )
        with self._lock:
            if self.is_running:
                raise DataError("A run goes on already.", "Stop it first, or wait for its end.")
            plan = self.plan(minutes)
            self._log = plan.run.with_name(f"{plan.run.name}.log")
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._log.write_bytes(b"")
            except OSError as error:
                raise DataError(
                    f"{self._log} cannot be written: {reason_of(error)}.", "Mend the folder."
                ) from None
            self.plan_running, self.outcome, self._stopped = plan, "", False
            self._thread = threading.Thread(target=self._run, args=(plan, self._log), name="vocr-train",
                                            daemon=True)  # fmt: skip
            self._thread.start()
            return plan

    def stop(self) -> None:
        """Has the run save and end; returns when it has."""
        with self._lock:
            self._stopped = True
            process = self._process
            if process is not None and process.poll() is None:
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGINT if os.name != "nt" else signal.SIGTERM)
        if self._thread is not None:
            self._thread.join(_SAVING_S)

    def log(self) -> str:
        """The end of what the commands say."""
        if self._log is None:
            return ""
        try:
            with self._log.open("rb") as file:
                file.seek(max(0, self._log.stat().st_size - _LOG_BYTES))
                return file.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def _run(self, plan: TrainingPlan, log: Path) -> None:
        for words, shown in zip(plan.commands, plan.shown, strict=True):
            if self._stopped:
                self.outcome = "stopped"
                return
            with log.open("ab") as file:
                file.write(f"$ {shown}\n".encode())
                file.flush()
                with self._lock:
                    self._process = subprocess.Popen(
                        [sys.executable, "-m", "vocr_cli", *words],
                        stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                        start_new_session=True,  # Ctrl-C at the server's terminal is not meant for it
                    )  # fmt: skip
                code = self._process.wait()
            if code not in _GOOD_CODES:
                self.outcome = "stopped" if self._stopped else f"vocr {words[0]} ended with exit code {code}"
                return
        self.outcome = "finished"
