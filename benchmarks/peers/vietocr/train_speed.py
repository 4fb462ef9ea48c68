"""Training speed against VietOCR's own Trainer: same config, annotation file and model, rounds in turn.

    train_speed.py FOLDER [--model vgg_transformer] [--size full|small] [--batch 32] [--steps 3] [--rounds 3]
                   [--threads N] [--workers 0] [--json FILE]

Runs in vocr's environment; VietOCR runs in FOLDER/venv (setup.sh) on FOLDER/data/lines (run.sh). VietOCR's
Trainer.train is left as it is, fp32 and all; it only waits between rounds. A round is so many lines after one
step that does not count, from asking for the first batch to the end of the last step: start-up is left out on
both sides. Since lines differ in width, rates are those of lines of the mean width.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from answers import Answering

HERE = Path(__file__).resolve().parent
Made = dict[str, float]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="vgg_transformer", choices=("vgg_transformer", "vgg_seq2seq"))
    parser.add_argument("--size", default="full", choices=("full", "small"))
    parser.add_argument("--batch", type=int, default=32, help="lines of a batch, VietOCR's batch_size")
    parser.add_argument("--steps", type=int, default=3, help="batches of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--workers", type=int, default=0, help="num_workers of the config, for both sides")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


class VietocrSide(Answering):
    """VietOCR's Trainer in its own environment; see `serve`."""

    def __init__(self, wanted: argparse.Namespace, config: Path) -> None:
        command = [wanted.folder / "venv" / "bin" / "python", "-W", "ignore", __file__, wanted.folder]
        for name in ("model", "size", "batch", "steps", "workers"):
            command += [f"--{name}", str(getattr(wanted, name))]
        threads = {"OMP_NUM_THREADS": str(wanted.threads), "BATCH": str(wanted.batch)}
        super().__init__([*command, "--serve", config], os.environ | threads)

    def round(self) -> Made:
        """Steps of one round."""
        return self.request("go")


def serve(wanted: argparse.Namespace) -> None:
    """VietOCR's side: writes the config, then trains, a round for each line of stdin, one answer a round."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # VietOCR prints

    import torch
    import train  # of this folder
    from vietocr.model.trainer import Trainer
    from vietocr.tool.config import Cfg

    def answer(**found: Any) -> None:
        answers.write(json.dumps(found) + "\n")
        answers.flush()

    data = (wanted.folder / "data" / "lines").resolve()
    if not (data / "train.txt").is_file():
        train.annotations(data)
    config = train.config_of(wanted.folder.resolve(), wanted.model, full=wanted.size == "full")
    config["dataset"] |= {
        "name": "speed", "data_root": str(data), "train_annotation": "train.txt", "valid_annotation": None,
    }  # fmt: skip
    config["dataloader"]["num_workers"] = wanted.workers
    config["trainer"] |= {"iters": 100_000, "print_every": 100_000, "valid_every": 100_000, "log": None}
    for key in ("pretrain", "weights"):
        del config[key]  # both sides start from random weights
    Cfg(config).save(wanted.serve)
    os.chdir(wanted.serve.parent)  # VietOCR makes its database in the working folder
    trainer = Trainer(Cfg(config), pretrained=False)
    step, done = trainer.step, {"steps": 0, "lines": 0, "width": 0, "began": 0.0}

    def counted(batch: dict[str, Any]) -> float:
        loss: float = step(batch)
        done["steps"] += 1
        if done["steps"] > 1:  # the first one warms up what a pause cooled
            done["lines"] += len(batch["img"])
            done["width"] += len(batch["img"]) * batch["img"].shape[-1]
        if done["steps"] == wanted.steps + 1:
            seconds = time.perf_counter() - done["began"]
            answer(
                lines=done["lines"],
                width_px=done["width"] / done["lines"],
                seconds=seconds,
                peak_mb=peak_mb(),
            )
            if not sys.stdin.readline():
                os._exit(0)
            done.update(steps=0, lines=0, width=0)
        done["began"] = time.perf_counter() if done["steps"] <= 1 else done["began"]
        return loss

    trainer.step = counted
    answer(torch=torch.__version__, threads=torch.get_num_threads())
    if sys.stdin.readline():
        trainer.train()


def peak_mb() -> float:
    """Largest resident size of this process."""
    rows = Path("/proc/self/status").read_text().splitlines()
    return next(int(row.split()[1]) / 1024 for row in rows if row.startswith("VmHWM"))


def compare(wanted: argparse.Namespace) -> dict[str, Any]:
    """Rounds of both sides in turn, after one of each that does not count."""
    from vocr_cli.core.bench.contestants.trainer import TrainingProcess, TrainingTask
    from vocr_cli.core.bench.measure import describe_machine, pinned
    from vocr_cli.core.models.vietocr.yaml_run import vietocr_run

    theirs: list[Made] = []
    ours: list[Made] = []
    with tempfile.TemporaryDirectory() as folder, pinned(wanted.threads) as held:
        config_file = Path(folder) / "config.yml"
        peer = VietocrSide(wanted, config_file)
        config = vietocr_run(config_file).config
        task = TrainingTask(
            config=config, init=None, device="cpu", threads=wanted.threads, steps=wanted.steps
        )
        with TrainingProcess("vocr train", task) as process:
            for number in range(wanted.rounds + 1):
                print(f"round {number} of {wanted.rounds}", file=sys.stderr)
                theirs.append(peer.round())
                made, peak = process.run_round(), process.peak()
                ours.append(
                    {"lines": made.lines, "width_px": made.width_px, "seconds": made.seconds,
                     "peak_mb": peak.resident_mb or 0.0}
                )  # fmt: skip
        peer.close()
    width = sum(made["lines"] * made["width_px"] for made in theirs) / sum(made["lines"] for made in theirs)
    sides = {"vietocr": _side(theirs, width), "vocr": _side(ours, width)}
    return {
        "model": wanted.model,
        "size": wanted.size,
        "batch": wanted.batch,
        "steps": wanted.steps,
        "rounds": wanted.rounds,
        "threads": wanted.threads,
        "workers": wanted.workers,
        "pinned": held,
        "machine": describe_machine().cpu_model,
        "vietocr_torch": peer.facts["torch"],
        "mean_width_px": width,
        "ratio": sides["vocr"]["lines_per_s"] / sides["vietocr"]["lines_per_s"],
        **sides,
    }


def _side(rounds: list[Made], width_px: float) -> dict[str, Any]:
    """Rates of lines of that width, the first round left out; the peak is that of all."""
    rates = [made["lines"] * made["width_px"] / width_px / made["seconds"] for made in rounds[1:]]
    return {
        "lines_per_s": median(rates),
        "low": min(rates),
        "high": max(rates),
        "peak_mb": max(made["peak_mb"] for made in rounds),
    }


def main() -> None:
    wanted = arguments()
    if wanted.serve:
        serve(wanted)
        return
    report = compare(wanted)
    print(
        f"{report['model']} ({report['size']}), {report['batch']} lines of {report['mean_width_px']:.0f} px, "
        f"{report['threads']} thread(s) of {report['machine']}, median of {report['rounds']} round(s)"
    )
    for side in ("vietocr", "vocr"):
        row = report[side]
        print(
            f"{side:8} {row['lines_per_s']:8.2f} lines/s ({row['low']:.2f}–{row['high']:.2f})"
            f"  peak {row['peak_mb']:,.0f} MB"
        )
    print(f"ratio    {report['ratio']:8.2f} ×")
    if wanted.json:
        wanted.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
