"""A reason, and those that hold no measured value."""

from __future__ import annotations

from enum import Enum


class Reason:
    """Why a value was chosen; `str` gives the sentence that stands beside it in the config."""


class Sentence(Reason, Enum):
    """Reasons that hold no measured value."""

    FAST_ON_CPU = "the size that a CPU trains and reads fast"
    GPU_AND_MANY_LINES = "a GPU, and lines enough for a model three times as large as `ctc`"
    AS_ASKED = "as asked for"
    NO_DATA = "no --data given: lines rendered from the built-in generator"
    ALL_KNOWN = "every character of the labels is in the charset"
    ALL_KNOWN_TO_MODEL = "every character of the labels is in the charset; another one would join it"
    MUON_FROM_RANDOM = "from random weights far fewer steps than AdamW's"
    MUON_FROM_WEIGHTS = "measured on handwriting, 20 minutes from vi-small: CER 17.8 %, AdamW's 21.2 %"
    ADAMW_FOR_VIETOCR = "VietOCR's models were trained with it; Muon was not measured with them"
    LEARNED_BY_HEART = "the same lines come again and again, and are soon learned by heart"
    SHORT_AVERAGE = "an average over some 500 steps: fine-tuning takes few"
    VALIDATION_TIME = "as often as a twentieth of the time allows"
    FITS_UNTIMED = "not timed; steps fit without it"
    FP32_UNTIMED = "the device computes in it; fp32 was not timed"
    NO_FAST_HALF = "this device has no fast half precision"

    def __str__(self) -> str:
        return str(self.value)
