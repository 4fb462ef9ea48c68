"""Is the config that `vocr autoconf` writes as fast as the best of a grid, and does it keep to its limit?

    python benchmarks/autoconf_grid.py train.lmdb [--memory-limit 2GB] [--seconds 20] [--rounds 3] [--json F]

Every config trains a real `Trainer` for some seconds in a process of its own, in turns, so that no one is
favoured by a quiet minute, on --lines lines of one width drawn from the data: in some seconds different
budgets would else meet different widths. Peak memory is the process's growth on a CPU, or what tensors take
of a GPU.
Exit code 1: below 95 % of the best that keeps to the limit, or above the limit.
"""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from vocr_cli.core.bench.inputs import one_width
from vocr_cli.core.bench.measure import describe_machine
from vocr_cli.core.config.tree import dump_config, load_config, parse_config, with_overrides
from vocr_cli.core.machine.sizes import parse_size
from vocr_cli.terminal import console

WANTED_SHARE = 0.95
MEASURE = """
import json, sys
from pathlib import Path
from vocr_cli.core.config.tree import load_config
from vocr_cli.core.autoconf.time_loader import measure_run
run = measure_run(load_config(Path(sys.argv[1])), sys.argv[2], float(sys.argv[3]))
json.dump({"lines_per_second": run.lines_per_second, "wait_share": run.wait_share,
           "peak_bytes": run.peak_bytes}, sys.stdout)
"""


def measured(config: Path, device: str, seconds: float) -> dict[str, Any]:
    command = [sys.executable, "-c", MEASURE, str(config), device, str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"failure": done.stderr.strip().splitlines()[-1]}
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def grid(written: Path, arguments: argparse.Namespace, folder: Path) -> dict[str, Path]:
    """The written config, and its neighbours by name."""
    chosen = load_config(written)
    configs = {"autoconf": written}
    parts = (arguments.pixels, arguments.amp, arguments.recompute, arguments.workers)
    for pixels, amp, recompute, workers in itertools.product(*parts):
        name = f"{pixels:,} px, {amp}, recompute {recompute}, {workers} workers"
        lines = max(chosen.batch.max_lines, pixels // (100 * chosen.image.height_px))
        settings = (
            f"batch.pixels={pixels}", f"batch.max_lines={lines}", f"precision.amp={amp}",
            f"precision.recompute={recompute}", f"data.workers={workers}",
        )  # fmt: skip
        configs[name] = folder / f"{len(configs)}.yaml"
        configs[name].write_text(dump_config(with_overrides(chosen, settings, name)), encoding="utf-8")
    return configs


def summed_up(name: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    good = [run for run in runs if "failure" not in run]
    if len(good) < len(runs) or not good:
        return {"config": name, "failure": next(run["failure"] for run in runs if "failure" in run)}
    return {
        "config": name,
        "lines_per_second": statistics.median(run["lines_per_second"] for run in good),
        "wait_share": statistics.median(run["wait_share"] for run in good),
        "peak_bytes": max(run["peak_bytes"] for run in good),
        "rounds": [run["lines_per_second"] for run in good],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="ctc")
    parser.add_argument("--lines", type=int, default=20_000)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--memory-limit")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pixels", type=int, nargs="+", default=[100_000, 200_000, 400_000, 800_000])
    parser.add_argument("--amp", nargs="+", default=["bf16", "off"])
    parser.add_argument("--recompute", nargs="+", default=["off", "all"])
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    limit = parse_size(arguments.memory_limit) if arguments.memory_limit else None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        written = folder / "autoconf.yaml"
        data, width = one_width(arguments.data, parse_config({}, "defaults"), arguments.lines, folder)
        console.note(f"{arguments.lines:,} lines, {width} px wide at model height")
        vocr = [sys.executable, "-m", "vocr_cli", "autoconf", "--data", str(data)]
        vocr += ["--model", arguments.model, "--device", arguments.device, "--out", str(written)]
        subprocess.run(vocr + (["--memory-limit", arguments.memory_limit] if limit else []), check=True)
        configs = grid(written, arguments, folder)
        runs: dict[str, list[dict[str, Any]]] = {key: [] for key in configs}
        for turn in range(arguments.rounds):
            for key, config in configs.items():
                runs[key].append(measured(config, arguments.device, arguments.seconds))
                console.note(f"round {turn + 1}, {key}: {runs[key][-1]}")
        yaml = written.read_text(encoding="utf-8")
    rows = [summed_up(key, found) for key, found in runs.items()]
    return report(rows, limit, yaml, arguments)


def report(rows: list[dict[str, Any]], limit: int | None, yaml: str, arguments: argparse.Namespace) -> int:
    own = rows[0]
    if "failure" in own:
        console.warning(f"autoconf's config does not train: {own['failure']}")
        return 1
    allowed = [row for row in rows if "failure" not in row and (not limit or row["peak_bytes"] <= limit)]
    best = max((row["lines_per_second"] for row in allowed), default=own["lines_per_second"])
    share, fits = own["lines_per_second"] / best, limit is None or own["peak_bytes"] <= limit
    shown = [
        (row["config"], row["failure"], "", "", "")
        if "failure" in row
        else (
            row["config"], f"{row['lines_per_second']:,.1f}", f"{row['lines_per_second'] / best:.0%}",
            f"{row['wait_share']:.0%}", f"{row['peak_bytes'] / 1e9:.2f}",
        )
        for row in sorted(rows, key=lambda row: -row.get("lines_per_second", 0.0))
    ]  # fmt: skip
    title = f"{arguments.model}, {arguments.rounds} rounds of {arguments.seconds:g} s, medians"
    console.table(title, ("config", "lines/s", "of the best", "data wait", "peak GB"), shown)
    under = "" if limit is None else f", {own['peak_bytes'] / 1e9:.2f} GB of {limit / 1e9:.2f} GB"
    console.result(f"autoconf: {share:.1%} of the best{under}")
    if arguments.json:
        document = {
            "machine": vars(describe_machine()), "seconds": arguments.seconds, "limit_bytes": limit,
            "share_of_best": share, "within_limit": fits, "rows": rows, "config": yaml,
        }  # fmt: skip
        arguments.json.write_text(json.dumps(document, indent=2, ensure_ascii=False), encoding="utf-8")
    return 0 if share >= WANTED_SHARE and fits else 1


if __name__ == "__main__":
    sys.exit(main())
