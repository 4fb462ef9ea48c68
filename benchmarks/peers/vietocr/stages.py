"""Where reading spends its time, stage by stage, and how far each is from what the machine can do.

    .venv/bin/python benchmarks/peers/vietocr/stages.py FOLDER [--models full_vgg_transformer,vi-small]
        [--precisions fp32,bf16] [--threads 1] [--lines 64] [--steps 30] [--rounds 5]

FOLDER is what run.sh made; its test lines are read. All stages run in this thread, one after the other, on
batches as vocr makes them; the processors given share each operation. The limit of a stage is its
floating-point operations over the rate of a large matrix product in the same number format on the same
processors. VietOCR's models write --steps characters a line at most; the full-size ones never end before.
Results go to FOLDER/results/stages.json.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from sides import by_width, test_lines
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from vocr_cli import Recognizer
from vocr_cli.core.bench.measure import describe_machine, pinned
from vocr_cli.core.data.images.fit import fit_line
from vocr_cli.core.data.images.open_image import open_line
from vocr_cli.core.decoding.ctc import ctc_greedy
from vocr_cli.core.decoding.greedy import greedy
from vocr_cli.core.inference.engines.post_processing import LineHypothesis
from vocr_cli.core.inference.engines.torch_ctc import use_threads
from vocr_cli.core.machine.precision import good_precisions
from vocr_cli.core.machine.torch_dtypes import TORCH_DTYPES
from vocr_cli.core.models.spec import embedded_models
from vocr_cli.terminal import console

MATRIX_SIZES = (512, 1024, 2048)
RATE_S = 0.5


@dataclass(frozen=True)
class Stage:
    """A part of the way from a file to its text; per line."""

    name: str
    ms: float
    gflop: float
    limit_ms: float

    @property
    def of_limit(self) -> float:
        """1: as fast as the matrix product; 0: no floating-point work to speak of."""
        return self.limit_ms / self.ms


Work = Callable[[], Any]


def stages(recognizer: Recognizer, images: list[str], steps: int) -> Iterator[tuple[str, Work, Work | None]]:
    """Each stage's name, what runs it, and a part of that work to be taken off again.

    All that a stage needs is computed before it is given.
    """
    yield "open images", lambda: [open_line(Path(path)) for path in images], None
    opened = [open_line(Path(path)) for path in images]
    yield "fit to height", lambda: [fit_line(image, recognizer.image) for image in opened], None
    lines = [fit_line(image, recognizer.image) for image in opened]
    batches = [
        [lines[place] for place in batch] for batch in recognizer.batches([line.shape[1] for line in lines])
    ]
    yield from (sequence_stages if recognizer.engine.merges_widths else ctc_stages)(
        recognizer, batches, steps
    )


def sequence_stages(
    recognizer: Recognizer, batches: list[list[np.ndarray]], steps: int
) -> Iterator[tuple[str, Work, Work | None]]:
    """Of VietOCR's models. The encoder's stage holds what the decoder asks of every line."""
    from vocr_cli.core.inference.engines.vietocr import _side_by_side

    engine: Any = recognizer.engine
    options = engine.options.model_copy(update={"max_steps": steps, "repetition_steps": 0})
    groups = [grouped(batch) for batch in batches]

    def seen() -> list[tuple[torch.Tensor, torch.Tensor | None]]:
        return [_side_by_side([engine.features(own) for own in group]) for group in groups]

    yield "backbone", seen, None
    features = seen()

    def encode() -> None:
        for columns, lengths in features:
            engine._decoder.start(columns, lengths=lengths)

    def write() -> list[Any]:
        return [
            path
            for columns, lengths in features
            for path in greedy(engine._decoder, columns, options, None, lengths)
        ]

    yield "encoder", encode, None
    yield f"decoder, {steps} steps", write, encode
    paths, processor = write(), engine._post_processor
    yield (
        "text",
        lambda: [recognizer._reading(processor.line_hypothesis(path)) for path in paths],
        None,
    )


def ctc_stages(
    recognizer: Recognizer, batches: list[list[np.ndarray]], steps: int
) -> Iterator[tuple[str, Work, Work | None]]:
    """Of the ctc family: the convolutions of the trunk, the columns among themselves, the best classes."""
    engine: Any = recognizer.engine
    module, groups = engine._module, [own for batch in batches for own in grouped(batch)]

    def trunk() -> list[torch.Tensor]:
        found = []
        for lines in groups:
            images = torch.from_numpy(lines).permute(0, 3, 1, 2).float().div_(255).to(engine._dtype)
            found.append(module.trunk(images - 0.5))
        return found

    yield "convolutions", trunk, None
    yield "columns and classes", lambda: [engine.logits(lines) for lines in groups], trunk
    logits = [engine.logits(lines) for lines in groups]

    def text() -> None:
        for given in logits:
            for path in ctc_greedy(given):
                recognizer._reading(LineHypothesis(path.classes, path.confidences, 0.0))

    yield "best classes, text", text, None


def grouped(batch: list[np.ndarray]) -> list[np.ndarray]:
    """Lines of one width each, (B, H, W, channels)."""
    widths = dict.fromkeys(line.shape[1] for line in batch)
    return [np.stack([line for line in batch if line.shape[1] == width]) for width in widths]


def measured(
    recognizer: Recognizer, images: list[str], options: argparse.Namespace, rate: float
) -> list[Stage]:
    """All stages: medians of several rounds after one as warm-up; `rate` in operations/s."""
    found = []
    with torch.inference_mode():
        for name, work, taken_off in stages(recognizer, images, options.steps):
            seconds, operations = cost(work, options.rounds)
            if taken_off is not None:
                less_seconds, less_operations = cost(taken_off, options.rounds)
                seconds, operations = max(seconds - less_seconds, 1e-9), operations - less_operations
            count = len(images)
            found.append(
                Stage(name, 1e3 * seconds / count, operations / 1e9 / count, 1e3 * operations / rate / count)
            )
    return found


def cost(work: Work, rounds: int) -> tuple[float, int]:
    """Seconds, the median, and floating-point operations."""
    operations = counted(work)  # the warm-up as well
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return median(taken), operations


def counted(work: Work) -> int:
    """Multiplications and additions of convolutions, matrix products and attention."""

    def prepared_product(x: Any, weight: Any, *more: Any, out_shape: Any = None, **others: Any) -> int:
        return 2 * math.prod(out_shape) * int(x[-1])

    def attention(query: Any, key: Any, value: Any, *more: Any, out_shape: Any = None, **others: Any) -> int:
        return int(sdpa_flop_count(query, key, value))

    extra: dict[Any, Any] = {
        torch.ops.mkldnn._linear_pointwise: prepared_product,
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention,
    }
    with FlopCounterMode(display=False, custom_mapping=extra) as counter:
        work()
    return int(counter.get_total_flops())


def matrix_rate(dtype: torch.dtype) -> float:
    """Operations/s of the best square matrix product, in this thread with its processors."""
    best = 0.0
    for size in MATRIX_SIZES:
        a, b = torch.randn(2, size, size).to(dtype).unbind()
        a @ b
        end = time.perf_counter() + RATE_S
        while time.perf_counter() < end:
            began = time.perf_counter()
            a @ b
            best = max(best, 2 * size**3 / (time.perf_counter() - began))
    return best


def report(model: str, precision: str, rate: float, found: list[Stage]) -> dict[str, Any]:
    """Shows a table; gives what goes into the file."""
    whole = Stage(
        "all", *(sum(getattr(stage, key) for stage in found) for key in ("ms", "gflop", "limit_ms"))
    )
    console.table(
        f"{model}, {precision}: {rate / 1e9:,.0f} Gflop/s in matrix products",
        ("stage", "ms a line", "share %", "Gflop a line", "limit ms", "of the limit %"),
        [
            (
                stage.name,
                f"{stage.ms:.3f}",
                f"{100 * stage.ms / whole.ms:.1f}",
                f"{stage.gflop:.3f}",
                f"{stage.limit_ms:.3f}",
                f"{100 * stage.of_limit:.1f}",
            )
            for stage in (*found, whole)
        ],
    )
    return {
        "model": model,
        "precision": precision,
        "matrix_gflop_s": rate / 1e9,
        "stages": [asdict(stage) | {"of_limit": stage.of_limit} for stage in (*found, whole)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", default="full_vgg_transformer,vi-small")
    parser.add_argument("--precisions", default=",".join(good_precisions("cpu")))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--lines", type=int, default=64)
    parser.add_argument(
        "--steps", type=int, default=30, help="characters that VietOCR's models write a line, at most"
    )
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    folder, results = options.folder.resolve(), []
    with pinned(options.threads) as held:
        for precision in options.precisions.split(","):
            use_threads(options.threads)
            rate = matrix_rate(TORCH_DTYPES[precision])
            for model in options.models.split(","):
                own = model in embedded_models()
                weights = model if own else folder / "weights" / f"{model}.pth"
                config = None if own else folder / "configs" / f"{model}.yml"
                recognizer = Recognizer.load(weights, "cpu", precision, 1, config=config)
                use_threads(options.threads)
                images = by_width(test_lines(folder, options.lines), recognizer)
                results.append(report(model, precision, rate, measured(recognizer, images, options, rate)))
    settings = {key: getattr(options, key) for key in ("threads", "lines", "steps", "rounds")}
    document = {"machine": asdict(describe_machine()), "pinned": held, **settings, "results": results}
    out = folder / "results" / "stages.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(document, indent=1), encoding="utf-8")
    console.note(f"Written: {out}")


if __name__ == "__main__":
    main()
