"""Reads the example lines with the embedded model, shows each reading beside its label, then the scores.

All of it is done by two commands, `vocr infer` and `vocr eval`; this script only lays their results
side by side.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from vocr_cli.core.text import clean
from vocr_cli.terminal import console

LINES = Path(__file__).parent / "lines"
VOCR = str(Path(sys.executable).with_name("vocr"))


def run(*arguments: str) -> None:
    console.note(f"$ vocr {' '.join(arguments)}")
    done = subprocess.run([VOCR, *arguments], check=False)
    if done.returncode:
        sys.exit(done.returncode)


def records(file: Path) -> list[list[str]]:
    return [line.split("\t") for line in file.read_text(encoding="utf-8").splitlines() if line]


with tempfile.TemporaryDirectory() as folder:
    out = Path(folder) / "readings.tsv"
    run("infer", str(LINES), "--out", str(out))
    readings = {Path(path).name: (text, confidence) for path, text, confidence, *_ in records(out)}
    rows = []
    for path, label in (record[:2] for record in records(LINES / "labels.tsv")):
        text, confidence = readings[Path(path).name]
        rows.append((Path(path).stem, clean(label), text, confidence, "✓" if text == clean(label) else "✗"))
    console.table("Example lines", ("line", "label", "reading", "confidence", ""), rows, text_columns=3)
    run("eval", str(LINES), "--readings", str(out))
