"""Reading on a Ray cluster: a pool of actors, each with a recogniser of its own (Ray Data).

An actor or machine that dies is replaced and what it was reading is read again; results come in the order of
the inputs. All machines must reach the inputs and the model under the same names.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vocr_cli.core.errors import ConfigError, DependencyError, VocrError
from vocr_cli.core.inference.pipeline import LineResult, read_all
from vocr_cli.core.inference.ray.pieces import Piece, pack, piece_lines, pieces, unpack
from vocr_cli.core.inference.recognizer import Recognizer
from vocr_cli.core.inference.recognizer_options import RecognizerOptions
from vocr_cli.core.machine.memory import freeze_loaded_objects

if TYPE_CHECKING:
    from ray.data import Dataset

_ROWS = 256  # results that an actor hands over at a time
_PIECES_AT_ONCE = 4096  # a dataset's; more inputs are read as several datasets, one after another


def need_ray() -> None:
    """Checks that Ray Data is installed.

    Raises:
        DependencyError: It is not.
    """
    try:
        import ray.data  # noqa: F401
    except ImportError:
        raise DependencyError(
            "--engine ray needs Ray Data.", "Install it: pip install 'vocr-cli[ray]', or use --engine local."
        ) from None


def read_with_ray(
    paths: Iterable[Path],
    options: RecognizerOptions,
    actors: int = 0,
    device: str = "auto",
    on_done: Callable[[int], None] = lambda lines: None,
) -> Iterator[LineResult]:
    """Reads inputs on the cluster that RAY_ADDRESS names, or on one started here for the time being.

    Args:
        paths: Files, folders, databases, tar archives, Parquet files.
        options: Which model reads, and how.
        actors: Recognisers; 0: one a GPU, or one a CPU where the cluster has no GPU.
        device: auto, cpu or cuda.
        on_done: Told, as it goes, how many more lines are done.

    Raises:
        DependencyError: Ray is not installed.
        ConfigError: cuda was asked for, but the cluster has no GPU.
        VocrError: The model cannot be loaded.
    """
    need_ray()
    import ray

    started = not ray.is_initialized()
    if started:
        _start()
    try:
        resources = ray.cluster_resources()
        gpus = 0 if device == "cpu" else int(resources.get("GPU", 0))
        if device == "cuda" and not gpus:
            raise ConfigError("The Ray cluster has no GPU.", "Use device auto, or add a machine with one.")
        actors = actors or gpus or max(1, int(resources.get("CPU", 1)))
        source = pieces(paths)
        while some := list(islice(source, _PIECES_AT_ONCE)):
            for result in _results(_dataset(some, options, min(actors, len(some)), bool(gpus))):
                on_done(1)
                yield result
    finally:
        if started:
            ray.shutdown()


class PieceReader:
    """An actor: reads pieces with a recogniser of its own.

    Args:
        options: Which model reads, and how.
        device: cpu or cuda.
    """

    def __init__(self, options: RecognizerOptions, device: str) -> None:
        self._recognizer: Recognizer | None = None
        try:
            self._recognizer = options.load(options.source(), device, threads=1)
            freeze_loaded_objects()
        except VocrError as problem:
            # Raised here, Ray would start actors anew, and bury it in its own errors.
            self._problem = [problem.problem, problem.fix]

    def __call__(self, batch: dict[str, np.ndarray]) -> Iterator[dict[str, list[str]]]:
        """The rows of the pieces in `batch["piece"]`, as `pack` writes them; or what is wrong."""
        if self._recognizer is None:
            yield {"row": [json.dumps(self._problem)]}
            return
        for piece in batch["piece"]:
            results = read_all(self._recognizer, piece_lines(json.loads(piece)))
            while rows := [pack(result) for result in islice(results, _ROWS)]:
                yield {"row": rows}


def _start() -> None:
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # each actor pool warns of its own restarts
    ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)


def _dataset(some: list[Piece], options: RecognizerOptions, actors: int, on_gpu: bool) -> Dataset:
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    rows = [{"piece": json.dumps(piece)} for piece in some]
    return ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        PieceReader,
        fn_constructor_args=[options, "cuda" if on_gpu else "cpu"],
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=actors),
        num_cpus=None if on_gpu else 1,
        num_gpus=1 if on_gpu else None,
    )


def _results(dataset: Dataset) -> Iterator[LineResult]:
    for row in dataset.iter_rows():
        values = json.loads(row["row"])
        if len(values) == 2:
            raise VocrError(*values)
        yield unpack(values)
