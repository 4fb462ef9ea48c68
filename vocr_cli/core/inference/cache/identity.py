"""What decides how a line reads: two runs of one identity give the same readings."""

from __future__ import annotations

from hashlib import blake2b, file_digest
from pathlib import Path

from vocr_cli import __version__
from vocr_cli.core.inference.loading import int8_file
from vocr_cli.core.inference.recognizer import Recognizer
from vocr_cli.core.models.spec import find_model, is_onnx


def reading_identity(
    recognizer: Recognizer, model: str | Path, config: str | Path | None, allow: str, deny: str
) -> dict[str, str | int]:
    """The model and the options that a reading depends on, by the names of the command's options.

    Args:
        recognizer: As loaded.
        model: The name or file it was loaded from.
        config: The YAML it was loaded with.
        allow: Characters that may be read, or "".
        deny: Characters that may not.
    """
    engine = recognizer.engine
    files = [find_model(model)]
    if engine.precision == "int8" and not is_onnx(model):
        files.append(int8_file(model, config))
    description = f"{recognizer.image.model_dump_json()} {recognizer.charset.characters}"
    return {
        "version": __version__,
        "model": " ".join(map(_digest, files)),
        "config": blake2b(description.encode(), digest_size=16).hexdigest(),
        "device": engine.device,
        "precision": engine.precision,
        "runtime": engine.runtime,
        "beam": recognizer.beam,
        "alternatives": recognizer.n_best,
        "allow": allow,
        "deny": deny,
    }


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return file_digest(stream, lambda: blake2b(digest_size=16)).hexdigest()
