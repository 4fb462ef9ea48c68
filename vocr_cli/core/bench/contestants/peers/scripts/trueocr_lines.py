"""Read the lines that a file lists, one path a line, with TrueOCR; write one text a line.

Usage: trueocr_lines.py LIST OUT THREADS
"""

import sys
from pathlib import Path

import trueocr

LINES_A_CALL = 256
"""Lines that are held at a time: TrueOCR groups those of a call by width."""


def main(lines: str, out: str, threads: str) -> None:
    """Read all lines, some hundreds a call."""
    model = trueocr.Recognizer(Path(trueocr.__file__).parent / "models", threads=int(threads))
    paths = Path(lines).read_text(encoding="utf-8").splitlines()
    with Path(out).open("w", encoding="utf-8") as texts:
        for first in range(0, len(paths), LINES_A_CALL):
            for reading in model.predict(paths[first : first + LINES_A_CALL]):
                texts.write(" ".join(reading.text.split()) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
