"""Run one command, and write what it took as JSON. Run as a script by a bare interpreter.

Linux counts into a process's peak memory what the process that started it held at that moment: this one
holds little.

Usage: launcher.py REPORT STDERR COMMAND...
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path


def main(report: str, stderr: str, *command: str) -> None:
    """Wait for the command to end; its standard output is dropped."""
    with Path(stderr).open("wb") as errors:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    result = {
        "seconds": seconds,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / unit,
        "exit_code": os.waitstatus_to_exitcode(status),
    }
    Path(report).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
