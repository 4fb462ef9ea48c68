"""The engine of a model that writes step by step, whole in ONNX files. B lines, H and W px."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from threading import Lock, local
from typing import Any

import numpy as np

from vocr_cli.core.config.families import VietocrConfig
from vocr_cli.core.decoding.decode_options import DecodeOptions, reading_options
from vocr_cli.core.decoding.token_hypothesis import TokenHypothesis
from vocr_cli.core.inference.engines.base import CPU_BATCH_PIXELS
from vocr_cli.core.inference.engines.decoding import Decoding
from vocr_cli.core.inference.engines.onnx import OnnxModel
from vocr_cli.core.inference.engines.onnx_sequence.decoder import (
    Feeds,
    GruDecoder,
    OnnxDecoder,
    TransformerDecoder,
)
from vocr_cli.core.inference.engines.onnx_sequence.greedy import greedy
from vocr_cli.core.inference.engines.post_processing import LineHypothesis
from vocr_cli.core.inference.engines.tokens import TokenPostProcessor
from vocr_cli.core.machine.precision import DeviceName, PrecisionName
from vocr_cli.core.machine.torch_available import need_torch
from vocr_cli.core.text import Charset


class OnnxGraphs:
    """The two open files of a model: what is computed of a line, and a step of the decoder.

    Args:
        memory: Run on the lines.
        session: ONNX Runtime's, of the step.
    """

    def __init__(self, memory: OnnxModel, session: Any) -> None:
        self.memory, self.session = memory, session

    def step(self, feeds: Feeds) -> list[np.ndarray]:
        """Runs a step."""
        outputs: list[np.ndarray] = self.session.run(None, feeds)
        return outputs


class OnnxSequenceEngine:
    """Looks at each width by itself, and writes all lines of a batch together, step by step.

    Runtimes for ONNX files fix their threads when they open a file. A batch that comes alone is read with all
    processors: when the first one comes, the files are opened once more.

    Args:
        graphs: Open files that each calling thread runs on one processor.
        open_shared: Opens them so that all processors share a batch; None: there is one processor.
        config: Sizes of the model.
        charset: What its classes mean.
        precision: What they compute in.
        decode_options: How lines are read; None: as in validation.

    Attributes:
        options: The decode options; `beam` and `n_best` are those of the caller's `Decoding`.
    """

    device: DeviceName = "cpu"
    threads_per_batch = 1
    reads_singly = False
    merges_widths = True  # a step costs about the same for one row as for many

    def __init__(
        self,
        graphs: OnnxGraphs,
        open_shared: Callable[[], OnnxGraphs] | None,
        config: VietocrConfig,
        charset: Charset,
        precision: PrecisionName,
        decode_options: DecodeOptions | None = None,
    ) -> None:
        specials = config.specials
        self.precision, self.runtime = precision, graphs.memory.runtime
        self.options = decode_options or reading_options(charset, specials)
        self._graphs, self._open_shared = graphs, open_shared
        self._config, self._classes = config, specials + len(charset)
        self._post_processor = TokenPostProcessor(self._classes, specials)
        self._shared: OnnxGraphs | None = None
        self._opening, self._thread = Lock(), local()

    @property
    def batch_pixels(self) -> int:
        """Pixels of a full batch, all its lines together."""
        return CPU_BATCH_PIXELS

    def enter_thread(self) -> None:
        """Has the calling thread read on one processor. See `Engine.enter_thread`."""
        self._thread.reads_beside_others = True

    def read(self, lines: np.ndarray, decoding: Decoding) -> list[LineHypothesis]:
        """Reads a batch, greedily or with a beam. See `Engine.read`."""
        return self.read_groups([lines], decoding)[0]

    def read_groups(self, groups: Sequence[np.ndarray], decoding: Decoding) -> list[list[LineHypothesis]]:
        """Looks at each width by itself and writes all lines together. See `Engine.read_groups`."""
        graphs = self._graphs_of_thread()
        memories = [graphs.memory.run(lines) for lines in groups]
        decoder = make_decoder(graphs, self._config, self._classes, self.options.max_steps)
        mask = decoding.mask
        allowed = None if mask is None else self._post_processor.allowed_classes(mask)
        count = sum(map(len, groups))

        def greedily(options: DecodeOptions) -> list[TokenHypothesis]:
            decoder.start(memories)
            return greedy(decoder, count, options, allowed)

        def search(indices: Sequence[int], options: DecodeOptions) -> list[list[TokenHypothesis]]:
            need_torch("A beam, or a language model, over a model that writes step by step")
            from vocr_cli.core.inference.engines.onnx_sequence.beam import search

            return search(decoder, _lines_of(memories, indices), options, allowed)

        hypotheses = iter(self._post_processor.read(count, greedily, search, self.options, decoding))
        return [list(islice(hypotheses, len(lines))) for lines in groups]

    def start(self, groups: Sequence[np.ndarray]) -> OnnxDecoder:
        """Gives the decoder of a batch, groups as of `read_groups`, ready for its first step."""
        graphs = self._graphs_of_thread()
        decoder = make_decoder(graphs, self._config, self._classes, self.options.max_steps)
        decoder.start([graphs.memory.run(lines) for lines in groups])
        return decoder

    def _graphs_of_thread(self) -> OnnxGraphs:
        if self._open_shared is None or getattr(self._thread, "reads_beside_others", False):
            return self._graphs
        with self._opening:
            if self._shared is None:
                self._shared = self._open_shared()
            return self._shared


def _lines_of(memories: Sequence[np.ndarray], indices: Sequence[int]) -> list[np.ndarray]:
    """Takes the lines with these rising indices, counted over all widths, out of what each width has.

    Args:
        memories: (B, S, D) of each width, B and S of its own.
        indices: Of lines; widths of which none is taken are left out.
    """
    ends = np.cumsum([len(memory) for memory in memories])
    rows = np.asarray(indices)
    parts = np.split(rows, np.searchsorted(rows, ends[:-1]))
    starts = [0, *ends[:-1]]
    return [
        memory[part - start] for memory, part, start in zip(memories, parts, starts, strict=True) if len(part)
    ]


def make_decoder(graphs: OnnxGraphs, config: VietocrConfig, classes: int, max_steps: int) -> OnnxDecoder:
    """Makes the decoder of a batch.

    Args:
        graphs: The open files.
        config: Sizes of the model.
        classes: C.
        max_steps: Tokens of a line, at most; fewer where the model's table of positions ends before.
    """
    if config.sequence == "transformer":
        sizes = config.transformer
        limit = min(max_steps, sizes.positions)
        return TransformerDecoder(graphs.step, classes, limit, layers=sizes.decoder_layers, heads=sizes.heads)
    return GruDecoder(graphs.step, classes, max_steps, config.seq2seq.decoder_hidden)
