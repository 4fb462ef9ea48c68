"""`vocr build-lmdb` against VietOCR's own `createDataset`, in turns, on the same rendered lines.

    vocr synth LINES --count 50000
    python benchmarks/bench_build.py LINES/labels.tsv --peer PEER/bin/python [--rounds 3] [--json FILE]

PEER is the environment that benchmarks/peers/vietocr/setup.sh makes. Each build is a process of its own,
timed from the call of the function to its end; the start of vocr's workers counts, imports before the call do
not.
Images are read once beforehand, so that both sides find them in memory, and each side has one round to warm
up. Both write to a new folder beside the lines and wait for the disk. VietOCR decodes to grey, vocr in full
colour, and it compares pixels to find duplicates.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PEER = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
import lmdb
from vietocr.tool.create_dataset import createDataset
out, root, annotations = sys.argv[1:]
start = time.perf_counter()
createDataset(out, root, annotations)
seconds = time.perf_counter() - start
with lmdb.open(out, readonly=True, lock=False) as environment, environment.begin() as transaction:
    images = sum(key.startswith(b"image-") for key in transaction.cursor().iternext(values=False))
    stated = int(transaction.get(b"num-samples"))
print(json.dumps({"seconds": seconds, "lines": images, "stated": stated}))
"""


def ours(annotations: Path, out: Path, workers: int) -> dict[str, Any]:
    """One build by vocr in this process."""
    from vocr_cli.core.data.build.build import BuildSettings, build_databases
    from vocr_cli.core.data.lmdb.store import LineStore
    from vocr_cli.core.data.readers.open_source import open_source

    start = time.perf_counter()
    settings = BuildSettings(workers=workers)
    report = build_databases([open_source(annotations)], out, settings, lambda count: None)
    seconds = time.perf_counter() - start
    with LineStore(out) as store:
        return {
            "seconds": seconds,
            "lines": len(store),
            "stated": store.stated_count,
            "bad": len(report.bad),
        }


def build(side: str, options: argparse.Namespace) -> dict[str, Any]:
    """One build in a process of its own; its database is removed again."""
    out = options.annotations.parent / f".bench-build-{side}"
    shutil.rmtree(out, ignore_errors=True)
    if side == "vocr":
        command = [sys.executable, __file__, str(options.annotations), "--one", str(out)]
        command += ["--workers", str(options.workers)]
    else:
        root, name = str(options.annotations.parent), options.annotations.name
        command = [str(options.peer), "-c", PEER, str(out), root, name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    shutil.rmtree(out, ignore_errors=True)
    if done.returncode:
        raise SystemExit(f"{side} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Both sides in turns; lines/s of each round, medians, and the ratio of the medians."""
    from vocr_cli.core.bench.measure import describe_machine
    from vocr_cli.core.data.readers.labelled import load_labelled

    lines = load_labelled(options.annotations).lines
    size = sum(Path(line.image).stat().st_size for line in lines if isinstance(line.image, str))
    rates: dict[str, list[float]] = {"vietocr": [], "vocr": []}
    found: dict[str, Any] = {}
    for number in range(options.rounds + 1):
        for side in ("vietocr", "vocr") if number % 2 else ("vocr", "vietocr"):
            found[side] = result = build(side, options)
            rate = result["lines"] / result["seconds"]
            print(f"{side:8} {rate:9,.0f} lines/s{'  (warm-up)' if not number else ''}", file=sys.stderr)
            if number:
                rates[side].append(rate)
    medians = {side: statistics.median(values) for side, values in rates.items()}
    return {
        "machine": str(describe_machine()),
        "annotated": len(lines),
        "image_bytes_mean": size / len(lines),
        "workers": options.workers,
        "warm_up_rounds": 1,
        "rounds": options.rounds,
        "lines_per_second": rates,
        "median": medians,
        "ratio": medians["vocr"] / medians["vietocr"],
        "found": found,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("annotations", type=Path)
    parser.add_argument("--peer", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(ours(options.annotations, options.one, options.workers)))
        return
    if options.peer is None:
        parser.error("--peer: name the Python of VietOCR's environment")
    result = measure(options)
    print(json.dumps(result, indent=1))
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
