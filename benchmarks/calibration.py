"""Fits a model's confidences to rendered lines, and measures what they are worth on other sets.

    python benchmarks/calibration.py --fit SET... --measure SET... [--write FILE] [--summaries] [--json FILE]

A SET is a folder with labels.tsv, an annotation file or an LMDB. `--write` puts the calibration into a file:
`vi-small.calibration.json` was made so. The error is `before` for the geometric mean of the characters'
probabilities, which a model without a calibration gives, and `after` for the calibrated confidence; `equal
mass` is the same with ten bins of as many lines each. `--summaries` compares, on the lines of --fit, what a
line's confidence could be made of: the area under the ROC curve of right against wrong lines, and with a map
fitted to each half the log loss of the other.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from vocr_cli.core.bench.measure import describe_machine
from vocr_cli.core.data.readers.labelled import load_labelled
from vocr_cli.core.evaluation.calibration import fit_confidence_map, measure_reliability
from vocr_cli.core.export.confidences import Evidence, fit_calibration, raw_recognizers, read_evidence
from vocr_cli.core.inference import Recognizer
from vocr_cli.core.inference.int8_companion import digest_of
from vocr_cli.core.inference.model_source import find_source
from vocr_cli.core.models.calibration import Calibration, CalibrationFile, write_calibration
from vocr_cli.core.text import clean

BINS = 10


@dataclass(frozen=True)
class Row:
    """A set, read with or without a language model; errors with their 95 % interval."""

    set: str
    language_model: bool
    lines: int
    right: float
    confidence: float
    before: tuple[float, float, float]
    after: tuple[float, float, float]
    chance: float
    before_equal_mass: float
    after_equal_mass: float
    above: int
    above_right: float | None


def equal_mass_error(confidences: Sequence[float], right: Sequence[bool]) -> float:
    stated, true = np.asarray(confidences), np.asarray(right, np.float64)
    groups = np.array_split(np.argsort(stated, kind="stable"), min(BINS, len(stated)))
    gaps = [len(group) * abs(stated[group].mean() - true[group].mean()) for group in groups]
    return float(sum(gaps) / len(stated))


def measure(name: str, evidence: list[Evidence], calibration: Calibration, with_lm: bool) -> Row:
    if not with_lm:
        evidence = [Evidence(line.direct, None) for line in evidence]
    right = [line.counting.right for line in evidence]
    means = [line.counting.mean for line in evidence]
    stated = [line.confidence(calibration) for line in evidence]
    before, after = measure_reliability(means, right), measure_reliability(stated, right)
    above = [is_right for confidence, is_right in zip(stated, right, strict=True) if confidence >= 0.9]
    return Row(
        set=name,
        language_model=with_lm,
        lines=len(evidence),
        right=float(np.mean(right)),
        confidence=float(np.mean(stated)),
        before=(before.error, before.low, before.high),
        after=(after.error, after.low, after.high),
        chance=after.chance,
        before_equal_mass=equal_mass_error(means, right),
        after_equal_mass=equal_mass_error(stated, right),
        above=len(above),
        above_right=float(np.mean(above)) if above else None,
    )


def show(row: Row) -> str:
    def interval(values: tuple[float, float, float]) -> str:
        return f"{values[0]:.3f} ({values[1]:.3f}–{values[2]:.3f})"

    above = "–" if row.above_right is None else f"{row.above_right:.1%}"
    return (
        f"| {row.set} | {'yes' if row.language_model else 'no'} | {row.lines} | {row.right:.1%} "
        f"| {row.confidence:.1%} | {interval(row.before)} | {interval(row.after)} | {row.chance:.3f} "
        f"| {row.before_equal_mass:.3f} / {row.after_equal_mass:.3f} | {above} of {row.above} |"
    )


def area_under_curve(values: Sequence[float], right: Sequence[bool]) -> float:
    """Returns the probability that a right line has the larger value than a wrong one."""
    order = np.argsort(values, kind="stable")
    ranks = np.empty(len(order))
    ranks[order] = np.arange(1, len(order) + 1)
    positive = np.asarray(right)
    number = int(positive.sum())
    return float((ranks[positive].sum() - number * (number + 1) / 2) / (number * (len(order) - number)))


def log_loss(values: Sequence[float], right: Sequence[bool]) -> float:
    losses = []
    for half in range(2):
        other = 1 - half
        mapped = fit_confidence_map(values[other::2], right[other::2])
        for value, is_right in zip(values[half::2], right[half::2], strict=True):
            losses.append(-math.log(mapped(value) if is_right else 1 - mapped(value)))
    return float(np.mean(losses))


def compare_summaries(recognizer: Recognizer, sets: Sequence[Path], name: str) -> None:
    """Prints how well one number of a line's characters tells right lines from wrong ones."""
    right: list[bool] = []
    of_summary: dict[str, list[float]] = {"stated": [], "product": [], "geometric mean": [], "least": []}
    for folder in sets:
        lines = load_labelled(folder).lines
        paths = [Path(line.image) for line in lines if isinstance(line.image, str)]
        for line, reading in zip(lines, recognizer.read_files(paths), strict=True):
            if not reading.text:
                continue
            right.append(clean(reading.text) == clean(line.label))
            product = math.prod(reading.char_confidences)
            of_summary["stated"].append(reading.confidence)
            of_summary["product"].append(product)
            of_summary["geometric mean"].append(product ** (1 / len(reading.text)))
            of_summary["least"].append(reading.min_confidence)
    print(f"\n{name}: {len(right)} lines, {np.mean(right):.1%} right")
    for summary, values in of_summary.items():
        area, loss = area_under_curve(values, right), log_loss(values, right)
        print(f"  {summary:15s} AUC {area:.4f} log loss {loss:.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fit", nargs="+", type=Path, required=True)
    parser.add_argument("--measure", nargs="+", type=Path, default=[])
    parser.add_argument("--model", default="vi-small")
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--lm", default="auto")
    parser.add_argument("--write", type=Path)
    parser.add_argument("--summaries", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()

    source = find_source(given.model)
    recognizers = raw_recognizers(source, "cpu", given.precision, "auto", given.lm)
    print(describe_machine(), recognizers[0].engine.precision, recognizers[0].engine.runtime)
    fitted_to = [line for folder in given.fit for line in read_evidence(recognizers, load_labelled(folder))]
    calibration = fit_calibration(fitted_to)
    print(f"{len(fitted_to)} lines of {', '.join(folder.name for folder in given.fit)}: {calibration}")
    if given.write:
        write_calibration(given.write, CalibrationFile(calibration, digest_of(source.path)))
    if given.summaries:
        for name, recognizer in zip(("alone", "with the language model"), recognizers, strict=True):
            if recognizer is not None:
                compare_summaries(recognizer, given.fit, name)
    print("\n| set | LM | lines | right | mean confidence | error before | error after | by chance "
          "| equal mass, before / after | right of those from 0.9 on |")  # fmt: skip
    print("| --- " * 10 + "|")
    rows = []
    for folder in given.measure:
        evidence = read_evidence(recognizers, load_labelled(folder))
        for with_lm in (False, True) if recognizers[1] is not None else (False,):
            rows.append(measure(folder.name, evidence, calibration, with_lm))
            print(show(rows[-1]), flush=True)
    if given.json:
        document = {
            "machine": asdict(describe_machine()), "model": given.model, "precision": given.precision,
            "runtime": recognizers[0].engine.runtime, "fitted_to": [folder.name for folder in given.fit],
            "fitted_lines": len(fitted_to), "calibration": asdict(calibration),
            "rows": [asdict(row) for row in rows],
        }  # fmt: skip
        given.json.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
