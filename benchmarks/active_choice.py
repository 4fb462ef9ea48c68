"""Whether 200 lines chosen by `vocr label --pick` teach more than 200 random ones: fine-tuned on, and scored.

    python benchmarks/active_choice.py POOL TEST [--count 200] [--seeds 3] [--minutes 10] [--json FILE]

POOL and TEST are labelled sets: databases, annotation files, or folders with one. The model reads the pool,
as the page does; the labels of the chosen lines are then looked up. Both sides train by the same plan
(`vocr autoconf` once, on the first choice), for the same minutes, and are scored by `vocr eval` on TEST.
Random lines are drawn anew for each seed; the choice is the same each time, and its training has the seed.
With `--degraded N` the pool is N rendered lines instead, all degradations at their strongest, and TEST
others of the same kind.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from vocr_cli import Recognizer  # noqa: E402
from vocr_cli.core.data.readers.labelled import LabelledSet, load_labelled  # noqa: E402
from vocr_cli.core.inference.inputs.sources import LineInput  # noqa: E402
from vocr_cli.core.inference.pipeline import read_all  # noqa: E402
from vocr_cli.core.web.labels.choice import Candidate, choose_lines  # noqa: E402


def vocr(*words: object) -> None:
    done = subprocess.run([sys.executable, "-m", "vocr_cli", *map(str, words)], cwd=ROOT)
    if done.returncode not in (0, 3):
        sys.exit(f"vocr {words[0]} ended with exit code {done.returncode}")


def chosen_lines(pool: LabelledSet, model: str, count: int) -> list[int]:
    recognizer = Recognizer.load(model)
    lines = [LineInput(line.name, line.image) for line in pool.lines]
    candidates = [
        Candidate(index, result.reading.text, result.reading.confidence, result.reading.char_confidences)
        for index, result in enumerate(read_all(recognizer, lines))
        if result.reading is not None
    ]
    return choose_lines(candidates, count)


def write_set(folder: Path, name: str, pool: LabelledSet, indices: list[int]) -> Path:
    """An annotation file of these lines, their images beside it."""
    images = folder / name
    images.mkdir()
    rows = []
    for index in indices:
        line = pool.lines[index]
        _, data = LineInput(line.name, line.image).encoded()
        (images / f"{index}.png").write_bytes(data)  # whatever its kind: readers look at the content
        rows.append(f"{name}/{index}.png\t{line.label}\n")
    file = folder / f"{name}.tsv"
    file.write_text("".join(rows), encoding="utf-8")
    return file


def cer_after(labels: Path, test: Path, options: argparse.Namespace, seed: int, config: Path) -> float:
    """CER on the test set of what training on these labels gives."""
    database = labels.with_suffix(".lmdb")
    vocr("build-lmdb", labels, database, "--valid-share", 0.1)
    if not config.exists():
        vocr("autoconf", "--data", database, "--init", options.model, "--out", config)
    run = labels.with_suffix(".run")
    vocr("train", config, "--data", database, "--valid", f"{database}-valid", "--out", run, "--init",
         options.model, "--max-minutes", options.minutes, "--set", f"train.seed={seed}")  # fmt: skip
    return score(run / "checkpoints" / "best.safetensors", test, labels.with_suffix(".json"))


def score(model: object, test: Path, result: Path) -> float:
    vocr("eval", test, "--model", model, "--json", result)
    return float(json.loads(result.read_text())["cer"]["value"])


def rendered(folder: Path, count: int) -> tuple[Path, Path]:
    """A pool and a test set of degraded lines that `vocr synth` renders."""
    fonts = ROOT / "examples" / "fonts"
    for name, lines, seed in (("pool", count, 1), ("test", 500, 2)):
        vocr("synth", folder / name, "--count", lines, "--seed", seed, "--fonts", fonts, "--strength", 1)
    return folder / "pool", folder / "test"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("pool", type=Path, nargs="?")
    parser.add_argument("test", type=Path, nargs="?")
    parser.add_argument("--degraded", type=int, metavar="N", default=0)
    parser.add_argument("--model", default="vi-small")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if not options.degraded and (options.pool is None or options.test is None):
        parser.error("name POOL and TEST, or --degraded N")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pool_path, test = (
            rendered(folder, options.degraded) if options.degraded else (options.pool, options.test)
        )
        pool, config = load_labelled(pool_path), folder / "config.yaml"
        chosen = chosen_lines(pool, options.model, options.count)
        found: dict[str, Any] = {"pool": str(pool_path), "test": str(test), "count": options.count,
                                 "minutes": options.minutes,
                                 "before": score(options.model, test, folder / "before.json")}  # fmt: skip
        sides: dict[str, list[float]] = {"chosen": [], "random": []}
        for seed in range(options.seeds):  # in turns, so that a machine that slows down slows both
            drawn = random.Random(seed).sample(range(len(pool.lines)), options.count)
            for side, indices in (("chosen", chosen), ("random", drawn)):
                labels = write_set(folder, f"{side}-{seed}", pool, indices)
                sides[side].append(cer_after(labels, test, options, seed, config))
        for side, scores in sides.items():
            found[side] = {"cer": scores, "mean": statistics.mean(scores)}
        pairs = zip(sides["chosen"], sides["random"], strict=True)
        found["better"] = f"{sum(one < other for one, other in pairs)} of {options.seeds} seeds"
    print(json.dumps(found, indent=1))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
