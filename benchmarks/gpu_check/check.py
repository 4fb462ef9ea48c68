"""Checks vocr on a GPU, section by section, within some minutes; see gpu_check.sh.

Every section's rows are written as soon as there are any, so that what comes later takes nothing away. A
section that fails, or for which no time is left, is a row that says so. What is left of the time trains the
embedded model's architecture from rendered lines; its checkpoint is left in the folder.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from own_sections import autoconf, memory_recovery, parity, reading, rest_of_the_time, resume
from setting import FULL, TINY, Row, Setting, prepare
from vietocr_sections import vietocr_reading, vietocr_training

from vocr_cli.core.bench.measure import describe_machine
from vocr_cli.core.errors import VocrError
from vocr_cli.core.machine.precision import choose_device
from vocr_cli.terminal import console

SECTIONS = {  # name: what is done, and the most seconds that it may take of the time
    "parity": (parity, 90),
    "resume": (resume, 40),
    "memory": (memory_recovery, 40),
    "reading": (reading, 60),
    "reading, VietOCR": (vietocr_reading, 70),
    "training, VietOCR": (vietocr_training, 90),
    "autoconf": (autoconf, 110),
}
_LEAST_S = 15.0


class OutOfTime(Exception):
    """A section took longer than it may."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raises OutOfTime in the block when the time is over, on systems that can."""

    def end(number: int, frame: FrameType | None) -> None:
        raise OutOfTime

    if not hasattr(signal, "SIGALRM"):
        yield
        return
    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def rows_of(name: str, setting: Setting, seconds: float) -> Iterator[Row]:
    """What a section finds, and why it ended early."""
    work, _ = SECTIONS[name]
    console.note(f"{name}, at most {seconds:.0f} s")
    try:
        with limited(seconds):
            yield from work(setting)
    except OutOfTime:
        yield Row(name, "the rest", "", verdict=f"not measured: {seconds:.0f} s were over")
    except VocrError as problem:
        yield Row(name, "the rest", "", verdict=f"not measured: {problem.problem}")
    except Exception as error:
        traceback.print_exc()
        yield Row(name, "the rest", "", verdict=f"failed: {type(error).__name__}: {error}")


def write(path: Path, setting: Setting, rows: list[Row], began: float) -> None:
    document = {
        "machine": asdict(describe_machine()), "device": setting.device, "size": setting.size.name,
        "seconds": round(time.monotonic() - began, 1), "rows": [asdict(row) for row in rows],
    }  # fmt: skip
    path.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--size", choices=("full", "tiny"), help="by default full on a GPU, tiny on a CPU")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu-check"))
    parser.add_argument("--vietocr", type=Path, help="folder that holds VietOCR's package")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    wanted = parser.parse_args()
    began = time.monotonic()
    try:
        device = choose_device(wanted.device)
    except VocrError as problem:
        console.error(problem)
        return 1
    size = TINY if (wanted.size or ("tiny" if device == "cpu" else "full")) == "tiny" else FULL
    setting = prepare(wanted.out.resolve(), device, size, wanted.vietocr)
    rows: list[Row] = []
    out = setting.folder / "gpu_check.json"
    for name in wanted.sections:
        left = 60 * wanted.minutes - (time.monotonic() - began)
        if left < _LEAST_S:
            rows.append(Row(name, "all", "", verdict="not measured: no time was left"))
            continue
        for row in rows_of(name, setting, min(left, SECTIONS[name][1] * size.patience)):
            rows.append(row)
            write(out, setting, rows, began)
    left = 60 * wanted.minutes - (time.monotonic() - began)
    if size is TINY:
        left = min(left, 2 * _LEAST_S)
    if left > _LEAST_S:
        rows += rest_of_the_time(setting, left - _LEAST_S / 2)
    write(out, setting, rows, began)
    console.table(
        f"vocr on {describe_machine().gpu or device}, {time.monotonic() - began:.0f} s, {size.name} sizes",
        ("section", "what", "measured", "wanted", ""),
        [(row.section, row.what, row.measured, row.wanted, row.verdict) for row in rows],
        text_columns=5,
    )
    console.note(f"Written: {out}")
    return int(any(row.verdict.startswith(("missed", "failed")) for row in rows))


if __name__ == "__main__":
    sys.exit(main())
