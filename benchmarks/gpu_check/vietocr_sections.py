"""Sections of gpu_check.sh that hold vocr against VietOCR 0.3.13 on the same device, in one process each."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from PIL import Image
from setting import Row, Setting, judged

from vocr_cli.core.bench.contestants.trainer import TrainingProcess, TrainingTask
from vocr_cli.core.config.tree import Config
from vocr_cli.core.decoding.decode_options import reading_options
from vocr_cli.core.errors import DependencyError
from vocr_cli.core.inference.recognizer import Recognizer
from vocr_cli.core.machine.precision import good_precisions
from vocr_cli.core.models.files import load_model
from vocr_cli.core.models.vietocr.yaml_run import vietocr_run

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "peers" / "vietocr"))
from answers import Answering

_ROUNDS = 3


class Vietocr(Answering):
    """VietOCR in a process of its own; see vietocr_side.py for what it answers."""

    def __init__(self, setting: Setting) -> None:
        folder = setting.folder / "vietocr"
        folder.mkdir(parents=True, exist_ok=True)
        path = os.pathsep.join(filter(None, [str(setting.vietocr or ""), os.environ.get("PYTHONPATH", "")]))
        side = Path(__file__).with_name("vietocr_side.py")
        command = [sys.executable, "-W", "ignore", side, folder, setting.device, setting.database,
                   str(setting.size.characters), str(setting.size.train_lines)]  # fmt: skip
        try:
            super().__init__(command, {**os.environ, "PYTHONPATH": path})
        except SystemExit:
            raise _ended() from None
        self.weights, self.config = Path(self.facts["weights"]), Path(self.facts["config"])

    def ask(self, what: str, **more: Any) -> dict[str, Any]:
        """The answer to a request: seconds, and what else it gives.

        Raises:
            DependencyError: VietOCR's side ended; the sections after this one can still run.
        """
        try:
            return self.request(json.dumps({"ask": what, **more}))
        except SystemExit:
            raise _ended() from None


def _ended() -> DependencyError:
    return DependencyError("VietOCR's side ended, for the reason above", "Give it what it needs.")


def _missing(setting: Setting) -> str:
    """Why VietOCR cannot be asked; empty: it can."""
    from importlib.util import find_spec

    if setting.vietocr is not None and not (setting.vietocr / "vietocr").is_dir():
        return f"{setting.vietocr} holds no package vietocr"
    if setting.vietocr is None and find_spec("vietocr") is None:
        return "VietOCR is not here: pip install --no-deps vietocr==0.3.13, or --vietocr FOLDER"
    return ""


def vietocr_reading(setting: Setting) -> Iterator[Row]:
    """The same weights of vgg_transformer, which write as many characters, read by VietOCR and by vocr."""
    if why := _missing(setting):
        yield Row("reading, VietOCR", "all", "", verdict=f"not measured: {why}")
        return
    lines = [str(path) for path in setting.images[: 8 * setting.size.vietocr_lines]]
    few = lines[: setting.size.vietocr_lines]
    images = [Image.open(path).convert("RGB") for path in lines]
    with Vietocr(setting) as peer:
        model = load_model(peer.weights, peer.config)
        steps = {"max_steps": setting.size.characters, "repetition_steps": 0}
        options = reading_options(model.charset, model.config.special_classes).model_copy(update=steps)
        precision = good_precisions(setting.device)[-1]  # type: ignore[arg-type]
        readers = {
            name: Recognizer.of(model, setting.device, name, decode_options=options)
            for name in dict.fromkeys(("fp32", precision))
        }
        seconds: dict[str, list[float]] = {}
        texts: dict[str, list[str]] = {}
        for _ in range(_ROUNDS + 1):  # the first one warms up
            for what, some in (("predict", few), ("predict_batch", lines)):
                answer = peer.ask(what, images=some)
                texts[what] = answer["texts"]
                seconds.setdefault(what, []).append(answer["seconds"] / len(some))
            for name, reader in readers.items():
                began = time.perf_counter()
                texts[name] = [reading.text for reading in reader.read(images)]
                seconds.setdefault(name, []).append((time.perf_counter() - began) / len(lines))
    rates = {name: 1 / median(values[1:]) for name, values in seconds.items()}
    same = sum(one == other for one, other in zip(texts["fp32"], texts["predict_batch"], strict=True))
    yield Row("reading, VietOCR", "texts equal to predict_batch's, fp32", f"{same} of {len(lines)}", "≥ 90 %",
              "met" if same >= 0.9 * len(lines) else "missed", {"equal": same})  # fmt: skip
    for what, least in (("predict", 50), ("predict_batch", 10)):
        ratio = rates[precision] / rates[what]
        what = f"{precision} over {what}"
        yield judged(setting, "reading, VietOCR", what, ratio, least, "×", lines_per_s=rates)


def vietocr_training(setting: Setting) -> Iterator[Row]:
    """Steps of VietOCR's Trainer and of vocr train, on the same database and config; peak memory of each."""
    if why := _missing(setting):
        yield Row("training, VietOCR", "all", "", verdict=f"not measured: {why}")
        return
    steps = setting.size.train_steps
    with Vietocr(setting) as peer:
        theirs = [peer.ask("train", steps=steps) for _ in range(_ROUNDS)]
        config = vietocr_run(peer.config, True, False).config
    rate = median(round_["lines"] / round_["seconds"] for round_ in theirs)
    peak = max(round_["peak_mb"] for round_ in theirs)
    ours: dict[str, tuple[float, float, float | None]] = {}
    for name, recompute in (("vocr train", ()), ("recomputed", ("all",))):
        task = TrainingTask(
            config=_with(config, setting, recompute), init=None, device=setting.device,
            threads=os.cpu_count() or 1, steps=steps,
        )  # fmt: skip
        with TrainingProcess(name, task) as process:
            process.run_round()
            rounds = [process.run_round() for _ in range(_ROUNDS)]
            memory = process.peak()
        shares = [one.gpu_share for one in rounds if one.gpu_share is not None]
        ours[name] = (
            median(one.lines / one.seconds for one in rounds),
            memory.resident_mb or 0.0 if memory.cuda_mb is None else memory.cuda_mb,
            median(shares) if shares else None,
        )
    for name, (lines_per_s, memory_mb, share) in ours.items():
        data = {"lines_per_s": lines_per_s, "vietocr_lines_per_s": rate, "gpu_share": share,
                "memory_mb": memory_mb, "vietocr_memory_mb": peak}  # fmt: skip
        faster, less = (6, 40) if name == "vocr train" else (1, 75)
        ratio, saved = lines_per_s / rate, 100 * (1 - memory_mb / peak)
        section = "training, VietOCR"
        yield judged(setting, section, f"{name} over the Trainer", ratio, faster, "×", **data)
        yield judged(setting, section, f"{name}: memory saved", saved, less, "%")


def _with(config: Config, setting: Setting, recompute: tuple[str, ...]) -> Config:
    """The config on the rendered lines, in steps of as many lines as the Trainer's."""
    tree = config.model_dump(mode="json", by_alias=True)
    tree["data"] |= {"train": [{"lmdb": str(setting.database)}], "valid": []}
    tree["data"]["workers"] = 3 if setting.device == "cuda" else 0
    tree["batch"] |= {"max_lines": setting.size.train_lines, "pixels": 32 * 512 * setting.size.train_lines}
    tree["precision"] |= {"recompute": list(recompute)}
    tree["charset"] |= {"unknown": "skip-line"}
    tree["augment"] |= {"strength": 0}
    tree["train"] |= {"max_steps": 1_000_000}
    return Config.model_validate(tree)
