"""Which language model doubtful lines are searched with."""

from __future__ import annotations

from pathlib import Path

from vocr_cli.core.inference.engines.base import CtcEngine, Engine
from vocr_cli.core.inference.model_source import ModelSource
from vocr_cli.core.language_model.find import EMBEDDED_FILE, find_language_model

SUFFIX = ".lm"


def language_model_file(name: str, source: ModelSource, engine: Engine) -> Path | None:
    """Finds the file of a language model.

    Args:
        name: `auto`: that of an embedded model, or the file `MODEL.lm` beside a model, unless it writes
            step by step; `none`; `vi`, the embedded one; or a file that `vocr lm` wrote.
        source: The model that reads.
        engine: Which reads with it.

    Returns:
        The file; None: there is none, or none is wanted.

    Raises:
        ModelError: There is no such file.
    """
    if name == "none":
        return None
    if name == "auto" and not isinstance(engine, CtcEngine):
        return None  # the weight is not tuned for such models, whose decoder knows the language itself
    if name == "auto":
        beside = source.path.with_name(source.path.name.partition(".")[0] + SUFFIX)
        found = EMBEDDED_FILE if source.spec.is_embedded else beside
        return found if found.is_file() else None
    return find_language_model(name)
