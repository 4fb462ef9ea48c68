"""vocr infer killed at random moments and resumed: work that is repeated, and whether the output is sound.

    python benchmarks/kill_resume.py [--lines 5000] [--kills 20] [--seed 0] [--json FILE] [-- INFER OPTION...]

Lines are the example ones over and over, in a random order. An undisturbed run comes first. Then the run is
killed by SIGKILL at random moments, each time after it began to read, and gone on with by --resume. What a
kill costs is what was read since the last note on the disk, or since the beginning of the reading:
`repeated_s` is that time, and `repeated_cpu_s` the processor time that the run had in it, over its threads,
which other work on the machine does not change. At the end the outputs are compared byte for byte.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from vocr_cli.core.bench.measure import describe_machine
from vocr_cli.core.machine.hardware import usable_cores
from vocr_cli.terminal import console

IMAGES = Path(__file__).parents[1] / "examples" / "lines" / "images"


def noted_s(out: Path) -> float:
    """When something of the run was last written to the disk, Unix time; 0: not yet."""
    notes = (out.with_name(f"{out.name}.partial.{kind}") for kind in ("json", "lines"))
    return max((note.stat().st_mtime for note in notes if note.exists()), default=0.0)


def cpu_s(run: subprocess.Popen[bytes]) -> float:
    """The processor time of a run that is under way, all its threads together."""
    fields = Path(f"/proc/{run.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start(names: Path, out: Path, options: list[str]) -> tuple[subprocess.Popen[bytes], float]:
    """Starts the command, and waits until it begins to read; the process, and that moment."""
    command = [sys.executable, "-m", "vocr_cli", "infer", "--from-file", str(names), "--out", str(out)]
    began = time.time()
    run = subprocess.Popen([*command, "--resume", "--quiet", *options], stderr=subprocess.PIPE)
    while run.poll() is None and noted_s(out) < began:
        time.sleep(0.002)
    return run, time.time()


def finish(run: subprocess.Popen[bytes]) -> None:
    """Waits for the end of a run, which must be a good one."""
    _, errors = run.communicate()
    if run.returncode:
        sys.exit(f"vocr infer ended with {run.returncode}: {errors.decode()}")


def main() -> None:
    """Runs, kills, resumes and compares."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--lines", type=int, default=5000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("options", nargs="*", help="of vocr infer, after --")
    given = parser.parse_args()
    chance = random.Random(given.seed)
    images = sorted(map(str, IMAGES.iterdir()))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        names, whole, out = folder / "names.txt", folder / "whole.jsonl", folder / "out.jsonl"
        names.write_text("\n".join(chance.choices(images, k=given.lines)), encoding="utf-8")
        run, began = start(names, whole, given.options)
        finish(run)
        undisturbed_s = time.time() - began
        lost: list[float] = []
        lost_cpu: list[float] = []
        while len(lost) < given.kills:
            run, began = start(names, out, given.options)
            pause_s = chance.uniform(0.05, 0.95) * undisturbed_s / given.kills
            noted, noted_cpu = began, cpu_s(run)
            while run.poll() is None and time.time() - began < pause_s:
                time.sleep(0.002)
                if (latest := noted_s(out)) > noted:
                    noted, noted_cpu = latest, cpu_s(run)
            if run.poll() is not None:
                sys.exit(f"It ended after {len(lost)} kills: give more --lines.")
            lost_cpu.append((cpu_s(run) - noted_cpu) / usable_cores())
            run.send_signal(signal.SIGKILL)
            lost.append(time.time() - noted)
            run.communicate()
        run, _ = start(names, out, given.options)
        finish(run)
        same = out.read_bytes() == whole.read_bytes()
    report = {
        "machine": describe_machine(),
        "options": given.options,
        "lines": given.lines,
        "undisturbed_s": round(undisturbed_s, 1),
        "repeated_s": [round(seconds, 2) for seconds in lost],
        "repeated_s_max": round(max(lost), 2),
        "repeated_cpu_s": [round(seconds, 2) for seconds in lost_cpu],
        "repeated_cpu_s_max": round(max(lost_cpu), 2),
        "load": os.getloadavg()[1],
        "identical": same,
    }
    text = json.dumps(report, indent=1, default=vars)
    console.result(text)
    if given.json:
        given.json.write_text(text + "\n", encoding="utf-8")
    sys.exit(not same)


if __name__ == "__main__":
    main()
