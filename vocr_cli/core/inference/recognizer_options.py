"""Which model reads, and how: what a recogniser is loaded by, here or by every actor of a Ray cluster."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vocr_cli.core.inference.model_source import ModelSource, find_source
from vocr_cli.core.inference.recognizer import Recognizer


@dataclass(frozen=True, kw_only=True)
class RecognizerOptions:
    """Arguments of `Recognizer.load`, but for those of the machine.

    Attributes:
        model: The name of an embedded model, or a model file.
        precision: auto, fp32, bf16, fp16 or int8.
        allow: If not empty, only these characters can be read.
        deny: These characters cannot be read.
        config: The VietOCR YAML of a .pth file, or the name of one of VietOCR's; None: one beside it.
        beam: Hypotheses kept while reading; 1: greedy.
        n_best: Alternatives that a beam gives, at most `beam`.
        runtime: auto, torch, onnxruntime or openvino.
        threads: Processors to use; None: all cores.
        language_model: auto, none, or the name or file of one; see `language_model_file`.
        min_confidence: Readings with a lower confidence are flagged "unsure".
        second_look: Whether doubtful lines are read again, stretched; None: with a language model.
    """

    model: str | Path = "vi-small"
    precision: str = "auto"
    allow: str = ""
    deny: str = ""
    config: str | Path | None = None
    beam: int = 1
    n_best: int = 1
    runtime: str = "auto"
    threads: int | None = None
    language_model: str = "auto"
    min_confidence: float = 0.0
    second_look: bool | None = None

    def source(self) -> ModelSource:
        """Finds the model's file; errors as of `find_source`."""
        return find_source(self.model, self.config)

    def load(self, source: ModelSource, device: str, threads: int | None = None) -> Recognizer:
        """Loads the model from the file that `source` found; errors as of `Recognizer.load`."""
        return Recognizer.load(
            source,
            device,
            self.precision,
            threads or self.threads,
            allow=self.allow,
            deny=self.deny,
            beam=self.beam,
            n_best=self.n_best,
            runtime=self.runtime,
            language_model=self.language_model,
            min_confidence=self.min_confidence,
            second_look=self.second_look,
        )
