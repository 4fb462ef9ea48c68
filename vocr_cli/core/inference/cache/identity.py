"""What decides how a line reads: two runs of one identity give the same readings."""

from __future__ import annotations

from hashlib import blake2b

from vocr_cli import __version__
from vocr_cli.core.inference.int8_companion import digest_of
from vocr_cli.core.inference.model_source import ModelSource
from vocr_cli.core.inference.recognizer import Recognizer


def reading_identity(
    recognizer: Recognizer, source: ModelSource, allow: str, deny: str
) -> dict[str, str | int]:
    """Lists the model and the options that a reading depends on, by the names of the command's options.

    Args:
        recognizer: As loaded.
        source: What it was loaded from.
        allow: Characters that may be read, or "".
        deny: Characters that may not.
    """
    engine = recognizer.engine
    files = [source.path]
    if engine.precision == "int8" and not source.is_onnx:
        files.append(source.int8_companion())
    calibration, min_confidence = recognizer.calibration, recognizer.min_confidence
    description = f"{recognizer.image.to_json()} {recognizer.charset.characters}"
    return {
        "version": __version__,
        "model": " ".join(map(digest_of, files)),
        "config": blake2b(description.encode(), digest_size=16).hexdigest(),
        "device": engine.device,
        "precision": engine.precision,
        "runtime": engine.runtime,
        "beam": recognizer.beam,
        "alternatives": recognizer.n_best,
        "allow": allow,
        "deny": deny,
        **({} if recognizer.language_model is None else {"lm": digest_of(recognizer.language_model)}),
        **({"second-look": "on"} if recognizer.second_look else {}),
        **({} if calibration is None else {"calibration": repr(calibration)}),
        **({"min-confidence": str(min_confidence)} if min_confidence else {}),
    }
