"""Measures `vocr infer` on many images: memory, speed against the model alone, kills, the cache.

    python benchmarks/infer_scale.py --lines examples/lines --count 100000

Copies of the given line images, each changed in one pixel so that no two are alike, are written to a folder;
`vocr infer` reads it, as a user would. Numbers include nothing but what is named beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

from vocr_cli.core.inference.inputs.sources import find_lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lines", type=Path, required=True, help="folder of line images to multiply")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--work", type=Path, default=Path("runs/infer_scale"))
    parser.add_argument("--model", default="vi-small")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--json", type=Path, help="write the numbers here")
    options = parser.parse_args()
    images = multiplied(options.lines, options.work / f"images-{options.count}", options.count)
    read = ["--model", options.model, "--precision", options.precision]
    for leftover in options.work.glob("*.tsv*"):
        leftover.unlink()
    shutil.rmtree(options.work / "cache", ignore_errors=True)

    whole, killed, cached = (options.work / f"{name}.tsv" for name in ("whole", "killed", "cached"))
    result: dict[str, Any] = {
        "count": options.count,
        "model": options.model,
        "precision": options.precision,
    }
    measure_model = partial(model_only, images, options.model, options.precision, options.count)
    alone = [measure_model()]
    run = watched(images, whole, read)
    alone.append(measure_model())  # again: the machine may have become slower or faster meanwhile
    result["whole"] = run
    result["model_only_lines_per_s"] = sum(alone) / len(alone)
    result["model_only_before_and_after"] = alone
    result["share_of_model_only"] = options.count / run["seconds_reading"] / result["model_only_lines_per_s"]
    if options.kills:
        result["kills"] = interrupted(images, killed, read, run["seconds"], options.kills)
        result["resumed_equals_whole"] = killed.read_bytes() == whole.read_bytes()
    with_cache = [*read, "--cache", str(options.work / "cache")]
    result["cache_first"] = watched(images, cached, with_cache)
    same = cached.read_bytes()
    result["cache_second"] = watched(images, cached, with_cache)
    result["cached_equals_first"] = cached.read_bytes() == same
    result["cache_times_faster"] = result["cache_first"]["seconds"] / result["cache_second"]["seconds"]
    print(json.dumps(result, indent=2))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2), encoding="utf-8")


def multiplied(source: Path, folder: Path, count: int) -> Path:
    """A folder of `count` images, no two alike; made once."""
    if folder.is_dir():
        return folder
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    originals = [line.load()[1] for line in find_lines([source])]
    for number in range(count):
        image = originals[number % len(originals)].copy()
        place = number // len(originals)
        corner = place % image.width, place // image.width
        grey = (place * 7 + 40) % 256
        image.putpixel(corner, grey if image.mode == "L" else (grey,) * 3)
        image.save(unfinished / f"{number:07}.png", compress_level=1)
    return unfinished.rename(folder)


def start(images: Path, out: Path, options: list[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "vocr_cli", "infer", str(images), "--out", str(out), *options]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def watched(images: Path, out: Path, options: list[str]) -> dict[str, float]:
    """One undisturbed run: seconds in all and of reading, and resident memory, MB, over its time."""
    began = time.monotonic()
    run = start(images, out, [*options, "--overwrite"])
    sizes: list[float] = []

    def sample() -> None:
        while run.poll() is None:
            if (megabytes := resident_mb(run.pid)) is not None:
                sizes.append(megabytes)
            time.sleep(0.2)

    watcher = threading.Thread(target=sample)
    watcher.start()
    _, errors = run.communicate()
    watcher.join()
    seconds = time.monotonic() - began
    if run.returncode:
        sys.exit(errors)
    reading = next(line for line in errors.splitlines() if line.startswith("Read "))
    steady = sizes[len(sizes) // 5 :] or [0.0]
    return {
        "seconds": seconds,
        "seconds_reading": float(reading.split(" lines in ")[1].split(" s,")[0].replace(",", "")),
        "resident_mb_after_a_fifth": steady[0],
        "resident_mb_at_the_end": steady[-1],
        "resident_mb_most": max(steady),
    }


def resident_mb(process: int) -> float | None:
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def model_only(images: Path, model: str, precision: str, count: int) -> float:
    """Lines/s of the model on prepared lines, as `vocr bench infer` measures it, on lines of this folder."""
    report = images.parent / "bench.json"
    command = [
        sys.executable, "-m", "vocr_cli", "bench", "infer", "--data", str(images), "--model", model,
        "--precision", precision, "--limit", str(min(count, 2000)), "--threads", str(os.cpu_count()),
        "--json", str(report),
    ]  # fmt: skip
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (row,) = json.loads(report.read_text(encoding="utf-8"))["precisions"]
    return float(row["model"]["median"])


def interrupted(images: Path, out: Path, options: list[str], seconds: float, wanted: int) -> int:
    """SIGKILLs at random moments, resumed each time until the run is done; how many there were."""
    moments = random.Random(1)
    kills = 0
    while True:
        run = start(images, out, [*options, "--resume"])
        try:
            run.communicate(timeout=moments.uniform(0.02, 0.15) * seconds if kills < wanted else None)
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGKILL)
            run.communicate()
            kills += 1
            continue
        if run.returncode:
            sys.exit("a resumed run failed")
        return kills


if __name__ == "__main__":
    main()
