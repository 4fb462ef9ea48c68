"""Sections of gpu_check.sh that need vocr alone."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from setting import ROOT, Row, Setting, judged

from vocr_cli.core.bench.contestants.reader import options_of, reading_model
from vocr_cli.core.bench.gpu import GpuUtilization
from vocr_cli.core.config.tree import Config, parse_config
from vocr_cli.core.inference.engines.torch_ctc import TorchEngine
from vocr_cli.core.inference.inputs.sources import LineInput
from vocr_cli.core.inference.pipeline import read_all
from vocr_cli.core.inference.recognizer import Recognizer
from vocr_cli.core.machine.precision import good_precisions
from vocr_cli.core.training.loop import train
from vocr_cli.core.training.record.events import OutOfMemory, StepDone, Stopped
from vocr_cli.core.training.run import Run, build_run

EQUAL = {"fp32": 1.0, "fp16": 0.99, "bf16": 0.98}
"""Share of the lines that must read as on the CPU in fp32; of random weights less, whose classes tie."""
_APART = 5e-2
"""Of the largest weight of a tensor, what three steps of Muon may make of sums in another order."""
_RANDOM = 0.9


def parity(setting: Setting) -> Iterator[Row]:
    """Every model in every number format against the CPU in fp32, line by line."""
    images = [Image.open(path) for path in setting.images[: setting.size.parity_lines]]
    for name in setting.size.models:
        model, trained = reading_model(name)
        options = options_of(model)
        if not trained:
            steps = {"max_steps": setting.size.characters, "repetition_steps": 0}
            options = options.model_copy(update=steps)
        expected = _texts(Recognizer.of(model, "cpu", "fp32", decode_options=options), images)
        for precision in good_precisions(setting.device):  # type: ignore[arg-type]
            reader = Recognizer.of(model, setting.device, precision, decode_options=options)
            found = _texts(reader, images)
            equal = sum(one == other for one, other in zip(found, expected, strict=True))
            least = EQUAL[precision] * (1.0 if trained else _RANDOM)
            yield Row(
                "parity", f"{name}, {precision}", f"{equal} of {len(images)} lines equal", f"≥ {least:.0%}",
                "met" if equal >= least * len(images) else "missed",
                {"equal": equal, "lines": len(images), "trained": trained},
            )  # fmt: skip


def _texts(reader: Recognizer, images: list[Image.Image]) -> list[str]:
    return [reading.text for reading in reader.read(images)]


def run_config(setting: Setting, **sections: Any) -> Config:
    """A run on the rendered lines."""
    tree: dict[str, Any] = {
        "data": {"train": [{"lmdb": str(setting.database)}], "workers": 0},
        "optim": {"name": "muon", "lr": 1e-3, "ema_decay": 0.9},
        "schedule": {"warmup_steps": 1},
        "batch": {"pixels": 400_000 if setting.device == "cuda" else 40_000},
        "charset": {"unknown": "skip-line"},
        "augment": {"strength": 0},
        "train": {"max_steps": 6, "log_every_steps": 1},
    }
    for name, values in sections.items():
        tree[name] = {**tree.get(name, {}), **values}
    return parse_config(tree, "gpu_check")


def resume(setting: Setting) -> Iterator[Row]:
    """A Muon run that is resumed, and one whose weights' layout changes, against one that goes on.

    All go on from the same third step: a GPU adds gradients up in any order, and the first steps of Adam turn
    the least of differences into whole steps.
    """
    folder = setting.folder / "resume"
    going_on = _run(setting, folder / "start")
    _train_until(going_on, 3)
    ways = {"as it was": {}, "with another channels_last": {"channels_last": False}}
    copies = {name: shutil.copytree(folder / "start", folder / name.replace(" ", "-")) for name in ways}
    _train_until(going_on, 6)
    for name, precision in ways.items():
        resumed = _run(setting, copies[name], precision)
        resumed.checkpoints.restore(resumed)
        losses = _train_until(resumed, 6)
        apart = _apart(going_on, resumed)
        ended = len(losses) == 3 and all(map(math.isfinite, losses))
        yield Row(
            "resume", f"Muon, {name}", f"weights {apart:.1e} apart", f"< {_APART:g}",
            "met" if apart < _APART and ended else "missed", {"apart": apart, "steps": len(losses)},
        )  # fmt: skip


def _run(setting: Setting, folder: Path, precision: dict[str, Any] | None = None) -> Run:
    config = run_config(setting, precision={"amp": "off", **(precision or {})})
    return build_run(config, folder, device=setting.device)


def _train_until(run: Run, step: int) -> list[float]:
    """Trains on until so many steps are done, and saves; the losses of these steps."""
    events = list(train(run, lambda: run.state.step >= step))
    return [event.loss for event in events if isinstance(event, StepDone)]


def _apart(one: Run, other: Run) -> float:
    """The largest difference of two runs' weights, over the largest weight of each tensor."""
    pairs = zip(one.module.parameters(), other.module.parameters(), strict=True)
    with torch.no_grad():
        return max(float((a - b).abs().max() / a.abs().max().clamp(min=1e-3)) for a, b in pairs)


def memory_recovery(setting: Setting) -> Iterator[Row]:
    """Reading and training with less memory than they ask for."""
    images = [Image.open(path) for path in setting.images[: setting.size.parity_lines]]
    reader = Recognizer.of(reading_model("vi-small")[0], setting.device, "fp32")
    expected = _texts(reader, images)
    with _short_of_memory(setting, reader):
        found = _texts(reader, images)
    equal = sum(one == other for one, other in zip(found, expected, strict=True))
    yield Row("memory", "reading without enough", f"{equal} of {len(images)} lines equal", "all",
              "met" if equal == len(images) else "missed", {"equal": equal})  # fmt: skip
    config = run_config(setting, batch={"pixels": 30_000_000} if setting.device == "cuda" else {})
    run = build_run(config, setting.folder / "short", device=setting.device)
    with _short_of_memory(setting, run):
        events = list(train(run))
    splits = sum(isinstance(event, OutOfMemory) for event in events)
    ended = isinstance(events[-1], Stopped) and run.state.step == 6
    measured, verdict = f"{splits} splits, {run.state.step} steps", "met" if splits and ended else "missed"
    data = {"splits": splits, "steps": run.state.step}
    yield Row("memory", "training without enough", measured, "≥ 1, 6", verdict, data)


@contextmanager
def _short_of_memory(setting: Setting, user: Recognizer | Run) -> Iterator[None]:
    """Takes memory away: a card's by torch's limit; on a CPU by errors that are raised for it."""
    if setting.device == "cuda":
        total = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
        torch.cuda.empty_cache()
        some = torch.cuda.memory_reserved() + (400 << 20)
        torch.cuda.set_per_process_memory_fraction(some / total)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        return
    owner: Any = TorchEngine if isinstance(user, Recognizer) else user.objective
    name = "_logits" if isinstance(user, Recognizer) else "loss"
    real: Callable[..., Any] = getattr(owner, name)

    def limited(*args: Any) -> Any:
        lines = len(args[1]) if name == "_logits" else len(args[2].texts)
        if lines > 1:
            raise torch.OutOfMemoryError("CUDA out of memory (rehearsed).")
        return real(*args)

    setattr(owner, name, limited)
    try:
        yield
    finally:
        setattr(owner, name, real)


def reading(setting: Setting) -> Iterator[Row]:
    """vi-small from files, in each number format."""
    model, _ = reading_model("vi-small")
    count = setting.size.read_lines
    for precision in good_precisions(setting.device):  # type: ignore[arg-type]
        reader = Recognizer.of(model, setting.device, precision)
        lines = [LineInput(str(path), path) for path in islice(cycle(setting.images), count)]
        for _ in read_all(reader, lines[: count // 4]):
            pass  # chooses kernels
        with GpuUtilization() as utilization:
            began = time.perf_counter()
            read = sum(result.reading is not None for result in read_all(reader, lines))
            seconds = time.perf_counter() - began
        what = f"vi-small, {precision}, {read:,} files"
        yield judged(setting, "reading", what, read / seconds, 20_000, "lines/s")
        yield _busy(setting, f"vi-small, {precision}: GPU at work", utilization)


def _busy(setting: Setting, what: str, utilization: GpuUtilization) -> Row:
    if utilization.fraction is None:
        why = "no GPU" if setting.device == "cpu" else "the driver does not tell"
        return Row("reading", what, "", "≥ 90 %", f"not measured: {why}")
    return judged(setting, "reading", what, 100 * utilization.fraction, 90, "%")


def autoconf(setting: Setting) -> Iterator[Row]:
    """The config that `vocr autoconf` writes against a small grid of its neighbours."""
    out = setting.folder / "autoconf.json"
    out.unlink(missing_ok=True)
    script = ROOT / "benchmarks" / "autoconf_grid.py"
    command = [
        sys.executable,
        str(script),
        str(setting.database),
        "--device",
        setting.device,
        "--json",
        str(out),
    ]
    subprocess.run([*command, *setting.size.grid], check=False)
    if not out.exists():
        yield Row("autoconf", "its config trains", "", "yes", "failed: see above")
        return
    found = json.loads(out.read_text(encoding="utf-8"))
    share = 100 * found["share_of_best"]
    yield judged(setting, "autoconf", "lines/s of the best of the grid", share, 95, "%", rows=found["rows"])


def rest_of_the_time(setting: Setting, seconds: float) -> Iterator[Row]:
    """Trains a model of vi-small's architecture on rendered lines."""
    synth = {"synth": {"fonts": [str(ROOT / "examples" / "fonts")], "strength": 0.6}}
    workers = 0 if setting.device == "cpu" else 12
    config = run_config(
        setting,
        data={"train": [synth], "workers": workers},
        batch={"pixels": 4_000_000 if setting.device == "cuda" else 40_000},
        train={"max_steps": 1_000_000, "max_minutes": seconds / 60, "log_every_steps": 20},
    )
    run = build_run(config, setting.folder / "trained", device=setting.device)
    done = [event for event in train(run) if isinstance(event, StepDone)]
    rate = done[-1].lines_per_s if done else 0.0
    yield Row(
        "the rest", f"training for {seconds:.0f} s",
        f"{run.state.lines:,} lines, {rate:,.0f} lines/s, loss {done[-1].loss:.2f}" if done else "no step",
        data={"lines": run.state.lines, "lines_per_s": rate, "model": str(run.checkpoints.best_path)},
    )  # fmt: skip
