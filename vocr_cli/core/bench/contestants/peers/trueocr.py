"""TrueOCR: a Vietnamese line recogniser on ONNX Runtime, its model in its wheel (Apache-2.0)."""

from vocr_cli.core.bench.contestants.peers.pip_peer import PipPeer

TRUEOCR = PipPeer(
    name="trueocr",
    release="0.1.1",
    needs=("numpy==2.4.6", "onnxruntime==1.32.0", "opencv-python-headless==5.0.0.93", "pillow==13.0.0"),
    script="trueocr_lines.py",
    setting="its recogniser alone, 256 lines a call",
)
