"""Read the lines that a file lists, one path a line, with RapidOCR's recogniser; write one text a line.

Usage: rapidocr_lines.py LIST OUT THREADS [SETTING=TEXT ...]

With rapidocrlite, the settings Det.model_type=lite and Rec.model_type=lite have Indra's recogniser read.
"""

import sys
from pathlib import Path

from rapidocr import RapidOCR


def main(lines: str, out: str, threads: str, *others: str) -> None:
    """Read line by line, without looking for lines in the image or for its orientation."""
    settings = {
        "Global.use_det": False,
        "Global.use_cls": False,
        "Global.text_score": 0.0,
        "Global.log_level": "error",
        "EngineConfig.onnxruntime.intra_op_num_threads": int(threads),
        **dict(setting.split("=", 1) for setting in others),
    }
    reader = RapidOCR(params=settings)
    with Path(out).open("w", encoding="utf-8") as texts:
        for path in Path(lines).read_text(encoding="utf-8").splitlines():
            reading = reader(path)
            texts.write(" ".join(" ".join(reading.txts or ()).split()) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
