"""What a file or folder is, and its facts: a model, a checkpoint, a database, a config, labels, an image."""

from __future__ import annotations

import math
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image, UnidentifiedImageError

from vocr_cli.core.config.tree import Config, ImageConfig, load_config
from vocr_cli.core.data.images.file_kinds import is_image_name
from vocr_cli.core.data.images.fit import fitted_width
from vocr_cli.core.data.images.open_image import line_flags, open_line
from vocr_cli.core.data.images.pages import image_exists, page_count, page_named
from vocr_cli.core.data.label_facts import FIRST_LABELS, charset_facts, percentiles, source_facts
from vocr_cli.core.data.lmdb.environments import data_file, is_database
from vocr_cli.core.data.lmdb.store import LineStore
from vocr_cli.core.data.readers.open_source import open_source
from vocr_cli.core.data.readers.source_options import (
    AS_FOUND,
    NothingLabelled,
    SourceOptions,
    SplitNeeded,
    refuse_unused,
)
from vocr_cli.core.errors import ConfigError, DataError, ModelError
from vocr_cli.core.language_model import model_file as language_model
from vocr_cli.core.language_model.find import EMBEDDED, EMBEDDED_FILE, LANGUAGE_MODEL_KEY, is_language_model
from vocr_cli.core.machine.torch_available import need_torch
from vocr_cli.core.models import calibration
from vocr_cli.core.models.spec import CONFIG_SUFFIXES, MODEL_KINDS, ModelSpec, embedded_models, resolve_model
from vocr_cli.core.models.vietocr.yaml_config import named_configs, read_vietocr_yaml
from vocr_cli.core.training.record.run_folder import is_run_folder, run_facts

Kind = Literal[
    "model", "training checkpoint", "run", "lmdb", "config", "VietOCR config", "annotations", "image",
    "language model", "calibration",
]  # fmt: skip

_SUFFIX_KINDS: dict[str, Kind] = {
    **dict.fromkeys(MODEL_KINDS, "model"),
    **dict.fromkeys(CONFIG_SUFFIXES, "config"),
}
_REMEDY = "Name a model, the folder of a database or a run, a config (.yaml), labelled lines or an image."


@dataclass(frozen=True)
class Inspection:
    """What a file or folder is. `facts` are JSON values by name; a config is given whole besides."""

    kind: Kind
    name: str
    facts: dict[str, Any]
    config: Config | None = None


def inspect_path(name: str, options: SourceOptions = AS_FOUND) -> Inspection:
    """Finds out what `name` is and describes it; nothing in a file is executed.

    Args:
        name: The name of an embedded model, or a path.
        options: How labelled lines are read.

    Raises:
        ConfigError: There are options, and it is no labelled lines.
        VocrError: There is nothing of that name, it is damaged, of no known kind, or needs torch, which is
            not installed.
    """
    name = str(EMBEDDED_FILE) if name == EMBEDDED and not os.path.lexists(name) else name
    kind = (
        "model" if name in embedded_models() else "config" if name in named_configs() else _kind(Path(name))
    )
    if kind == "annotations":
        return _labels(name, options)
    if options.given:
        raise ConfigError(
            f"{name} is a {kind}: options of labelled lines mean nothing to it.", "Leave them out."
        )
    if kind == "config":
        return _config(name)
    if kind == "model":
        return _model(name)
    describe = {
        "lmdb": _lmdb_facts,
        "image": _image_facts,
        "run": run_facts,
        "language model": language_model.describe,
        "calibration": calibration.describe,
    }
    return Inspection(kind, name, describe[kind](Path(name)))


def _config(name: str) -> Inspection:
    spec = resolve_model(name)
    if spec.kind == "VietOCR config":
        return _vietocr_config(name)
    config = load_config(spec.path)
    return Inspection("config", name, config.model_dump(mode="json", by_alias=True), config)


def _model(name: str) -> Inspection:
    spec = resolve_model(name)
    match spec.kind:
        case "ONNX model":
            return Inspection("model", name, _onnx_facts(spec.path))
        case "vocr model":
            return Inspection("model", name, _model_facts(spec))
    need_torch(f"Understanding {name}")
    if spec.path.suffix.lower() in (".pt", ".ckpt") and (facts := _checkpoint_facts(spec.path)) is not None:
        return Inspection("training checkpoint", name, facts)
    from vocr_cli.core.models.vietocr.weights import describe  # loads torch

    return Inspection("model", name, describe(spec.path))


def _kind(path: Path) -> Kind:
    if not image_exists(path):
        raise DataError(f"Nothing at {path}, and no embedded model of that name.", _REMEDY)
    if is_database(path):
        return "lmdb"
    if path.is_dir():
        return "run" if is_run_folder(path) else "annotations"
    if path.name.endswith(calibration.SUFFIX):
        return "calibration"
    if path.is_file() and is_language_model(path):
        return "language model"
    suffix = path.suffix.lower()
    if suffix in _SUFFIX_KINDS:
        return _SUFFIX_KINDS[suffix]
    return "image" if is_image_name(path.name) or _looks_like_image(path) else "annotations"


def _looks_like_image(path: Path) -> bool:
    try:
        with Image.open(path):
            return True
    except UnidentifiedImageError:
        return False
    except Exception:  # a decoder knew the kind and stumbled: `open_line` will say over what
        return True


def _vietocr_config(name: str) -> Inspection:
    settings = read_vietocr_yaml(name)
    facts = {
        "weights": settings.weights or "not named",
        "beam search": settings.beamsearch,
        "images": str(settings.images or "not named"),
        "training lines": str(settings.train_annotation or "not named"),
        "validation lines": str(settings.valid_annotation or "not named"),
        "notes": list(settings.notes),
        "settings": settings.config.model_dump(mode="json", by_alias=True),
    }
    return Inspection("VietOCR config", name, facts, settings.config)


def _model_facts(spec: ModelSpec) -> dict[str, Any]:
    from safetensors import safe_open

    from vocr_cli.core.models.description import language_model_of, read_description

    path = spec.path
    description = {**read_description(path), LANGUAGE_MODEL_KEY: language_model_of(spec) or "none"}
    with safe_open(path, "np") as file:
        slices = [file.get_slice(key) for key in file.keys()]
        parameters = sum(math.prod(tensor.get_shape()) for tensor in slices)
        dtypes = Counter(tensor.get_dtype() for tensor in slices)
    return {
        "file": str(path),
        "bytes": path.stat().st_size,
        "parameters": parameters,
        "number formats": ", ".join(f"{dtype} ({count} tensors)" for dtype, count in dtypes.most_common()),
        **_described(description),
    }


def _described(description: dict[str, Any]) -> dict[str, Any]:
    """What a model file of ours says of itself."""
    charset = description.get("charset", "")
    return {
        "model": description.get("model", {}),
        "image": description.get("image", {}),
        "charset": {"characters": len(charset), "all": charset},
        "provenance": description.get("provenance", {}),
        "scores": description.get("scores", {}),
        "language model": description.get(LANGUAGE_MODEL_KEY, "none"),
    }


def _onnx_facts(path: Path) -> dict[str, Any]:
    from vocr_cli.core.inference.engines.onnx import installed_runtimes
    from vocr_cli.core.inference.engines.onnx_format import BACKBONE, MEMORY, decoder_path
    from vocr_cli.core.inference.onnx_files import onnx_description, read_onnx

    contents = read_onnx(path)
    description = onnx_description(path, contents.metadata)
    unknown = "unknown without the onnx package: pip install 'vocr-cli[onnx]'"
    held = {
        BACKBONE: "the backbone only: give the model it was made of, with --precision int8",
        MEMORY: f"the whole model, together with {decoder_path(path).name}, its decoder",
    }
    return {
        "file": str(path),
        "bytes": path.stat().st_size,
        "precision": description["precision"],
        "holds": held.get(description.get("part", ""), "the whole model"),
        "runtime": ", ".join(installed_runtimes()) or "none is installed: pip install onnxruntime",
        "numbers stored": unknown if contents.stored_numbers is None else contents.stored_numbers,
        "written by": unknown
        if contents.opset is None
        else f"{contents.producer}, operator set {contents.opset}",
        **_described(description),
    }


def _checkpoint_facts(path: Path) -> dict[str, Any] | None:
    """None: it is no checkpoint of `vocr train`."""
    from vocr_cli.core.training.checkpoint import load_checkpoint
    from vocr_cli.core.training.resume import holds_run, resume_command, run_folder
    from vocr_cli.core.training.upgrade_checkpoint import upgrade_checkpoint

    try:
        state = load_checkpoint(path)
    except ModelError:  # whoever takes it for a model next says what is wrong
        return None
    if not isinstance(state, dict):
        return None
    written_format, state = state.get("format"), upgrade_checkpoint(state)
    if not {"module", "loop_state", "charset"} <= state.keys():
        return None
    progress, run = state["loop_state"], run_folder(path)
    counted = {key: value for key, value in progress.items() if isinstance(value, int | float)}
    best = path.with_name("best.safetensors")
    return {
        "file": str(path),
        "bytes": path.stat().st_size,
        "format": written_format,
        "parameters": sum(value.numel() for value in state["module"].values()),
        "charset": {"characters": len(state["charset"]), "all": state["charset"]},
        "started from": progress.get("init") or "random weights",
        "progress": {key: value for key, value in counted.items() if math.isfinite(value)},
        "go on with": resume_command(run) if holds_run(run) else "--resume, in its run's folder",
        "read with": str(best) if best.is_file() else "best.safetensors of its run; not beside it",
    }


def _lmdb_facts(path: Path) -> dict[str, Any]:
    size = data_file(path).stat().st_size
    with LineStore(path) as store:
        lines = len(store)
        texts = [(f"record {number}", store.text(number)) for number in range(lines)]
        return {
            "layout": store.layout,
            "lines": lines,
            "num-samples says": store.stated_count,
            "index": "packed" if store.has_index else "none: sizes are read line by line",
            "bytes": size,
            "bytes per line": round(size / lines),
            "width px": percentiles(store.widths),
            "height px": percentiles(store.heights),
            "label characters": percentiles(store.label_lengths),
            **charset_facts(texts),
            "first labels": [text for _, text in texts[:FIRST_LABELS]],
        }


def _labels(name: str, options: SourceOptions) -> Inspection:
    try:
        source = open_source(Path(name), options)
    except NothingLabelled as unknown:
        raise DataError(unknown.problem, _REMEDY) from None
    except SplitNeeded as several:
        return Inspection("annotations", name, {"splits": several.splits, "one of them": several.fix})
    refuse_unused(options, [source])
    return Inspection("annotations", name, source_facts(source))


def _image_facts(path: Path) -> dict[str, Any]:
    file, number = page_named(path) or (str(path), 0)
    pages = page_count(file)
    if pages > 1 and not number:
        number = 1
    line = open_line(Path(f"{file}#{number}") if number else path)
    with Image.open(file) as image:
        kind = {"format": image.format, "mode": image.mode, "frames": pages}
    if pages > 1:
        kind |= {"shown": f"page {number}", "named": f"{file}#1 to {file}#{pages}"}
    config = ImageConfig()
    return {
        **kind,
        "bytes": os.path.getsize(file),
        "width px": line.width,
        "height px": line.height,
        f"width px at height {config.height_px}": fitted_width(line.width, line.height, config),
        "flags": list(line_flags(line, config)),
    }
