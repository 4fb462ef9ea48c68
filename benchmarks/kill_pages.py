"""vocr read killed at random moments and resumed: whether the output is that of an undisturbed run.

    python benchmarks/kill_pages.py [--pages 200] [--kills 50] [--formats jsonl alto] [--json FILE]

Pages are example lines pasted one below the other, in images of one page and TIFFs of several. For each
format an undisturbed run comes first. Then the run and all its processes are ended by SIGKILL, each second
time at some moment from its start to its first pages, and else while pages are noted and documents written,
and gone on with by --resume. At the end all files are compared byte for byte, those of `--lines` too.
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

from PIL import Image

from vocr_cli.core.bench.measure import describe_machine
from vocr_cli.core.pages.journal import journal_file
from vocr_cli.terminal import console

IMAGES = Path(__file__).parents[1] / "examples" / "lines" / "images"
LINES, MOST_TOGETHER = 4, 6  # of a page; pages of a document
WIDTH, PITCH = 900, 70  # px


def write_documents(folder: Path, pages: int, chance: random.Random) -> int:
    """Writes pages; returns how many documents they are."""
    lines = [Image.open(file).convert("L") for file in sorted(IMAGES.iterdir())]
    folder.mkdir()
    number = 0
    while pages:
        number += 1
        drawn = []
        for _ in range(min(pages, chance.choice((1, 1, 2, MOST_TOGETHER)))):
            page = Image.new("L", (WIDTH, PITCH * (LINES + 1)), 255)
            for row, line in enumerate(chance.choices(lines, k=LINES)):
                page.paste(
                    line.resize((min(WIDTH - 80, line.width * 40 // line.height), 40)), (40, PITCH * row + 50)
                )
            drawn.append(page)
        pages -= len(drawn)
        file = folder / f"document-{number:03}"
        if len(drawn) == 1:
            drawn[0].save(file.with_suffix(".png"))
        else:
            drawn[0].save(file.with_suffix(".tif"), save_all=True, append_images=drawn[1:])
    return number


def start(folder: Path, out: Path, form: str, options: list[str]) -> subprocess.Popen[bytes]:
    """Starts the command in a group of processes of its own."""
    command = [sys.executable, "-m", "vocr_cli", "read", str(folder), "--out", str(out), "--format", form]
    command += ["--lines", str(out.with_name(f"{out.name}-lines")), "--resume", "--quiet", *options]
    return subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)


def finish(run: subprocess.Popen[bytes]) -> None:
    """Waits for the end of a run, which must be a good one."""
    _, errors = run.communicate()
    if run.returncode:
        sys.exit(f"vocr read ended with {run.returncode}: {errors.decode()}")


def noted(journal: Path) -> int:
    """Lines of the journal, half a line left out; they are pages and finished documents."""
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def wait_for(run: subprocess.Popen[bytes], journal: Path, lines: int, seconds: float) -> None:
    """Waits until the journal has so many lines, or that time is over, or the run."""
    began = time.monotonic()
    while run.poll() is None and noted(journal) < lines and time.monotonic() - began < seconds:
        time.sleep(0.001)


def kill(run: subprocess.Popen[bytes]) -> None:
    """Ends all processes of a run at once."""
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()


def contents(*folders: Path) -> dict[str, bytes]:
    """All files of some folders; a folder is called by its place in the list."""
    return {
        f"{index}/{file.relative_to(folder)}": file.read_bytes()
        for index, folder in enumerate(folders)
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def kill_and_resume(
    folder: Path, place: Path, form: str, kills: int, options: list[str], chance: random.Random
) -> dict[str, object]:
    """Runs undisturbed, then killed and resumed; compares."""
    whole, out = place / f"{form}-whole", place / f"{form}-killed"
    began = time.monotonic()
    run = start(folder, whole, form, options)
    wait_for(run, journal_file(whole, "1/1"), 2, 600)
    first_s = time.monotonic() - began
    finish(run)
    undisturbed_s, journal = time.monotonic() - began, journal_file(out, "1/1")
    moments = {"before a page was read": 0, "while pages were noted": 0}
    for number in range(kills):
        run = start(folder, out, form, options)
        before = noted(journal)
        if number % 2:
            wait_for(run, journal, max(1, before) + chance.randint(1, 8), 600)
            time.sleep(chance.uniform(0, 0.02))
        else:
            wait_for(run, journal, sys.maxsize, chance.uniform(0, first_s))
        if run.poll() is not None:
            finish(run)
            sys.exit(f"It ended after {number} kills: give more --pages.")
        moments[
            "while pages were noted" if noted(journal) > max(1, before) else "before a page was read"
        ] += 1
        kill(run)
    left = noted(journal)
    finish(start(folder, out, form, options))
    expected, found = (contents(each, each.with_name(f"{each.name}-lines")) for each in (whole, out))
    return {
        "format": form, "kills": kills, "moments": moments, "noted_before_the_last_run": left,
        "files": len(expected), "undisturbed_s": round(undisturbed_s, 1), "identical": expected == found,
        "differing": sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name)),
    }  # fmt: skip


def main() -> None:
    """Runs, kills, resumes and compares."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pages", type=int, default=200)
    parser.add_argument("--kills", type=int, default=50, help="for each format")
    parser.add_argument("--formats", nargs="+", default=["jsonl", "alto"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("options", nargs="*", help="of vocr read, after --")
    given = parser.parse_args()
    chance = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        documents = write_documents(place / "pages", given.pages, chance)
        rows = [
            kill_and_resume(place / "pages", place, form, given.kills, given.options, chance)
            for form in given.formats
        ]
    report = {
        "machine": describe_machine(), "options": given.options, "pages": given.pages, "documents": documents,
        "runs": rows,
    }  # fmt: skip
    text = json.dumps(report, indent=1, default=vars)
    console.result(text)
    if given.json:
        given.json.write_text(text + "\n", encoding="utf-8")
    sys.exit(not all(row["identical"] for row in rows))


if __name__ == "__main__":
    main()
