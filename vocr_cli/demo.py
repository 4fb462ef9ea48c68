"""Reads example lines with the embedded model, shows each reading beside its label, then the scores.

    python -m vocr_cli.demo [FOLDER]

FOLDER holds line images and their labels.tsv; without it, the lines of the package are read. All of it is
done by two commands, `vocr infer` and `vocr eval`; this module only lays their results side by side.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from vocr_cli.core.errors import DataError, VocrError
from vocr_cli.core.text import clean
from vocr_cli.terminal import console


def main(arguments: Sequence[str]) -> int:
    """Run the demonstration; return the exit code."""
    lines = Path(arguments[0]) if arguments else Path(str(resources.files("vocr_cli") / "assets" / "lines"))
    try:
        return _show(lines)
    except VocrError as error:
        console.error(error)
        return 1


def _show(lines: Path) -> int:
    labels = lines / "labels.tsv"
    if not labels.is_file():
        raise DataError(f"{lines} holds no labels.tsv.", "Name a folder of labelled line images, or none.")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "readings.tsv"
        if code := _run("infer", str(lines), "--out", str(out)):
            return code
        readings = {Path(path).name: (text, confidence) for path, text, confidence, *_ in _records(out)}
        rows = []
        for path, label in (record[:2] for record in _records(labels)):
            text, confidence = readings.get(Path(path).name, ("", ""))  # "" where it cannot be read
            mark = "✓" if text == clean(label) else "✗"
            rows.append((Path(path).stem, clean(label), text, confidence, mark))
        columns = ("line", "label", "reading", "confidence", "")
        console.table("Example lines", columns, rows, text_columns=3)
        return _run("eval", str(lines), "--readings", str(out))


def _run(*arguments: str) -> int:
    """Runs the command of this installation, wherever its script is."""
    console.note(f"$ vocr {' '.join(arguments)}")
    return subprocess.run([sys.executable, "-m", "vocr_cli", *arguments], check=False).returncode


def _records(file: Path) -> list[list[str]]:
    return [line.split("\t") for line in file.read_text(encoding="utf-8").splitlines() if line]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
