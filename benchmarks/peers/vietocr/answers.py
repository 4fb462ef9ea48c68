"""A process of VietOCR's environment that is asked through pipes and answers in rows of JSON."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self


class Answering:
    """Starts the process and waits for its first answer, kept as `facts`; leaving the block ends it.

    Args:
        command: Program and arguments.
        environment: All of its environment variables; None: those of this process.

    Raises:
        SystemExit: It ended without an answer.
    """

    def __init__(self, command: Sequence[str | Path], environment: dict[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8", env=environment
        )
        self.facts = self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def request(self, row: str) -> dict[str, Any]:
        """The answer to one line of text."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{row}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for row in self._process.stdout:
            if row.startswith("{"):  # VietOCR prints, too
                answer: dict[str, Any] = json.loads(row)
                return answer
        raise SystemExit("VietOCR's side ended; its error is above.")
