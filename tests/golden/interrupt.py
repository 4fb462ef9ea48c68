"""Runs a command and sends it a signal once a file holds a text: interrupt.py SIGNAL GLOB TEXT COMMAND..."""

from __future__ import annotations

import glob
import signal
import subprocess
import sys
import time
from pathlib import Path

name, pattern, text, *command = sys.argv[1:]
with subprocess.Popen(command) as run:
    while not any(
        text.encode() in Path(file).read_bytes() for file in glob.glob(pattern, include_hidden=True)
    ):
        if run.poll() is not None:
            sys.exit(f"It ended, with {run.returncode}, before {pattern} held {text!r}.")
        time.sleep(0.0005)
    if not text:
        time.sleep(2)  # the file alone was waited for
    run.send_signal(signal.Signals[f"SIG{name}"])
