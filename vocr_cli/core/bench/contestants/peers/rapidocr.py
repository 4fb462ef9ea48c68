"""RapidOCR: the recogniser alone, with the model in its wheel (Apache-2.0).

That model, PP-OCRv6 small, has no sign for most Vietnamese letters with two marks. The Latin model of
PP-OCRv5 is in no package of PyPI: RapidOCR fetches it from elsewhere, so it is not measured.
"""

from vocr_cli.core.bench.contestants.peers.pip_peer import PipPeer

RAPIDOCR = PipPeer(
    name="rapidocr",
    release="3.10.0",
    needs=("numpy==2.4.6", "onnxruntime==1.32.0", "opencv-python-headless==5.0.0.93", "pillow==13.0.0"),
    script="rapidocr_lines.py",
    setting="its recogniser alone, PP-OCRv6 small of its wheel, line by line",
)
