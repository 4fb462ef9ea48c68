"""vocr: train, measure and run recognisers of Vietnamese text lines.

    from vocr_cli import Recognizer

    for reading in Recognizer.load("vi-small").read_files(["line.png"]):
        print(reading.text, reading.confidence)

Importing this package does not import torch: `Recognizer` and `Reading` are imported when first used.
"""

import os
import sys
from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["Reading", "Recognizer", "__version__"]

if sys.platform == "darwin":  # what torch lacks on a Mac's GPU is done on the CPU; read when torch is loaded
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")

if TYPE_CHECKING:
    from vocr_cli.core.inference.reading import Reading
    from vocr_cli.core.inference.recognizer import Recognizer
else:

    def __getattr__(name: str) -> object:
        if name in ("Reading", "Recognizer"):
            from vocr_cli.core.inference import recognizer

            return getattr(recognizer, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
