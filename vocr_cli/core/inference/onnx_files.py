"""What ONNX files say of themselves: their description of the model, and their facts for `vocr inspect`."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vocr_cli.core.config.image import ImageConfig
from vocr_cli.core.errors import DataError, DependencyError, ModelError, reason_of
from vocr_cli.core.inference.engines.onnx import RUNTIMES, installed_runtimes, open_onnx
from vocr_cli.core.inference.engines.onnx_format import DECODER, METADATA_KEY
from vocr_cli.core.machine.files.input_file import parse_json
from vocr_cli.core.text import Charset, charset_fault

_TYPES = {1: "fp32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 10: "fp16", 11: "fp64", 16: "bf16"}


@dataclass(frozen=True)
class OnnxContents:
    """The facts of a file.

    Attributes:
        metadata: The JSON that describes the model; None: the file has none, it is not one of vocr's.
        producer: Program and version that wrote the file; None: unknown without the onnx package.
        opset: Version of the standard operators, 0 where the file names none; None: unknown as well.
        stored_numbers: How many numbers are stored, by their format; None: unknown as well.
    """

    metadata: str | None
    producer: str | None = None
    opset: int | None = None
    stored_numbers: dict[str, int] | None = None


def read_onnx(path: Path) -> OnnxContents:
    """Reads a file's facts by the onnx package, or as far as an installed runtime gives them.

    Raises:
        ModelError: The file is no ONNX model, or damaged.
        DependencyError: Neither the onnx package nor a runtime for ONNX files is installed.
    """
    if find_spec("onnx"):
        return _read_with_onnx(path)
    if installed_runtimes():
        return OnnxContents(read_metadata(path))
    raise DependencyError(
        f"{path} can be looked into only with the onnx package or a runtime for ONNX files.",
        "Install one: pip install 'vocr-cli[onnx]' or pip install 'vocr-cli[openvino]'.",
    )


def read_metadata(path: Path) -> str | None:
    """Reads the JSON by which a file describes its model; None: it has none.

    Raises:
        ModelError: The file is no ONNX model, or damaged.
        DependencyError: No runtime for ONNX files is installed.
    """
    try:
        stat = path.stat()
    except OSError:
        return _metadata(path, 0, 0)  # which says what is wrong
    return _metadata(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(16)
def _metadata(path: Path, size_bytes: int, modified_ns: int) -> str | None:
    """Opens the file, which takes a runtime up to a second, once for each state of it."""
    runtime = next(iter(installed_runtimes()), RUNTIMES[0])
    return open_onnx(path, 1, runtime).metadata


def part_of(path: Path) -> str | None:
    """What part of a model a file of vocr's holds; None: a whole one. Errors as of `read_metadata`."""
    part: str | None = onnx_description(path, read_metadata(path)).get("part")
    return part


def _read_with_onnx(path: Path) -> OnnxContents:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.load_model_from_string(path.read_bytes())
        if not model.HasField("graph"):
            raise ValueError("no graph in it")
    except (DecodeError, ValueError) as error:
        raise ModelError(
            f"{path} is not an ONNX model, or is damaged: {reason_of(error)}.",
            "Write it anew with `vocr export`.",
        ) from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.", "Check the path.") from None
    stored: Counter[str] = Counter()
    for weight in model.graph.initializer:
        stored[_TYPES.get(weight.data_type, f"type {weight.data_type}")] += math.prod(weight.dims)
    opsets = [opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")]
    return OnnxContents(
        metadata={entry.key: entry.value for entry in model.metadata_props}.get(METADATA_KEY),
        producer=f"{model.producer_name} {model.producer_version}".strip() or "not said",
        opset=opsets[-1] if opsets else 0,
        stored_numbers=dict(stored.most_common()),
    )


def onnx_description(path: Path, metadata: str | None) -> dict[str, Any]:
    """Parses and checks what an ONNX file of vocr's says of its model.

    Args:
        path: Named in errors.
        metadata: The file's JSON; None: it has none.

    Raises:
        ModelError: The file is not one of vocr's, or says what cannot be.
    """
    remedy = "Give a model that `vocr export` wrote."
    if metadata is None:
        raise ModelError(f"{path} is an ONNX model, but not one of vocr's.", remedy)
    try:
        description: Any = parse_json(metadata)
        if description.get("part") == DECODER:
            raise ModelError(
                f"{path} holds one step of a decoder only.",
                f"Give the file that lies beside it: {path.name.replace('.decoder.onnx', '.onnx')}.",
            )
        if fault := charset_fault(description["charset"]):
            raise ValueError(fault)
        ImageConfig.parse(description["image"])
        Charset(description["charset"])
        if description["precision"] not in ("fp32", "int8"):
            raise ValueError(f"precision {description['precision']}")
        checked: dict[str, Any] = description
    except (ValueError, KeyError, TypeError, AttributeError, DataError) as error:
        raise ModelError(f"{path} describes itself wrongly: {reason_of(error)}.", remedy) from None
    return checked
