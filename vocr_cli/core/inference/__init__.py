"""Reading lines: a recogniser, and the pipeline that feeds it."""

from vocr_cli.core.inference.pipeline import LineResult, read_all
from vocr_cli.core.inference.reading import Reading
from vocr_cli.core.inference.recognizer import Recognizer

__all__ = ["LineResult", "Reading", "Recognizer", "read_all"]
