"""Processes that a process has started, looked up in /proc."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


def children(parent: int) -> list[int]:
    """Those processes that a process has started, but for helpers of Python's."""
    found = []
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            stat = Path("/proc", process, "stat").read_text().rpartition(")")[2].split()
            command = Path("/proc", process, "cmdline").read_bytes()
        except OSError:
            continue
        if int(stat[1]) == parent and b"resource_tracker" not in command:
            found.append(int(process))
    return found


def are_gone(processes: list[int]) -> bool:
    deadline = time.monotonic() + 60
    while any(os.path.exists(f"/proc/{process}") for process in processes):
        if time.monotonic() > deadline:
            for process in processes:
                os.kill(process, signal.SIGKILL)
            return False
        time.sleep(0.05)
    return True
