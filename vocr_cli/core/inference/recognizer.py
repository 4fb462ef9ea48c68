"""The recogniser: line images in, text and confidence out. B lines, T columns, C classes."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pydantic import ValidationError
from torch import Tensor

from vocr_cli.core.config import ImageConfig
from vocr_cli.core.data.images import fit_line, line_flags, open_line
from vocr_cli.core.decoding.ctc import ctc_greedy
from vocr_cli.core.errors import DataError, ModelError
from vocr_cli.core.hardware import read_hardware
from vocr_cli.core.inference.engines import Engine, TorchEngine, onnx_runtime, open_onnx
from vocr_cli.core.models.files import find_model, load_model
from vocr_cli.core.precision import PrecisionName, choose_device, choose_precision, good_precisions
from vocr_cli.core.text import Charset, describe_character

CPU_BATCH_PIXELS = 200_000
GPU_BATCH_PIXELS = 6_000_000


@dataclass(frozen=True)
class Reading:
    """What a line says.

    Attributes:
        text: NFC.
        confidence: 0..1, the geometric mean of `char_confidences`; for an empty text, the mean probability
            that the columns hold nothing.
        char_confidences: The probability of each character of `text`.
        flags: What makes the image doubtful as a line: "page-like", "squeezed".
    """

    text: str
    confidence: float
    char_confidences: tuple[float, ...]
    flags: tuple[str, ...] = ()


class Recognizer:
    """Reads line images; `load` makes one.

    Args:
        engine: Computes the logits.
        image: How a line becomes a tensor.
        charset: What the classes mean.
        name: What reports call the model.
        allow: If not empty, only these characters can be read (a space, too, only if it is among them).
        deny: These characters cannot be read.
        threads: Batches that are read at a time; a GPU takes one.

    Raises:
        DataError: A character of `allow` is not in the charset, or none is left to read.
    """

    def __init__(
        self,
        engine: Engine,
        image: ImageConfig,
        charset: Charset,
        name: str,
        allow: str = "",
        deny: str = "",
        threads: int = 1,
    ) -> None:
        self.engine = engine
        self.image = image
        self.charset = charset
        self.name = name
        self.threads = 1 if engine.device == "cuda" else threads
        self._pool = ThreadPoolExecutor(threads, "vocr-read") if self.threads > 1 else None
        self.batch_pixels = GPU_BATCH_PIXELS if engine.device == "cuda" else CPU_BATCH_PIXELS
        self._mask = class_mask(charset, allow, deny)
        if self._mask is not None:
            self._mask = self._mask.to(engine.device)

    @classmethod
    def load(
        cls,
        name_or_path: str | Path = "vi-small",
        device: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
        allow: str = "",
        deny: str = "",
    ) -> Recognizer:
        """Loads an embedded model, a .safetensors or an .onnx file.

        Args:
            name_or_path: For int8, the .int8.onnx file beside the model is taken.
            device: auto, cpu or cuda.
            precision: auto, fp32, bf16, fp16 or int8.
            threads: Processors to use; None: all cores.
            allow: If not empty, only these characters can be read.
            deny: These characters cannot be read.

        Raises:
            ModelError: No such model, a damaged or foreign file, or no int8 file beside it.
            ConfigError: The device or precision cannot be had.
            DependencyError: No runtime for ONNX files is installed.
            DataError: `allow` or `deny` do not fit the charset.
        """
        threads = threads or read_hardware(torch_facts=False).cores
        if str(name_or_path).endswith(".onnx"):
            return cls._from_onnx(Path(name_or_path), device, precision, threads, allow, deny)
        if precision == "int8":
            choose_precision(precision, choose_device("cpu" if device == "auto" else device))
            return cls._from_onnx(int8_file(name_or_path), device, precision, threads, allow, deny)
        place = choose_device(device)
        model = load_model(name_or_path)
        engine = TorchEngine(model.module, place, choose_precision(precision, place))
        return cls(engine, model.image, model.charset, model.name, allow, deny, threads)

    @classmethod
    def _from_onnx(
        cls, path: Path, device: str, precision: str, threads: int, allow: str, deny: str
    ) -> Recognizer:
        if device == "cuda":
            raise ModelError(
                f"{path} runs on the CPU only.", "Leave --device out, or use the .safetensors model."
            )
        if not path.is_file():
            raise ModelError(
                f"No model at {path}.", "Check the path, or write it with `vocr export MODEL OUT.onnx`."
            )
        engine = open_onnx(path, threads)
        description = _description(path, engine.metadata)
        engine.precision = description["precision"]
        if precision not in ("auto", engine.precision):
            raise ModelError(
                f"{path} holds {engine.precision} numbers, not {precision}.",
                "Leave --precision out, or use the .safetensors model.",
            )
        image = ImageConfig.model_validate(description["image"])
        name = path.name.removesuffix(".onnx").removesuffix(".int8")
        return cls(engine, image, Charset(description["charset"]), name, allow, deny, threads)

    def read(self, images: Sequence[Image.Image]) -> list[Reading]:
        """Reads line images, mode RGB or L, any sizes; the results are in their order.

        A batch reads as its lines do singly: only lines of the same fitted width share one.
        """
        lines = [fit_line(image, self.image) for image in images]
        by_width: dict[int, list[int]] = {}
        for place, line in enumerate(lines):
            by_width.setdefault(line.shape[1], []).append(place)
        started = []
        for width, places in by_width.items():
            size = self.batch_lines(width)
            for start in range(0, len(places), size):
                batch = places[start : start + size]
                started.append((batch, self.start([lines[place] for place in batch])))
        readings = {
            place: reading
            for batch, future in started
            for place, reading in zip(batch, future.result(), strict=True)
        }
        return [
            replace(readings[place], flags=line_flags(image, self.image))
            for place, image in enumerate(images)
        ]

    def read_files(self, paths: Iterable[str | Path]) -> list[Reading]:
        """Reads image files.

        Raises:
            ImageError: A file cannot be read; `read_all` goes on past such files.
        """
        return self.read([open_line(Path(path)) for path in paths])

    def batch_lines(self, width_px: int) -> int:
        """How many lines of that fitted width make a full batch."""
        return max(1, self.batch_pixels // (width_px * self.image.height_px))

    def start(self, lines: Sequence[np.ndarray]) -> Future[list[Reading]]:
        """Has `read_fitted` done by another thread, or, where there is only one, at once."""
        if self._pool is not None:
            return self._pool.submit(self.read_fitted, lines)
        done: Future[list[Reading]] = Future()
        done.set_result(self.read_fitted(lines))
        return done

    def read_fitted(self, lines: Sequence[np.ndarray]) -> list[Reading]:
        """Reads one batch of lines that `fit_line` made, each (H, W, channels) uint8, all of one width."""
        logits = self.engine.logits(np.stack(lines))  # (B, T, C)
        if self._mask is not None:
            logits = logits + self._mask
        readings = []
        for line, path in enumerate(ctc_greedy(logits)):
            if path.classes:
                logarithms = [math.log(max(confidence, 1e-30)) for confidence in path.confidences]
                confidence = math.exp(sum(logarithms) / len(logarithms))
            else:
                confidence = float(logits[line].float().softmax(-1)[:, 0].mean())
            readings.append(Reading(self.charset.decode(path.classes), confidence, tuple(path.confidences)))
        return readings


def class_mask(charset: Charset, allow: str, deny: str) -> Tensor | None:
    """(C,) float, 0 for the blank and what may be read, -inf for the rest; None: all may be read.

    Raises:
        DataError: A character of `allow` is not in the charset, or none is left to read.
    """
    if not allow and not deny:
        return None
    allowed = unicodedata.normalize("NFC", allow) or charset.characters
    lacking = [describe_character(char) for char in dict.fromkeys(allowed) if char not in charset]
    if lacking:
        raise DataError(
            f"The model cannot read {', '.join(lacking)}.", "Leave these characters out of --allow."
        )
    readable = set(allowed) - set(unicodedata.normalize("NFC", deny))
    if not readable:
        raise DataError("--allow and --deny leave no character to read.", "Deny fewer characters.")
    blocked = [char not in readable for char in charset.characters]
    return torch.zeros(charset.classes).masked_fill(torch.tensor([False, *blocked]), -math.inf)


def int8_file(name_or_path: str | Path) -> Path:
    """The int8 companion of a model.

    Raises:
        ModelError: No such model, or it has no companion.
    """
    model = find_model(name_or_path)
    companion = model.with_name(f"{model.stem}.int8.onnx")
    if not companion.is_file():
        raise ModelError(
            f"{name_or_path} has no int8 file: {companion} is missing.",
            f"Write it: vocr export {name_or_path} {companion} --calibrate DATA",
        )
    return companion


def available_precisions(name_or_path: str | Path, device: str = "auto") -> tuple[PrecisionName, ...]:
    """The precisions that this model, this hardware and the installed packages allow.

    Raises:
        ModelError: No such model.
        ConfigError: No such device.
    """
    place = choose_device(device)
    if str(name_or_path).endswith(".onnx"):
        return (Recognizer.load(name_or_path).engine.precision,)
    found = good_precisions(place)
    model = find_model(name_or_path)
    companion = model.with_name(f"{model.stem}.int8.onnx")
    return (*found, "int8") if place == "cpu" and companion.is_file() and onnx_runtime() else found


def _description(path: Path, metadata: str | None) -> dict[str, Any]:
    remedy = "Give a model that `vocr export` wrote."
    if metadata is None:
        raise ModelError(f"{path} is an ONNX model, but not one of vocr's.", remedy)
    try:
        description: dict[str, Any] = json.loads(metadata)
        ImageConfig.model_validate(description["image"])
        Charset(description["charset"])
        if description["precision"] not in ("fp32", "int8"):
            raise ValueError(f"precision {description['precision']}")
    except (ValueError, KeyError, ValidationError, DataError) as error:
        raise ModelError(f"{path} describes itself wrongly: {error}", remedy) from None
    return description
