"""The int8 file beside a model: whether there is one, and whether it was made of these weights."""

from __future__ import annotations

from pathlib import Path

from vocr_cli.core.errors import VocrError
from vocr_cli.core.inference.engines.onnx import installed_runtimes
from vocr_cli.core.inference.engines.onnx_format import BACKBONE, MEMORY
from vocr_cli.core.inference.model_source import ModelSource
from vocr_cli.core.inference.onnx_files import onnx_description, read_metadata

WEIGHTS_KEY = "weights"
"""Where the description of an ONNX file keeps the digest of the model file that it was written from."""


def digest_of(file: Path) -> str:
    """Digests a model file."""
    from hashlib import blake2b, file_digest  # loads OpenSSL, which few runs need

    with file.open("rb") as stream:
        return file_digest(stream, lambda: blake2b(digest_size=16)).hexdigest()


def has_current_int8(source: ModelSource) -> bool:
    """Whether a model has an int8 file that holds all of it, and was written from the same weights.

    A file that does not say what it was written from is not taken unasked: the model may have been trained
    further since.
    """
    if source.is_onnx or not source.int8_path.is_file() or not installed_runtimes():
        return False
    if source.spec.is_embedded:
        return True
    if source.spec.kind != "vocr model":
        return False
    try:
        description = onnx_description(source.int8_path, read_metadata(source.int8_path))
    except VocrError:  # whoever asks for int8 is told what is wrong
        return False
    return description.get("part") != BACKBONE and description.get(WEIGHTS_KEY) == digest_of(source.path)


def speaks_for(source: ModelSource) -> bool:
    """Whether the int8 files of a model that writes step by step can be read with in place of the model.

    Nothing but they is opened then. A config beside VietOCR's weights may say something else by now, so
    these are loaded and compared, and so is a model whose file is another one than that which was exported.
    """
    if source.spec.kind != "vocr model" or source.config is not None:
        return False
    path = source.int8_companion()
    description = onnx_description(path, read_metadata(path))
    return description.get("part") == MEMORY and description.get(WEIGHTS_KEY) == digest_of(source.path)
