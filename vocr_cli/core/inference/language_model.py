"""Which language model doubtful lines are searched with."""

from __future__ import annotations

from pathlib import Path

from vocr_cli.core.inference.engines.base import CtcEngine, Engine
from vocr_cli.core.inference.model_source import ModelSource
from vocr_cli.core.inference.onnx_files import onnx_description, read_metadata
from vocr_cli.core.language_model.find import EMBEDDED, EMBEDDED_FILE, LANGUAGE_MODEL_KEY, find_language_model

SUFFIX = ".lm"


def language_model_file(name: str, source: ModelSource, engine: Engine) -> Path | None:
    """Finds the file of a language model.

    Args:
        name: `auto`: the file `MODEL.lm` beside a model, or else, for embedded models and what was made of
            them, the embedded one; none, if the model writes step by step. Otherwise `none`; `vi`, the
            embedded one; or a file that `vocr lm` wrote.
        source: The model that reads.
        engine: Which reads with it.

    Returns:
        The file; None: there is none, or none is wanted.

    Raises:
        ModelError: There is no such file, or the model is damaged.
    """
    if name == "none":
        return None
    if name == "auto" and not isinstance(engine, CtcEngine):
        return None  # the weight is not tuned for such models, whose decoder knows the language itself
    if name == "auto":
        beside = source.path.with_name(source.path.name.partition(".")[0] + SUFFIX)
        if not source.spec.is_embedded and beside.is_file():
            return beside
        return EMBEDDED_FILE if _inherits(source) and EMBEDDED_FILE.is_file() else None
    return find_language_model(name)


def _inherits(source: ModelSource) -> bool:
    """Whether a model is embedded, or was made of one and says so."""
    if source.spec.is_embedded:
        return True
    if not source.is_onnx:
        from vocr_cli.core.models.description import language_model_of  # loads what embedded models need not

        return language_model_of(source.spec) == EMBEDDED
    description = onnx_description(source.path, read_metadata(source.path))
    return bool(description.get(LANGUAGE_MODEL_KEY) == EMBEDDED)
