"""The recogniser: line images in, text and confidence out. B lines, C classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vocr_cli.core.config.image import ImageConfig
from vocr_cli.core.data.images.fit import fit_line
from vocr_cli.core.data.images.open_image import line_flags
from vocr_cli.core.errors import ModelError
from vocr_cli.core.inference.engines.base import Engine
from vocr_cli.core.inference.engines.batches import (
    FittingBatches,
    batches_of_one_width,
    consecutive_batches,
    merged_batches,
)
from vocr_cli.core.inference.engines.decoding import Decoding, LanguageModelSearch, class_mask
from vocr_cli.core.inference.engines.looks import read_lines, wants_second_look
from vocr_cli.core.inference.engines.post_processing import LineHypothesis
from vocr_cli.core.inference.inputs.given_images import GivenImage, line_images
from vocr_cli.core.inference.language_model import language_model_file
from vocr_cli.core.inference.loading import calibration_of, load_engine
from vocr_cli.core.inference.model_source import ModelSource, find_source
from vocr_cli.core.inference.reading import (
    NO_NUMBER,
    NO_NUMBER_REMEDY,
    UNSURE,
    Reading,
    line_confidence,
)
from vocr_cli.core.machine.hardware import usable_cores
from vocr_cli.core.text import Charset

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from vocr_cli.core.decoding.decode_options import DecodeOptions
    from vocr_cli.core.models.calibration import Calibration
    from vocr_cli.core.models.files import ModelFile


class Recognizer:
    """Reads line images; `load` makes one.

    Args:
        engine: Reads batches of lines.
        image: How a line becomes a tensor.
        charset: What the classes mean.
        name: What reports call the model.
        allow: If not empty, only these characters can be read (a space, too, only if it is among them).
        deny: These characters cannot be read.
        threads: Processors to use; a GPU takes one batch at a time whatever they are.
        beam: Hypotheses kept while reading; 1: greedy.
        n_best: Alternatives that a beam gives, at most `beam`; each one more takes longer.
        batch_pixels: Pixels of a full batch, all its lines together; None: as suits the engine.
        language_model: The file of one, which doubtful lines are searched with.
        calibration: Of the model's confidences; None: they are the geometric means of the characters'.
        min_confidence: Readings with a lower confidence are flagged "unsure".
        second_look: Whether doubtful lines are read again, stretched, and both readings weighed together;
            None: by CTC models that have a language model.

    Raises:
        DataError: A character of `allow` is not in the charset, or none is left to read.
        ConfigError: A second look is asked of a model that writes step by step.
    """

    def __init__(
        self,
        engine: Engine,
        image: ImageConfig,
        charset: Charset,
        name: str,
        *,
        allow: str = "",
        deny: str = "",
        threads: int = 1,
        beam: int = 1,
        n_best: int = 1,
        batch_pixels: int | None = None,
        language_model: Path | None = None,
        calibration: Calibration | None = None,
        min_confidence: float = 0.0,
        second_look: bool | None = None,
    ) -> None:
        self.engine = engine
        self.image = image
        self.charset = charset
        self.name = name
        self.notes: tuple[str, ...] = ()  # what was supposed of the model, where its file does not tell
        self.beam = beam
        self.n_best = min(n_best, beam)
        self.threads = 1 if engine.device != "cpu" else max(1, threads // engine.threads_per_batch)
        self.pool: ThreadPoolExecutor | None = None
        if self.threads > 1:
            from concurrent.futures import ThreadPoolExecutor

            self.pool = ThreadPoolExecutor(self.threads, "vocr-read", engine.enter_thread)
        self.batch_pixels = batch_pixels or engine.batch_pixels
        self.language_model = language_model
        self.calibration = calibration
        self.min_confidence = min_confidence
        self._fitting = FittingBatches()
        weight = None if calibration is None else calibration.lm_weight
        search = None if language_model is None else LanguageModelSearch(language_model, charset, weight)
        self.second_look = wants_second_look(second_look, engine, language_model)
        self._decoding = Decoding(
            class_mask(charset, allow, deny), beam, self.n_best, search, charset.space_class,
            "first" if self.second_look else "one",
        )  # fmt: skip

    @classmethod
    def load(
        cls,
        name_or_path: str | Path | ModelSource = "vi-small",
        device: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
        *,
        allow: str = "",
        deny: str = "",
        config: str | Path | None = None,
        beam: int = 1,
        n_best: int = 1,
        batch_pixels: int | None = None,
        decode_options: DecodeOptions | None = None,
        runtime: str = "auto",
        language_model: str = "auto",
        min_confidence: float = 0.0,
        second_look: bool | None = None,
    ) -> Recognizer:
        """Loads an embedded model, a .safetensors, an .onnx or a VietOCR .pth file.

        Args:
            name_or_path: The model, or what `find_source` found. For int8, the file beside it is taken.
            device: auto, cpu or cuda.
            precision: auto, fp32, bf16, fp16 or int8.
            threads: Processors to use; None: all cores.
            allow: If not empty, only these characters can be read.
            deny: These characters cannot be read.
            config: The VietOCR YAML of a .pth file, or the name of one of VietOCR's; None: one beside it.
            beam: Hypotheses kept while reading; 1: greedy.
            n_best: Alternatives that a beam gives, at most `beam`.
            batch_pixels: Pixels of a full batch, all its lines together; None: as suits the engine.
            decode_options: How models read that write step by step; None: as in validation.
            runtime: auto, torch, onnxruntime or openvino.
            language_model: auto, none, or the name or file of one; see `language_model_file`.
            min_confidence: Readings with a lower confidence are flagged "unsure".
            second_look: Whether doubtful lines are read again, stretched; None: with a language model.

        Raises:
            ModelError: No such model, a damaged or foreign file, or no int8 file beside it.
            ConfigError: Device, precision, runtime or second look cannot be had, or the config does not fit.
            DependencyError: The runtime is not installed.
            DataError: `allow` or `deny` do not fit the charset.
        """
        source = name_or_path if isinstance(name_or_path, ModelSource) else find_source(name_or_path, config)
        threads = threads or usable_cores()
        model = load_engine(source, device, precision, threads, decode_options, runtime)
        recognizer = cls(
            model.engine, model.image, model.charset, model.name, allow=allow, deny=deny,
            threads=threads, beam=beam, n_best=n_best, batch_pixels=batch_pixels,
            language_model=language_model_file(language_model, source, model.engine),
            calibration=calibration_of(source.spec),
            min_confidence=min_confidence, second_look=second_look,
        )  # fmt: skip
        recognizer.notes = model.notes
        return recognizer

    @classmethod
    def of(
        cls,
        model: ModelFile,
        device: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
        *,
        beam: int = 1,
        n_best: int = 1,
        batch_pixels: int | None = None,
        decode_options: DecodeOptions | None = None,
    ) -> Recognizer:
        """Reads with a model that was loaded or made; arguments as for `load`.

        Raises:
            ConfigError: The device or precision cannot be had.
        """
        from vocr_cli.core.inference.torch_loading import make_engine

        threads = threads or usable_cores()
        engine = make_engine(model, device, precision, threads, decode_options).engine
        return cls(
            engine, model.image, model.charset, model.name,
            threads=threads, beam=beam, n_best=n_best, batch_pixels=batch_pixels,
        )  # fmt: skip

    def read(self, images: Iterable[GivenImage]) -> list[Reading]:
        """Reads line images of any sizes; the results are in their order.

        A batch reads as its lines do singly: no image is padded.

        Args:
            images: N paths, images of any mode, or arrays: (H, W), (H, W, 1) or (H, W, 3), uint8, RGB.

        Raises:
            ImageError: An item is none of these, or cannot be read; `read_all` goes on past such files.
            ModelError: What the model computes of one is no number.
        """
        images = line_images(images)
        lines = [fit_line(image, self.image) for image in images]
        batches = self.batches([line.shape[1] for line in lines])
        if len(batches) == 1:  # nothing to read beside it: this thread does it, with all its processors
            read = [self.read_fitted([lines[index] for index in batches[0]])]
        else:
            futures = [self.start([lines[index] for index in batch]) for batch in batches]
            read = [future.result() for future in futures]
        readings = dict(zip(chain(*batches), chain(*read), strict=True))  # by the lines' indices
        if any(not readings[index].is_number for index in readings):
            raise ModelError(f"{self.name} {NO_NUMBER}.", NO_NUMBER_REMEDY)
        return [readings[index].flagged(line_flags(image, self.image)) for index, image in enumerate(images)]

    def read_files(self, paths: Iterable[str | Path]) -> list[Reading]:
        """Reads image files, as `read` does."""
        return self.read(paths)

    def batch_lines(self, width_px: int) -> int:
        """How many lines of that fitted width make a full batch."""
        return max(1, self.batch_pixels // (width_px * self.image.height_px))

    def batches(self, widths: Sequence[int]) -> list[list[int]]:
        """Groups lines of these fitted widths into batches; each batch is a list of indices into them."""
        if self.engine.reads_singly:
            return consecutive_batches(len(widths), self.threads)
        columns = self.batch_pixels // self.image.height_px
        if self.engine.merges_widths:
            return merged_batches(widths, max(1, columns), self.threads)
        return batches_of_one_width(widths, columns)

    def start(self, lines: Sequence[np.ndarray]) -> Future[list[Reading]]:
        """Has `read_fitted` done by another thread, or, where there is only one, at once."""
        if self.pool is not None:
            return self.pool.submit(self.read_fitted, lines)
        from concurrent.futures import Future

        done: Future[list[Reading]] = Future()
        done.set_result(self.read_fitted(lines))
        return done

    def read_fitted(self, lines: Sequence[np.ndarray]) -> list[Reading]:
        """Reads one batch of lines that `fit_line` made, each (H, W, channels) uint8.

        A batch that memory is short for is read in halves, and so are as large ones from then on.

        Raises:
            NotEnoughMemory: Memory is short for a single line.
        """
        return [reading for part in self._fitting.read(self._read_batch, lines) for reading in part]

    def _read_batch(self, lines: Sequence[np.ndarray]) -> list[Reading]:
        hypotheses = read_lines(self.engine, lines, self._decoding, self.image)
        return [self._reading(hypothesis) for hypothesis in hypotheses]

    def _reading(self, hypothesis: LineHypothesis) -> Reading:
        decode, flags = self.charset.decode, hypothesis.flags
        confidence = line_confidence(hypothesis, self.calibration)
        if confidence < self.min_confidence:
            flags = (*flags, UNSURE)
        alternatives = tuple((decode(classes), score) for classes, score in hypothesis.alternatives)
        text = decode(hypothesis.classes)
        return Reading(text, confidence, tuple(hypothesis.confidences), flags, alternatives)
