"""Holds vocr against VietOCR: texts, beams, speed, cost by length. Runs in the project's environment.

    .venv/bin/python benchmarks/peers/vietocr/compare.py FOLDER texts|beam|speed|lengths
        [--threads 2] [--lines N] [--rounds 3] [--models vgg_transformer,vgg_seq2seq]
        [--ways "VietOCR predict,vocr int8"]

FOLDER is what run.sh made: venv, weights, configs, data/test. Both sides have the same processors and take
turns within one run. Results go to FOLDER/results/PART.json; exit code 1 where texts or scores differ that
must not.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from statistics import median

import numpy as np
from sides import Ours, Peer, Result, by_width, precisions, test_lines
from timings import lengths, speed

from vocr_cli.core.bench.measure import describe_machine, pinned
from vocr_cli.core.evaluation.metrics import score
from vocr_cli.core.inference.reading import Reading
from vocr_cli.terminal import console

SIZES = (1, 7, 32)
BEAM = 4
TIE = 1e-4  # of a sum of logarithms: what rounding alone may cost


def texts(folder: Path, model: str, options: argparse.Namespace) -> Result:
    """The same text, line by line and in batches, from every kind of file; what lower precisions change."""
    weights = folder / "weights" / f"{model}.pth"
    ours = Ours(weights, "fp32", options.threads)
    images = by_width(test_lines(folder, options.lines or 500), ours.recognizer)
    with Peer(folder, model, options.threads) as peer:
        theirs = peer.ask("predict", images)
        in_batches = {size: peer.ask("predict_batch", images, size=size)["texts"] for size in SIZES[1:]}
    readings = {size: ours.read(images, size)[1] for size in SIZES}
    single = readings[1]
    unended = [bool({"step-limit", "repetition"} & set(reading.flags)) for reading in single]
    reference = [reading.text for reading in single]
    must_be_0 = {
        f"differ from predict, batch {size}": sum(
            not same(reading.text, text, stopped)
            for reading, text, stopped in zip(read, theirs["texts"], unended, strict=True)
        )
        for size, read in readings.items()
    }
    must_be_0 |= {f"batch {size} differs from single": differ(readings[size], single) for size in SIZES[1:]}
    for name, file in {
        "without config": weights,
        "checkpoint": folder / "checkpoints" / f"{model}.pth",
        "232 classes": weights.with_name(f"{model}_232.pth"),
    }.items():
        other = Ours(file, "fp32", options.threads, with_config=False).read(images)[1]
        must_be_0[f"{name} differs"] = differ(other, single)
    return {
        "model": model,
        "lines": len(images),
        "characters": sum(map(len, reference)),
        "cer_to_labels": rate(labels(folder, images), reference),
        "unended": sum(unended),
        "must be 0": must_be_0,
        "VietOCR's own batches differ from predict": {
            f"batch {size}": sum(a != b for a, b in zip(read, theirs["texts"], strict=True))
            for size, read in in_batches.items()
        },
        "probability_differs_by_at_most": surest_difference(single, theirs["probabilities"], unended),
        "cer_to_fp32": lower_precisions(weights, images, reference, options.threads),
        "faults": sum(must_be_0.values()),
    }


def lower_precisions(
    weights: Path, images: list[str], reference: list[str], threads: int
) -> dict[str, float]:
    """CER of each precision against the fp32 texts."""
    found = {}
    for precision in precisions(weights):
        if precision != "fp32":
            readings = Ours(weights, precision, threads).read(images)[1]
            found[precision] = rate(reference, [reading.text for reading in readings])
    return found


def surest_difference(single: list[Reading], probabilities: list[float], unended: list[bool]) -> float:
    """VietOCR's probability of a line is the mean of its characters'; ours must have the same mean."""
    return max(
        (
            abs(sum(reading.char_confidences) / len(reading.char_confidences) - probability)
            for reading, probability, stopped in zip(single, probabilities, unended, strict=True)
            if reading.text and not stopped
        ),
        default=0.0,
    )


def same(ours: str, theirs: str, unended: bool) -> bool:
    """Equal; where ours was stopped, VietOCR's goes on the same way."""
    return theirs.startswith(ours) if unended else ours == theirs


def differ(some: list[Reading], others: list[Reading]) -> int:
    return sum(a.text != b.text for a, b in zip(some, others, strict=True))


def rate(references: list[str], readings: list[str]) -> float:
    return score(references, readings, resamples=10).cer.value


def labels(folder: Path, images: list[str]) -> list[str]:
    """What the test lines say."""
    root = folder / "data" / "test"
    rows = (row.split("\t")[:2] for row in (root / "labels.tsv").read_text(encoding="utf-8").splitlines())
    known = {str(root / path): label for path, label in rows}
    return [known[image] for image in images]


def beam(folder: Path, model: str, options: argparse.Namespace) -> Result:
    """Both beams' texts, scored by VietOCR's model.

    VietOCR's beam looks for the largest sum of logarithms, ours for the largest mean a character, or with a
    length penalty of 0 for the largest sum as well: it is asked for both.
    """
    ours = Ours(folder / "weights" / f"{model}.pth", "fp32", options.threads, beam=BEAM)
    images = by_width(test_lines(folder, options.lines or 500), ours.recognizer)
    with Peer(folder, model, options.threads) as peer:
        texts = {
            "VietOCR": peer.ask("beam", images)["texts"],
            "by mean": [reading.text for reading in ours.read(images)[1]],
            "by sum": [reading.text for reading in ours.read(images, length_penalty=0.0)[1]],
        }
        scored = {side: peer.ask("score", images, texts=found) for side, found in texts.items()}
    sums = {side: np.array(found["sums"]) for side, found in scored.items()}
    means = {side: sums[side] / np.array(found["steps"]) for side, found in scored.items()}
    compared = {
        "by mean": means["by mean"] - means["VietOCR"],
        "by sum": sums["by sum"] - sums["VietOCR"],
    }
    worse = {way: int((gained < -TIE).sum()) for way, gained in compared.items()}
    return {
        "model": model,
        "lines": len(images),
        "beam": BEAM,
        "worse": worse,
        "better": {way: int((gained > TIE).sum()) for way, gained in compared.items()},
        "gained_on_average": {way: float(gained.mean()) for way, gained in compared.items()},
        "cer_to_labels": {side: rate(labels(folder, images), found) for side, found in texts.items()},
        "faults": sum(worse.values()),
    }


PARTS: dict[str, Callable[[Path, str, argparse.Namespace], Result]] = {
    "texts": texts,
    "beam": beam,
    "speed": speed,
    "lengths": lengths,
}


def rows(result: Result, prefix: str = "") -> Iterator[tuple[str, str]]:
    """The figures of a result, one a row, nested names joined."""
    for name, value in result.items():
        if isinstance(value, dict) and set(value) == {"median", "low", "high"}:
            yield f"{prefix}{name}", f"{value['median']:.2f} × ({value['low']:.2f}–{value['high']:.2f})"
        elif isinstance(value, dict) and name != "seconds":
            yield from rows(value, f"{prefix}{name}: ")
        elif name == "points":
            for point in value:
                values = point["ms_a_line"]
                yield (
                    f"{point['side']}, {point['characters']} characters, batch {point['batch']}",
                    f"{median(values):.1f} ms a line ({min(values):.1f}–{max(values):.1f})",
                )
        elif name != "seconds":
            yield f"{prefix}{name}", f"{value:.5g}" if isinstance(value, float) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--lines", type=int, default=0, help="0: as many as the part wants")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", default="vgg_transformer,vgg_seq2seq")
    parser.add_argument("--ways", default="", help="of speed, separated by commas; none: all")
    options = parser.parse_args()
    folder = options.folder.resolve()
    results = []
    with pinned(options.threads) as held:
        for model in options.models.split(","):
            result = PARTS[options.part](folder, model, options)
            console.facts(f"{options.part}: {model}", rows(result))
            results.append(result)
    report = {
        "machine": asdict(describe_machine()),
        "threads": options.threads,
        "pinned": held,
        "rounds": options.rounds,
        "results": results,
    }
    out = folder / "results" / f"{options.part}.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(report, ensure_ascii=False, indent=1), encoding="utf-8")
    console.note(f"Written: {out}")
    sys.exit(any(result["faults"] for result in results))


if __name__ == "__main__":
    main()
