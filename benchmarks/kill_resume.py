"""vocr infer killed at random moments and resumed: work that is repeated, and whether the output is sound.

    python benchmarks/kill_resume.py [--lines 5000] [--kills 20] [--seed 0] [--json FILE] [-- INFER OPTION...]

Lines are the example ones over and over, in a random order. An undisturbed run comes first. Then the run is
killed by SIGKILL at random moments, each time after it began to read, and gone on with by --resume. What a
kill costs is what was read since the last note on the disk, `repeated_s`: the time from that note, or from
the beginning of the reading, to the kill. `more_s_per_kill` is by how much all readings together took longer
than the undisturbed one, over the kills; first batches, which are slower, are in it. At the end the outputs
are compared byte for byte.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from vocr_cli.core.bench.measure import describe_machine
from vocr_cli.terminal import console

IMAGES = Path(__file__).parents[1] / "examples" / "lines" / "images"


def noted_s(out: Path) -> float:
    """When something of the run was last written to the disk, Unix time; 0: not yet."""
    notes = (out.with_name(f"{out.name}.partial.{kind}") for kind in ("json", "lines"))
    return max((note.stat().st_mtime for note in notes if note.exists()), default=0.0)


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
        lost, reading_s = [], 0.0
        while len(lost) < given.kills:
            run, began = start(names, out, given.options)
            pause_s = chance.uniform(0.1, 1.5) * undisturbed_s / given.kills
            while run.poll() is None and time.time() - began < pause_s:
                time.sleep(0.002)
            if run.poll() is not None:
                sys.exit(f"It ended after {len(lost)} kills: give more --lines.")
            run.send_signal(signal.SIGKILL)
            killed = time.time()
            run.communicate()
            lost.append(killed - max(began, noted_s(out)))
            reading_s += killed - began
        run, began = start(names, out, given.options)
        finish(run)
        reading_s += time.time() - began
        same = out.read_bytes() == whole.read_bytes()
    report = {
        "machine": describe_machine(),
        "options": given.options,
        "lines": given.lines,
        "undisturbed_s": round(undisturbed_s, 1),
        "repeated_s": [round(seconds, 2) for seconds in lost],
        "repeated_s_max": round(max(lost), 2),
        "more_s_per_kill": round((reading_s - undisturbed_s) / given.kills, 2),
        "identical": same,
    }
    text = json.dumps(report, indent=1, default=vars)
    console.result(text)
    if given.json:
        given.json.write_text(text + "\n", encoding="utf-8")
    sys.exit(not same)


if __name__ == "__main__":
    main()
