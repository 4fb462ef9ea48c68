"""Greedy readings against those that a language model helped with: CER, lines that are searched, time.

    python benchmarks/lm_fusion.py SET... [--lm vi] [--weight W...] [--bonus B...] [--unsure P...]

A SET is a folder with labels.tsv. Logits come from the int8 file of vi-small in ONNX Runtime, one thread.
Several weights, bonuses or thresholds are tried in turn: to choose among them, give rendered lines whose text
the language model has not seen, and a set of benchmarks/lm_codes.py, and leave test sets for the choice.
Times are of the CPU, the least of `--rounds`. The interval of the change is that of a bootstrap over lines.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image
from rapidfuzz.distance import Levenshtein

from vocr_cli.core.bench.measure import describe_machine
from vocr_cli.core.config.tree import ImageConfig
from vocr_cli.core.data.images.fit import fit_line
from vocr_cli.core.decoding.ctc_beam import (
    FUSED_BEAM,
    LM_BONUS,
    LM_FLOOR,
    LM_WEIGHT,
    UNSURE,
    fused_beam,
    is_unsure,
)
from vocr_cli.core.evaluation.metrics import score
from vocr_cli.core.language_model.ngram import NgramModel, open_language_model
from vocr_cli.core.text import Charset, clean

MODEL = Path(__file__).resolve().parent.parent / "vocr_cli" / "assets" / "vi-small.int8.onnx"


@dataclass(frozen=True)
class Greedy:
    """The best class of each column, merged; the highest probability that a column gives each character."""

    classes: list[int]
    confidences: list[float]


@dataclass(frozen=True)
class Line:
    """A line, what the model computed of it, and the CPU time that took."""

    label: str
    log_probs: np.ndarray
    model_ms: float


@dataclass(frozen=True)
class Row:
    """A set read with one setting; rates in percent, times in CPU ms a line."""

    set: str
    lines: int
    weight: float
    bonus: float
    unsure: float
    greedy: tuple[float, float, float]
    fused: tuple[float, float, float]
    change: tuple[float, float, float]
    searched: float
    better: int
    worse: int
    model_ms: float
    greedy_ms: float
    search_ms: float
    search_ms_p95: float
    fused_ms: float


def greedy(log_probs: np.ndarray) -> Greedy:
    best = log_probs.argmax(1)
    starts = np.flatnonzero((best != 0) & np.concatenate([[True], best[1:] != best[:-1]]))
    if not len(starts):
        return Greedy([], [])
    emitted = np.where(best != 0, log_probs.max(1), -np.inf)
    return Greedy(best[starts].tolist(), np.exp(np.maximum.reduceat(emitted, starts)).tolist())


def read_set(folder: Path, session: onnxruntime.InferenceSession, image: ImageConfig) -> list[Line]:
    lines = []
    for row in (folder / "labels.tsv").read_text(encoding="utf-8").splitlines():
        name, _, label = row.partition("\t")
        began = time.process_time()
        pixels = fit_line(Image.open(folder / name), image)[None].transpose(0, 3, 1, 2)
        images = np.ascontiguousarray(pixels, np.float32) / np.float32(255)
        logits = session.run(None, {"images": images})[0][0]  # (T, C)
        elapsed = time.process_time() - began
        logs = logits.astype(np.float64) - logits.max(1, keepdims=True)
        logs -= np.log(np.exp(logs).sum(1, keepdims=True))
        lines.append(Line(label, logs, 1e3 * elapsed))
    return lines


def timed_ms(work: Callable[[], Any], rounds: int) -> tuple[Any, float]:
    least = np.inf
    for _ in range(rounds):
        began = time.process_time()
        result = work()
        least = min(least, time.process_time() - began)
    return result, 1e3 * least


def measure(
    name: str,
    lines: list[Line],
    lm: NgramModel,
    charset: Charset,
    setting: tuple[float, float, float],
    rounds: int,
) -> Row:
    weight, bonus, unsure = setting
    before, after, greedy_ms, search_ms = [], [], [], []
    for line in lines:
        first, elapsed = timed_ms(partial(greedy, line.log_probs), rounds)
        greedy_ms.append(elapsed)
        before.append(charset.decode(first.classes))
        after.append(before[-1])
        if is_unsure(first, unsure):
            search = partial(fused_beam, line.log_probs, lm, charset, FUSED_BEAM, weight, bonus)
            found, elapsed = timed_ms(search, rounds)
            search_ms.append(elapsed)
            after[-1] = charset.decode(found[0].classes)
    labels = [line.label for line in lines]
    edits = np.array([list(map(errors, labels, before)), list(map(errors, labels, after))]).T  # (N, 2)
    characters = np.array([len(clean(label)) for label in labels])
    return Row(
        set=name,
        lines=len(lines),
        weight=weight,
        bonus=bonus,
        unsure=unsure,
        greedy=rate(labels, before),
        fused=rate(labels, after),
        change=change(edits, characters),
        searched=100 * len(search_ms) / len(lines),
        better=int((edits[:, 1] < edits[:, 0]).sum()),
        worse=int((edits[:, 1] > edits[:, 0]).sum()),
        model_ms=float(np.mean([line.model_ms for line in lines])),
        greedy_ms=float(np.mean(greedy_ms)),
        search_ms=float(np.mean(search_ms)) if search_ms else 0.0,
        search_ms_p95=float(np.percentile(search_ms, 95)) if search_ms else 0.0,
        fused_ms=float(np.mean(greedy_ms) + sum(search_ms) / len(lines)),
    )


def errors(label: str, text: str) -> int:
    return Levenshtein.distance(clean(label), clean(text))


def rate(labels: Sequence[str], texts: Sequence[str]) -> tuple[float, float, float]:
    cer = score(labels, texts).cer
    return 100 * cer.value, 100 * cer.low, 100 * cer.high


def change(edits: np.ndarray, characters: np.ndarray) -> tuple[float, float, float]:
    """Returns the change of CER and its 95 % interval, the same lines drawn for both sides."""
    dice = np.random.default_rng(0)
    difference = edits[:, 1] - edits[:, 0]
    drawn = dice.integers(0, len(edits), (2000, len(edits)))
    rates = difference[drawn].sum(1) / characters[drawn].sum(1)
    low, high = np.percentile(rates, [2.5, 97.5])
    return 100 * difference.sum() / characters.sum(), 100 * low, 100 * high


def show(row: Row) -> str:
    def interval(values: tuple[float, float, float]) -> str:
        return f"{values[0]:.2f} ({values[1]:.2f}–{values[2]:.2f})"

    return (
        f"| {row.set} | {row.lines} | {row.weight:g} / {row.bonus:g} / {row.unsure:g} "
        f"| {interval(row.greedy)} | {interval(row.fused)} | {interval(row.change)} "
        f"| {row.better} / {row.worse} | {row.searched:.0f} % "
        f"| {row.model_ms:.2f} | {row.greedy_ms:.2f} | {row.search_ms:.2f} ({row.search_ms_p95:.2f}) |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", nargs="+", type=Path)
    parser.add_argument("--lm", default="vi")
    parser.add_argument("--weight", nargs="+", type=float, default=[LM_WEIGHT])
    parser.add_argument("--bonus", nargs="+", type=float, default=[LM_BONUS])
    parser.add_argument("--unsure", nargs="+", type=float, default=[UNSURE])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(MODEL), options, providers=["CPUExecutionProvider"])
    description = json.loads(session.get_modelmeta().custom_metadata_map["vocr"])
    charset, image = Charset(description["charset"]), ImageConfig.parse(description["image"])
    lm = open_language_model(given.lm)
    print(describe_machine())
    print(f"beam {FUSED_BEAM}, floor {LM_FLOOR}, one thread, CPU times, {given.rounds} rounds\n")
    print("| set | lines | weight / bonus / unsure | greedy CER % | with LM | change | better / worse lines "
          "| searched | model ms | greedy ms | search ms, where searched (p95) |")  # fmt: skip
    print("| --- " * 11 + "|")
    rows = []
    for folder in given.sets:
        lines = read_set(folder, session, image)
        for setting in itertools.product(given.weight, given.bonus, given.unsure):
            rows.append(measure(folder.name, lines, lm, charset, setting, given.rounds))
            print(show(rows[-1]), flush=True)
    if given.json:
        document = {
            "machine": asdict(describe_machine()), "lm": given.lm, "beam": FUSED_BEAM, "floor": LM_FLOOR,
            "threads": 1, "rounds": given.rounds, "rows": [asdict(row) for row in rows],
        }  # fmt: skip
        given.json.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
