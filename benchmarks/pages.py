"""Pages read by `vocr read` and by Tesseract: CER of the text in reading order, and pages a minute.

    python benchmarks/pages.py make FOLDER --text PARAGRAPHS [--fonts DIR] [--count N] [--seed N]
    python benchmarks/pages.py compare FOLDER [--json FILE]
    python benchmarks/pages.py speed FOLDER --text PARAGRAPHS [--pages N] [--rounds N] [--json FILE]

`make` renders pages of seven kinds (`page_sheets.py`) as PDF, scan and photograph (`page_conditions.py`),
with the exact text beside them; it needs reportlab and pypdfium2, and the fonts of Debian's fonts-croscore.
PARAGRAPHS is a text file, a paragraph a line. Tesseract reads PDFs as drawn at 200 dpi, `-l vie --psm 3`.
Both texts are NFC, white space counts as one space, and a run of dots as one sign: how many stand in a leader
means nothing.

`speed` renders pages of 35 lines at 200 dpi, unless FOLDER holds them, and has both read them in turns, as
whole processes, on all processors that this process may use: `vocr read` as it is, Tesseract in that many
processes of a thread each.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from rapidfuzz.distance import Levenshtein

FONTS = Path("/usr/share/fonts/truetype/croscore")
_LENGTHS = range(120, 700)  # of the paragraphs that are taken, characters


def main() -> None:
    """Does what the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    commands = parser.add_subparsers(required=True)
    make = commands.add_parser("make")
    make.set_defaults(
        run=lambda given: make_pages(given.folder, given.text, given.fonts, given.count, given.seed)
    )
    compare = commands.add_parser("compare")
    compare.set_defaults(run=lambda given: compare_readers(given.folder, given.json))
    speed = commands.add_parser("speed")
    speed.set_defaults(
        run=lambda given: time_readers(
            given.folder, given.text, given.fonts, given.pages, given.rounds, given.json
        )
    )
    for command in (make, compare, speed):
        command.add_argument("folder", type=Path)
    for command in (make, speed):
        command.add_argument("--text", type=Path, required=True)
        command.add_argument("--fonts", type=Path, default=FONTS)
    for command in (compare, speed):
        command.add_argument("--json", type=Path)
    make.add_argument("--count", type=int, default=1, help="pages of each kind")
    make.add_argument("--seed", type=int, default=0)
    speed.add_argument("--pages", type=int, default=100)
    speed.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    given.run(given)


def make_pages(folder: Path, text: Path, fonts: Path, count: int, seed: int) -> None:
    """Renders `count` pages of each kind: KIND-NUMBER.pdf, .png, -scan.jpg, -photo.jpg and .txt."""
    from page_conditions import photographed, render, scanned
    from page_sheets import KINDS, draw_sheet

    folder.mkdir(parents=True, exist_ok=True)
    dice = Random(f"paragraphs {seed}")
    paragraphs = [line.strip() for line in text.open(encoding="utf-8") if len(line) in _LENGTHS]
    dice.shuffle(paragraphs)
    rest = iter(paragraphs)
    for number in range(1, count + 1):
        for kind in KINDS:
            dice = Random(f"{kind} {number} {seed}")
            stem = folder / f"{kind}-{number}"
            sheet = draw_sheet(kind, stem.with_suffix(".pdf"), fonts, dice, rest)
            stem.with_suffix(".txt").write_text(
                "".join(f"{line.text}\n" for line in sheet.lines), encoding="utf-8"
            )
            page = render(stem.with_suffix(".pdf"))
            page.save(stem.with_suffix(".png"), dpi=(200, 200))
            for name, change in (("scan", scanned), ("photo", photographed)):
                image = change(page, dice)
                (folder / f"{stem.name}-{name}.jpg").write_bytes(image.fp.getvalue())  # type: ignore[attr-defined]


def compare_readers(folder: Path, out: Path | None) -> None:
    """Reads all pages with both, and prints the CER of each condition and kind."""
    pages = sorted(folder.glob("*.pdf")) + sorted(folder.glob("*-*.jpg"))
    with TemporaryDirectory() as place:
        subprocess.run(
            [sys.executable, "-m", "vocr_cli", "read", *map(str, pages), "--out", place, "-q"], check=True
        )
        ours = {page.name: (Path(place) / f"{page.stem}.txt").read_text(encoding="utf-8") for page in pages}
    theirs = {
        page.name: _tesseract(page.with_suffix(".png") if page.suffix == ".pdf" else page) for page in pages
    }
    counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for page in pages:
        kind, number, *condition = page.stem.split("-")
        truth = normal((folder / f"{kind}-{number}.txt").read_text(encoding="utf-8"))
        errors = [Levenshtein.distance(truth, normal(texts[page.name])) for texts in (ours, theirs)]
        for key in (
            (condition[0] if condition else "pdf", kind),
            (condition[0] if condition else "pdf", "all"),
        ):
            for at, value in enumerate((*errors, len(truth))):
                counts[key][at] += value
    rows = []
    for (shown_as, kind), (own, other, characters) in sorted(counts.items()):
        rows.append({
            "condition": shown_as, "kind": kind, "characters": characters,
            "vocr_cer": round(100 * own / characters, 3), "tesseract_cer": round(100 * other / characters, 3),
        })  # fmt: skip
        print(f"{shown_as:6} {kind:9} {characters:7,} characters {rows[-1]['vocr_cer']:7.2f} % "
              f"{rows[-1]['tesseract_cer']:7.2f} %")  # fmt: skip
    if out is not None:
        out.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def normal(text: str) -> str:
    """Text as it is compared."""
    words = " ".join(unicodedata.normalize("NFC", text).split())
    return " ".join(re.sub(r"[.…_ ]{4,}|…", "… ", words).split())


def _tesseract(image: Path) -> str:
    command = ["tesseract", str(image), "-", "-l", "vie", "--psm", "3"]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "OMP_THREAD_LIMIT": "1"}
    )
    return done.stdout


def time_readers(folder: Path, text: Path, fonts: Path, pages: int, rounds: int, out: Path | None) -> None:
    """Has both read the same pages in turns; prints pages a minute, processor seconds and peak memory."""
    images = [folder / f"page-{number:04}.png" for number in range(1, pages + 1)]
    if not all(image.exists() for image in images):
        images = list(_book_pages(folder, text, fonts, pages))
    results: dict[str, list[tuple[float, float, float]]] = {"vocr": [], "tesseract": []}
    for _ in range(rounds):
        with TemporaryDirectory() as place:
            command = [sys.executable, "-m", "vocr_cli", "read", *map(str, images), "--out", place, "-q"]
            results["vocr"].append(_timed(command))
            listing = "\n".join(str(image) for image in images)
            processors = str(len(os.sched_getaffinity(0)))
            one = f"tesseract {{}} {place}/{{/.}}.t -l vie --psm 3".replace("{/.}", "$(basename {})")
            command = ["xargs", "-P", processors, "-I{}", "sh", "-c", f"{one} >/dev/null 2>&1"]
            results["tesseract"].append(_timed(command, listing, {"OMP_THREAD_LIMIT": "1"}))
    summary = {}
    for name, runs in results.items():
        wall, cpu, peak = (min(values) for values in zip(*runs, strict=True))
        summary[name] = {"pages_a_minute": 60 * pages / wall, "cpu_s_a_page": cpu / pages, "peak_mb": peak}
        speed = f"{60 * pages / wall:6.1f} pages a minute"
        print(f"{name:10} {speed}, {cpu / pages:5.2f} CPU s a page, {peak:5.0f} MB")
    if out is not None:
        out.write_text(json.dumps(summary, indent=1), encoding="utf-8")


def _book_pages(folder: Path, text: Path, fonts: Path, pages: int) -> Iterator[Path]:
    """Pages of 35 lines of 13 points, 200 dpi."""
    from page_conditions import render
    from page_sheets import SERIF, Sheet
    from reportlab.pdfgen.canvas import Canvas

    folder.mkdir(parents=True, exist_ok=True)
    paragraphs = [line.strip() for line in text.open(encoding="utf-8") if len(line) in _LENGTHS]
    words = " ".join(islice(paragraphs, 12 * pages)).split()
    with TemporaryDirectory() as place:
        for number in range(1, pages + 1):
            file = Path(place) / "page.pdf"
            canvas = Canvas(str(file), pagesize=(595.0, 842.0), invariant=True)
            sheet = Sheet(canvas, fonts)
            for line in range(35):
                row: list[str] = []
                while sheet.measure(" ".join([*row, words[0]]), f"{SERIF}-Regular", 13) < 440:
                    row.append(words.pop(0))
                sheet.justify(80, 80 + 20 * line, 440, row, f"{SERIF}-Regular", 13)
            canvas.save()
            image = folder / f"page-{number:04}.png"
            render(file).convert("L").save(image, dpi=(200, 200))
            yield image


def _timed(
    command: list[str], given: str = "", more: dict[str, str] | None = None
) -> tuple[float, float, float]:
    """Wall and processor seconds of a command and all that it starts, and the MB of its largest process."""
    script = (
        "import resource, subprocess, sys, time; began = time.monotonic();"
        "subprocess.run(sys.argv[1:], stdin=sys.stdin, check=True); wall = time.monotonic() - began;"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN);"
        "print(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *command], input=given, capture_output=True, text=True, check=True,
        env={**os.environ, **(more or {})},
    )  # fmt: skip
    wall, cpu, peak = map(float, done.stderr.strip().split("\n")[-1].split())
    return wall, cpu, peak


if __name__ == "__main__":
    main()
