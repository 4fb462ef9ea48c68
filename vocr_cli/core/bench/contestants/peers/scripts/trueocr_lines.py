"""Read the lines that a file lists, one path a line, with TrueOCR; write one text a line.

Usage: trueocr_lines.py LIST OUT THREADS
"""

import sys
from pathlib import Path

import trueocr


def main(lines: str, out: str, threads: str) -> None:
    """Read all lines in one call, which groups them by width."""
    model = trueocr.Recognizer(Path(trueocr.__file__).parent / "models", threads=int(threads))
    readings = model.predict(Path(lines).read_text(encoding="utf-8").splitlines())
    texts = (" ".join(reading.text.split()) for reading in readings)
    Path(out).write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
