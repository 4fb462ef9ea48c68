"""Read the lines that a file lists with Indra's recogniser in rapidocrlite, native; write one text a line.

Usage: indra_lines.py LIST OUT THREADS     (in an environment with rapidocrlite 5.0.0a15)
"""

import sys
from pathlib import Path

from rapidocr import RapidOCR


def main(lines: str, out: str, threads: str) -> None:
    """Read line by line, without looking for lines in the image."""
    settings = {
        "Det.model_type": "lite",
        "Rec.model_type": "lite",
        "Global.use_det": False,
        "Global.use_cls": False,
        "Global.text_score": 0.0,
        "Global.log_level": "error",
        "EngineConfig.onnxruntime.intra_op_num_threads": int(threads),
    }
    reader = RapidOCR(params=settings)
    with Path(out).open("w", encoding="utf-8") as texts:
        for path in Path(lines).read_text(encoding="utf-8").splitlines():
            reading = reader(path)
            texts.write(" ".join(" ".join(reading.txts or ()).split()) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
