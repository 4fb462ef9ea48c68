"""Peak memory of attention against length, and of training steps with and without recomputation.

  python benchmarks/attention_memory.py attention [--lengths 128,512,2048] [--forms plain,sdpa,chunked]
  python benchmarks/attention_memory.py steps [--models vi-small,vgg_transformer] [--only "bf16 + recompute"]

Both: [--device cpu|cuda] [--threads 2] [--steps 3] [--json FILE]. Every row is measured in a process of its
own. Memory is what the step adds, libraries being loaded: on a GPU the most that torch held, on a CPU the
peak of the resident size over that before the model was built (Linux only). On CPUs freed blocks go back to
the system at once, so that the peak is what was in use; --keep adds the peak under the trainer's own setting,
which keeps them. The lengths of `attention` are columns: of 4 px in a `ctc` model by default, 8 in vi-small.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from vocr_cli.core.bench.measure import describe_machine
from vocr_cli.core.config.tree import Config, parse_config
from vocr_cli.core.data.loader.batch import Batch
from vocr_cli.core.machine.memory import keep_heap
from vocr_cli.core.machine.precision import DeviceName
from vocr_cli.core.models.files import build_module
from vocr_cli.core.models.layers.attention import attend, set_attention
from vocr_cli.core.models.layers.recompute import set_recompute
from vocr_cli.core.models.vietocr.yaml_config import read_vietocr_yaml
from vocr_cli.core.text import Charset
from vocr_cli.core.training.initial_weights import choose_dtype
from vocr_cli.core.training.optim.ema import ExponentialMovingAverage
from vocr_cli.core.training.optim.optimizer import make_optimizer
from vocr_cli.core.training.step.objective import make_objective, to_model_input
from vocr_cli.terminal import console

LINES, HEADS, HEAD_WIDTH = 4, 4, 64  # of the attention that is measured alone
LINES_AND_WIDTH = {"vi-small": (31, 320), "vgg_transformer": (32, 320)}  # of a batch; px
PX_PER_CHARACTER = 13
RECIPES: dict[str, dict[str, Any]] = {
    "fp32, plain attention": {"amp": "off", "attention": "plain"},
    "fp32": {"amp": "off"},
    "fp32 + recompute": {"amp": "off", "recompute": "all"},
    "bf16": {"amp": "bf16"},
    "bf16 + light": {"amp": "bf16", "recompute": "light"},
    "bf16 + recompute": {"amp": "bf16", "recompute": "all"},
}


class Peak:
    """Most memory held since this was made, in bytes."""

    def __init__(self, device: str) -> None:
        self._cuda = device == "cuda"
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()
            return
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        self._before = _resident("VmRSS")

    def bytes(self) -> int:
        """So far."""
        return torch.cuda.max_memory_allocated() if self._cuda else _resident("VmHWM") - self._before


def _resident(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    sys.exit(f"This system does not tell {field}: measure on Linux or on a GPU.")


def measure_attention(job: dict[str, Any]) -> dict[str, Any]:
    """Forward and backward of one attention over T columns, none hidden."""
    device = job["device"]

    def run(length: int) -> float:
        sizes = (LINES, HEADS, length, HEAD_WIDTH)
        q, k, v = (torch.randn(sizes, device=device, requires_grad=True) for _ in range(3))
        began = time.perf_counter()
        attend(q, k, v, form=job["form"], dropout=job["dropout"]).square().sum().backward()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    run(64)  # libraries are loaded, threads started
    peak = Peak(device)
    seconds = [run(job["length"]) for _ in range(job["steps"])]
    return {"bytes": peak.bytes(), "ms": 1000 * min(seconds)}


def measure_step(job: dict[str, Any]) -> dict[str, Any]:
    """Steps on random lines: forward, loss, backward, AdamW, moving average of the weights."""
    if job["device"] == "cpu" and job["keep"]:
        keep_heap()
    config = step_config(job["model"], job["precision"])
    lines, width = LINES_AND_WIDTH[job["model"]]
    lines = job["lines"] or lines
    train_steps(config, job["device"], 2, 64, 1)  # libraries are loaded, threads started
    peak = Peak(job["device"])
    seconds, weights_bytes = train_steps(config, job["device"], lines, width, job["steps"])
    return {"bytes": peak.bytes(), "weights_bytes": weights_bytes, "ms": 1000 * seconds}


def train_steps(config: Config, place: DeviceName, lines: int, width: int, steps: int) -> tuple[float, int]:
    """Builds the model and trains it; returns the seconds of the fastest step and the bytes that all keep.

    Kept by all steps are weights, gradients, the optimizer's state and the moving average.
    """
    device = torch.device(place)
    charset = Charset(config.charset.characters)
    objective = make_objective(config, charset, device, choose_dtype(config.precision.amp, place))
    module = build_module(config.model, config.image, charset).train()
    set_attention(module, config.precision.attention)
    set_recompute(module, config.precision.recompute)
    module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = make_optimizer(module, config.optim)
    average = ExponentialMovingAverage(module, config.optim.ema_decay)
    batch = random_batch(config, lines, width, charset.classes)
    seconds = []
    for _ in range(steps):
        began = time.perf_counter()
        images = to_model_input(batch.images, device, channels_last=True)
        total, parts = objective.loss(module, images, batch)
        optimizer.zero_grad(set_to_none=True)
        (total / parts).backward()
        optimizer.step()
        average.update(module)
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    tensors = [*module.parameters(), *average.state.values()]
    tensors += [x for state in optimizer.state.values() for x in state.values() if torch.is_tensor(x)]
    tensors += [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
    return min(seconds), sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def step_config(model: str, precision: dict[str, Any]) -> Config:
    """The settings of a model by name."""
    tree: dict[str, Any] = {"precision": precision}
    if model != "vi-small":
        said = read_vietocr_yaml(model)
        tree |= {"model": said.model.model_dump(), "image": said.image.to_dict()}
    return parse_config(tree, model)


def random_batch(config: Config, lines: int, width: int, classes: int) -> Batch:
    """Noise, and random labels of about the usual length."""
    torch.manual_seed(0)
    characters = width // PX_PER_CHARACTER
    return Batch(
        torch.randint(0, 256, (lines, config.image.height_px, width, config.image.channels)).to(torch.uint8),
        torch.full((lines,), width),
        torch.randint(1, classes, (lines * characters,)),
        torch.full((lines,), characters),
        ["x" * characters] * lines,
        [""] * lines,
    )


def in_child(job: dict[str, Any], threads: int) -> dict[str, Any]:
    """Measures in a process of its own; gives blocks back when they are freed, unless the job keeps them."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONWARNINGS": "ignore"}
    if not job.get("keep"):
        environment["MALLOC_MMAP_THRESHOLD_"] = "65536"
    command = [sys.executable, __file__, "--child", json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        sys.exit(f"{job}: {done.stderr.strip() or f'ended with {done.returncode}'}")
    return {**job, **json.loads(done.stdout.splitlines()[-1])}


def attention_rows(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Shows and gives a row per length and form."""
    rows = []
    for length in options.lengths.split(","):
        for form in options.forms.split(","):
            job = {
                "part": "attention", "length": int(length), "form": form, "device": options.device,
                "dropout": options.dropout, "steps": options.steps,
            }  # fmt: skip
            rows.append(in_child(job, options.threads))
    console.table(
        f"Attention, forward and backward: {LINES} lines, {HEADS} heads of {HEAD_WIDTH}, "
        f"dropout {options.dropout:g}",
        ("columns", "form", "MB", "ms"),
        [(str(r["length"]), r["form"], f"{r['bytes'] / 1e6:,.0f}", f"{r['ms']:,.0f}") for r in rows],
        text_columns=2,
    )
    return rows


def step_rows(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Shows and gives a row per model and recipe."""
    rows = []
    for model in options.models.split(","):
        recipes = RECIPES | {
            f"bf16 + recompute {stage}": {"amp": "bf16", "recompute": [stage]}
            for stage in (("trunk", "collapse", "mixer") if model == "vi-small" else
                          ("backbone", "encoder", "decoder"))
            if options.stages
        }  # fmt: skip
        for name, precision in recipes.items():
            if options.only and name not in options.only.split("|"):
                continue
            job = {"part": "steps", "model": model, "recipe": name, "device": options.device}
            job |= {"precision": precision, "keep": False, "steps": options.steps, "lines": options.lines}
            row = in_child(job, options.threads)
            row["kept_bytes"] = (
                in_child(job | {"keep": True}, options.threads)["bytes"]
                if options.device == "cpu" and options.keep
                else row["bytes"]
            )
            rows.append(row)
    first = {row["model"]: row for row in reversed(rows)}
    console.table(
        "One training step",
        ("model", "recipe", "MB", "against the first", "weights, MB", "ms", "MB, blocks kept"),
        [
            (
                row["model"], row["recipe"], f"{row['bytes'] / 1e6:,.0f}",
                f"{row['bytes'] / first[row['model']]['bytes'] - 1:+.0%}",
                f"{row['weights_bytes'] / 1e6:,.0f}", f"{row['ms']:,.0f}", f"{row['kept_bytes'] / 1e6:,.0f}",
            )
            for row in rows
        ],
        text_columns=2,
    )  # fmt: skip
    return rows


def main() -> None:
    """Measures a part, shows its table, writes the JSON."""
    if sys.argv[1:2] == ["--child"]:
        job = json.loads(sys.argv[2])
        measured = (measure_attention if job["part"] == "attention" else measure_step)(job)
        sys.stdout.write(json.dumps(measured) + "\n")
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("part", choices=("attention", "steps"))
    parser.add_argument("--lengths", default="128,256,512,1024,2048,4096")
    parser.add_argument("--forms", default="plain,sdpa,chunked")
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--models", default="vi-small,vgg_transformer")
    parser.add_argument("--only", default="", help="recipes, separated by |")
    parser.add_argument("--lines", type=int, default=0, help="of a batch; by default 31 or 32")
    parser.add_argument("--stages", action="store_true", help="also each stage recomputed alone")
    parser.add_argument("--keep", action="store_true", help="also under the trainer's own setting")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--steps", type=int, default=3, help="of each measurement; the fastest is timed")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = (attention_rows if options.part == "attention" else step_rows)(options)
    if options.json is not None:
        machine = asdict(describe_machine())
        document = {"machine": machine, "threads": options.threads, "rows": rows}
        options.json.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
