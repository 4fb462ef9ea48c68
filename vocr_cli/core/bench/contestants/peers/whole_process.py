"""A command from its start to its end: seconds, processor seconds, peak memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vocr_cli.core.errors import DependencyError, VocrError

LAUNCHER = Path(__file__).with_name("launcher.py")


@dataclass(frozen=True, kw_only=True)
class ProcessRun:
    """What a whole process took.

    Attributes:
        seconds: From its start to its end.
        cpu_s: User and system seconds of its processors, with those of the children it waited for.
        peak_mb: Peak resident memory of the largest process among them.
    """

    seconds: float
    cpu_s: float
    peak_mb: float


def run_whole(name: str, command: Sequence[str], environment: Mapping[str, str], scratch: Path) -> ProcessRun:
    """Run a command to its end.

    Args:
        name: What errors call it.
        command: Program and arguments.
        environment: The variables of the process.
        scratch: A folder for what is written on the way.

    Raises:
        DependencyError: The system cannot tell what a process took.
        VocrError: The command failed; the last line of its standard error is given.
    """
    if not hasattr(os, "wait4"):
        raise DependencyError(
            "This system does not tell what a process took.", "Compare with peers on Linux or macOS."
        )
    report, stderr = scratch / "usage.json", scratch / "stderr.txt"
    launcher = [sys.executable, "-I", "-S", str(LAUNCHER), str(report), str(stderr)]
    started = subprocess.run([*launcher, *command], env=environment, capture_output=True, text=True)
    if started.returncode:
        raise _failure(name, f"it did not start: {_last_line(started.stderr)}")
    usage = json.loads(report.read_text(encoding="utf-8"))
    if code := usage.pop("exit_code"):
        words = _last_line(stderr.read_text(encoding="utf-8", errors="replace"))
        raise _failure(name, f"exit code {code}{f': {words}' if words else ''}")
    return ProcessRun(**usage)


def _failure(name: str, reason: str) -> VocrError:
    return VocrError(f"{name} failed, {reason}", "Mend it, or measure without it: see --against.")


def _last_line(text: str) -> str:
    return text.strip().split("\n")[-1].strip()
