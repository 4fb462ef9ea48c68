"""From the files of a whole model that writes step by step to its engine. Loads no torch."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from vocr_cli.core.config.families import VietocrConfig, parse_model
from vocr_cli.core.decoding.decode_options import DecodeOptions
from vocr_cli.core.errors import ModelError, reason_of
from vocr_cli.core.inference.engines.onnx import RuntimeName, open_onnx, open_session
from vocr_cli.core.inference.engines.onnx_format import (
    DECODER,
    FINGERPRINT_KEY,
    METADATA_KEY,
    decoder_path,
)
from vocr_cli.core.inference.engines.onnx_sequence.engine import OnnxGraphs, OnnxSequenceEngine
from vocr_cli.core.machine.files.input_file import parse_json
from vocr_cli.core.text import Charset

LINES_AT_ONCE = 4
"""Lines that OpenVINO gets at once: a VGG gains up to a fifth by it on short lines, by more than 4 little."""


def open_sequence(
    path: Path,
    description: dict[str, Any],
    threads: int,
    runtime: RuntimeName,
    decode_options: DecodeOptions | None = None,
) -> OnnxSequenceEngine:
    """Opens both files of a model. The decoder runs in ONNX Runtime, whose steps need no new kernels.

    Args:
        path: Of the file that is computed of a line.
        description: What it says of itself, checked by `onnx_description`.
        threads: Processors to use.
        runtime: What runs that file.
        decode_options: How lines are read; None: as in validation.

    Raises:
        ModelError: The decoder's file is missing, damaged, or belongs to another model.
        DependencyError: The runtime is not installed.
    """
    try:
        config = parse_model(description["model"])
        if not isinstance(config, VietocrConfig):
            raise ValueError(f"family {config.family}")
    except (ValidationError, PydanticCustomError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{path} describes itself wrongly: {reason_of(error)}.",
            "Give a model that `vocr export` wrote.",
        ) from None
    open_graphs = partial(_open_graphs, path, description, threads, runtime)
    return OnnxSequenceEngine(
        open_graphs(shared=False),
        partial(open_graphs, shared=True) if threads > 1 else None,
        config,
        Charset(description["charset"]),
        description["precision"],
        decode_options,
    )


def _open_graphs(
    path: Path, description: dict[str, Any], threads: int, runtime: RuntimeName, *, shared: bool
) -> OnnxGraphs:
    memory = open_onnx(path, threads, runtime, LINES_AT_ONCE, shared=shared)
    return OnnxGraphs(memory, _open_decoder(path, description, threads if shared else 1))


def _open_decoder(path: Path, description: dict[str, Any], threads: int) -> Any:
    decoder = decoder_path(path)
    if not decoder.is_file():
        raise ModelError(
            f"{path} has no decoder: {decoder} is missing.",
            f"Put it back beside {path.name}, or write both anew with `vocr export`.",
        )
    remedy = "Write both files anew with `vocr export`."
    try:
        session = open_session(decoder, threads)
        own = parse_json(session.get_modelmeta().custom_metadata_map[METADATA_KEY])
        kept = cast(dict[str, Any], own)
        belongs = kept["part"] == DECODER and all(
            kept[key] == description[key] for key in (FINGERPRINT_KEY, "precision")
        )
    except Exception as error:  # the runtime raises kinds of its own
        reason = str(error).strip().split("\n")[-1]
        raise ModelError(f"{decoder} is no decoder of vocr's, or is damaged: {reason}.", remedy) from None
    if not belongs:
        raise ModelError(f"{decoder} was not written with {path.name}: another model is in it.", remedy)
    return session
