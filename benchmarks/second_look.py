"""One look at a line against two, the second of them stretched: CER, its change, CPU time.

    python benchmarks/second_look.py DATA... [--model MODEL] [--stretch S...] [--precision P] [--json FILE]

DATA is whatever `vocr eval` reads. All else is as by default, on one thread; every line is read alone. Both
ways read each line in turn. To choose a stretch, give rendered lines, and leave test sets for the choice. The
interval of the change is that of a bootstrap over lines.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from vocr_cli.core.bench.measure import describe_machine
from vocr_cli.core.data.images.fit import fit_line
from vocr_cli.core.data.images.open_image import open_line
from vocr_cli.core.data.readers.open_source import open_source
from vocr_cli.core.evaluation.metrics import score
from vocr_cli.core.evaluation.paired import cer_difference
from vocr_cli.core.inference import Recognizer
from vocr_cli.core.inference.engines import looks
from vocr_cli.core.text import clean


@dataclass(frozen=True)
class Row:
    """A set read both ways; rates in percent, times in CPU seconds of all its lines."""

    data: str
    model: str
    stretch: float
    lines: int
    one_look: tuple[float, float, float]
    two_looks: tuple[float, float, float]
    change: tuple[float, float, float]
    looked_at_twice: float
    one_look_s: float
    two_looks_s: float


class Counted:
    """Counts the lines that an engine is given a second time."""

    def __init__(self) -> None:
        self.lines = 0
        self._look_again = looks.joint_hypothesis
        looks.joint_hypothesis = self._counting

    def _counting(self, *arguments, **named):  # type: ignore[no-untyped-def]
        self.lines += 1
        return self._look_again(*arguments, **named)


def read(reader: Recognizer, line, into: list[str]) -> float:  # type: ignore[no-untyped-def]
    began = time.process_time()
    (reading,) = reader.read_fitted([line])
    elapsed = time.process_time() - began
    into.append(reading.text)
    return elapsed


def measure(data: Path, model: str, precision: str, stretch: float, counted: Counted) -> Row:
    looks.LOOK_STRETCH = stretch
    once, twice = (
        Recognizer.load(model, "cpu", precision, 1, second_look=wanted) for wanted in (False, True)
    )
    labels: list[str] = []
    texts: tuple[list[str], list[str]] = ([], [])
    seconds, counted.lines = [0.0, 0.0], 0
    for entry in open_source(data):
        line = fit_line(
            open_line(entry.image if isinstance(entry.image, bytes) else Path(entry.image)), once.image
        )
        if not labels:  # the first of all opens the language model
            read(once, line, []), read(twice, line, [])
            counted.lines = 0
        labels.append(clean(entry.label))
        order = (0, 1) if len(labels) % 2 else (1, 0)
        for which in order:
            seconds[which] += read((once, twice)[which], line, texts[which])
    difference = cer_difference(labels, texts[0], texts[1])
    rates = [
        (100 * cer.value, 100 * cer.low, 100 * cer.high)
        for cer in (score(labels, each).cer for each in texts)
    ]
    return Row(
        str(data),
        model,
        stretch,
        len(labels),
        rates[0],
        rates[1],
        (100 * difference.value, 100 * difference.low, 100 * difference.high),
        100 * counted.lines / len(labels),
        seconds[0],
        seconds[1],
    )


def show(row: Row) -> str:
    def interval(values: tuple[float, float, float]) -> str:
        return f"{values[0]:.2f} ({values[1]:.2f} to {values[2]:.2f})"

    return (
        f"| {Path(row.data).name} | {row.lines} | {row.stretch:g} | {interval(row.one_look)} "
        f"| {interval(row.two_looks)} | {interval(row.change)} | {row.looked_at_twice:.0f} % "
        f"| {row.one_look_s:.2f} | {row.two_looks_s:.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--model", default="vi-small")
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--stretch", nargs="+", type=float, default=[looks.LOOK_STRETCH])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    counted = Counted()
    rows = []
    machine = describe_machine()
    print(f"{options.model}, {options.precision}, one thread, {machine.cpu_model}\n")
    print(
        "| set | lines | stretch | one look, % | two looks, % | change, points | twice | CPU s | two, CPU s |"
    )
    print("| --- | ---: | ---: | --- | --- | --- | ---: | ---: | ---: |")
    for data in options.data:
        for stretch in options.stretch:
            rows.append(measure(data, options.model, options.precision, stretch, counted))
            print(show(rows[-1]), flush=True)
    if options.json:
        document = {"machine": asdict(machine), "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
