"""Reading on a GPU: want of memory, budgets, padded batches, trials of number formats.

Simulation: errors with the texts of CUDA, injected above a number of lines; torch.cuda patched; the padded
batches of a CUDA engine are computed on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import line_image, write_database
from rapidfuzz.distance import Levenshtein
from torch_errors import AcceleratorError
from typer.testing import CliRunner

from vocr_cli.app import app
from vocr_cli.core.bench.inputs import packaged_lines
from vocr_cli.core.errors import VocrError
from vocr_cli.core.inference.backends import backend_timing
from vocr_cli.core.inference.backends.backend import Backend
from vocr_cli.core.inference.backends.backend_timing import seconds_a_line, time_backends
from vocr_cli.core.inference.engines import base, torch_ctc, vietocr
from vocr_cli.core.inference.engines.base import CPU_BATCH_PIXELS, GPU_BATCH_PIXELS, gpu_batch_pixels
from vocr_cli.core.inference.engines.decoding import Decoding
from vocr_cli.core.inference.engines.torch_ctc import TorchEngine, to_tensor
from vocr_cli.core.inference.inputs.sources import LineInput
from vocr_cli.core.inference.model_source import find_source
from vocr_cli.core.inference.pipeline import read_all
from vocr_cli.core.inference.recognizer import Recognizer
from vocr_cli.core.inference.recognizer_options import RecognizerOptions
from vocr_cli.core.machine.out_of_memory import NotEnoughMemory
from vocr_cli.core.models.files import load_model

runner = CliRunner()
ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    AcceleratorError("CUDA error: out of memory"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
]


def short_above(monkeypatch: pytest.MonkeyPatch, lines: int, error: Exception) -> list[int]:
    """Batches of more lines are out of memory; the sizes of those that were tried are returned."""
    tried: list[int] = []
    logits = TorchEngine._logits

    def limited(self: TorchEngine, batch: np.ndarray, *rest: Any) -> torch.Tensor:
        tried.append(len(batch))
        if len(batch) > lines:
            raise error
        return logits(self, batch, *rest)

    monkeypatch.setattr(TorchEngine, "_logits", limited)
    return tried


@pytest.mark.parametrize("error", ERRORS)
def test_batches_without_memory_are_read_in_halves(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    images = [line_image(seed) for seed in range(11)]
    recognizer = Recognizer.load(tiny_model, "cpu", "fp32", 1)
    expected = [reading.text for reading in recognizer.read(images)]
    tried = short_above(monkeypatch, 3, error)
    assert [reading.text for reading in recognizer.read(images)] == expected and max(tried) == 11
    tried.clear()
    assert [reading.text for reading in recognizer.read(images)] == expected
    assert max(tried) <= 3  # what did not fit is not tried again


def test_a_line_without_memory_is_a_problem_with_a_remedy(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recognizer = Recognizer.load(tiny_model, "cpu", "fp32", 1)
    short_above(monkeypatch, 0, ERRORS[1])
    with pytest.raises(NotEnoughMemory) as problem:
        recognizer.read([line_image(0), line_image(1)])
    assert (
        isinstance(problem.value, VocrError) and "single line" in problem.value.problem and problem.value.fix
    )


def test_infer_and_eval_get_through_with_little_memory(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_database(tmp_path / "data.lmdb", ["ab"] * 9, (60, 90))
    texts = {}
    for name in ("plenty", "little"):
        if name == "little":
            short_above(monkeypatch, 2, ERRORS[0])
        out = tmp_path / f"{name}.tsv"
        options = ["--model", str(tiny_model), "--device", "cpu", "--precision", "fp32"]
        result = runner.invoke(app, ["infer", str(data), *options, "--out", str(out)])
        assert result.exit_code == 0, result.output
        texts[name] = out.read_text(encoding="utf-8")
        scored = runner.invoke(app, ["eval", str(data), *options])
        assert scored.exit_code == 0, scored.output
    assert texts["plenty"] == texts["little"] and texts["plenty"].count("\n") == 9


def test_validation_gets_through_with_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vocr_cli.core.config.tree import parse_config
    from vocr_cli.core.training.loop import train
    from vocr_cli.core.training.record.events import Validated
    from vocr_cli.core.training.run import build_run
    from vocr_cli.core.training.step.objective import CtcObjective

    data = write_database(tmp_path / "data.lmdb", ["ab", "abc", "a", "abcd"] * 3)
    tree = {
        "model": {"channels": [8, 8, 16], "blocks": [0, 0, 0], "hidden": 32, "column_blocks": 1},
        "data": {"train": [{"lmdb": str(data)}], "valid": [str(data)], "workers": 0},
        "batch": {"max_lines": 4}, "augment": {"strength": 0}, "precision": {"amp": "off"},
        "train": {"max_steps": 1}, "validate": {"every_steps": 1},
    }  # fmt: skip
    scores = []
    for name in ("plenty", "little"):
        if name == "little":
            real = CtcObjective.batch_evaluator

            def limited(self: CtcObjective, module: Any, real: Any = real) -> Any:
                evaluate = real(self, module)

                def tried(images: torch.Tensor, batch: Any) -> Any:
                    if len(batch.texts) > 2:
                        raise ERRORS[1]
                    return evaluate(images, batch)

                return tried

            monkeypatch.setattr(CtcObjective, "batch_evaluator", limited)
        run = build_run(parse_config(tree, "test"), tmp_path / name, device="cpu")
        (event,) = [event for event in train(run) if isinstance(event, Validated)]
        scores.append((event.lines, event.cer, pytest.approx(event.loss, rel=1e-5)))
    assert scores[0] == scores[1] and scores[0][0] == 12


@pytest.mark.parametrize(
    ("free", "pixels"),
    [(None, 6_000_000), (40 << 30, 6_000_000), (1 << 30, 3_000_000), (200 << 20, 750_000), (1, 46_875)],
)
def test_a_batch_is_as_large_as_free_memory_allows(
    monkeypatch: pytest.MonkeyPatch, free: int | None, pixels: int
) -> None:
    monkeypatch.setattr(base, "free_bytes_in_use", lambda: free)
    assert gpu_batch_pixels(GPU_BATCH_PIXELS, 110.0) == pixels


def test_budgets_of_engines_follow_the_card(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulation: engines that are told they are on a GPU, their modules left on the CPU."""
    monkeypatch.setattr(base, "free_bytes_in_use", lambda: 300 << 20)
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, *_, **__: self)
    model = load_model(tiny_model)
    fp32, fp16 = TorchEngine(model.module, "cuda", "fp32"), TorchEngine(model.module, "cuda", "fp16")
    assert fp32.batch_pixels < fp16.batch_pixels < GPU_BATCH_PIXELS
    assert TorchEngine(model.module, "cpu", "fp32").batch_pixels == CPU_BATCH_PIXELS
    assert fp32.merges_widths and vietocr.GPU_BATCH_PIXELS * vietocr.PIXEL_BYTES < 4e9
    assert torch_ctc.PIXEL_BYTES > 0


@pytest.fixture(scope="module")
def packaged() -> list[Any]:
    from PIL import Image

    return [Image.open(path) for path in sorted((packaged_lines() / "images").glob("*.png"))]


def padded_recognizer(path: str | Path, precision: str = "fp32", beam: int = 1) -> Recognizer:
    """Reads as on a CUDA GPU: lines of several widths in one padded batch."""
    model = load_model(find_source(path, None).path)
    engine = TorchEngine(model.module, "cpu", precision, merges_widths=True)  # type: ignore[arg-type]
    return Recognizer(
        engine, model.image, model.charset, "padded", beam=beam, n_best=2, batch_pixels=GPU_BATCH_PIXELS
    )


@pytest.mark.parametrize("beam", [1, 4])
def test_lines_padded_into_one_batch_read_as_they_do_alone(packaged: list[Any], beam: int) -> None:
    exact = Recognizer.load("vi-small", "cpu", "fp32", 1, beam=beam, n_best=2, language_model="none")
    padded = padded_recognizer("vi-small", beam=beam)
    widths = {image.width for image in packaged}
    assert len(padded.batches([80, 160, 240])) == 1 and len(widths) > 4
    for alone, together in zip(exact.read(packaged), padded.read(packaged), strict=True):
        assert together.text == alone.text and together.text
        assert together.char_confidences == pytest.approx(alone.char_confidences, abs=1e-3)


def test_padding_changes_no_logit(tiny_model: Path) -> None:
    """Random weights and statistics, so that whatever leaks from beyond a line's end shows."""
    model = load_model(tiny_model)
    exact = TorchEngine(model.module, "cpu", "fp32")
    padded = TorchEngine(model.module, "cpu", "fp32", merges_widths=True)
    rng = np.random.default_rng(0)
    groups = [rng.integers(0, 256, (2, 40, width, 1), np.uint8) for width in (88, 232, 160, 800)]
    seen: list[torch.Tensor] = []
    logits = padded._logits

    def noted(*lines: Any) -> torch.Tensor:
        seen.append(logits(*lines))
        return seen[-1]

    padded._logits = noted  # type: ignore[method-assign]
    read = padded.read_groups(groups, Decoding())
    rows = iter(seen[0])
    for group, hypotheses in zip(groups, read, strict=True):
        for line, found in zip(exact.logits(group), exact.read(group, Decoding()), strict=True):
            torch.testing.assert_close(next(rows)[: len(line)], torch.from_numpy(line), rtol=1e-4, atol=1e-4)
            assert found.classes
        assert [found.classes for found in hypotheses] == [
            found.classes for found in exact.read(group, Decoding())
        ]
    assert len(seen) == 1  # all widths in one batch


def test_real_folders_fill_batches(tiny_model: Path, tmp_path: Path) -> None:
    """Batches of exactly one width held 7 lines of such folders."""
    rng = np.random.default_rng(1)
    recognizer = padded_recognizer(tiny_model)
    sizes: list[int] = []
    start = recognizer.start

    def noted(lines: Any) -> Any:
        sizes.append(len(lines))
        return start(lines)

    recognizer.start = noted  # type: ignore[method-assign]
    lines = []
    for index, width in enumerate(rng.integers(60, 700, 120).tolist()):
        path = tmp_path / f"{index}.png"
        line_image(index, width).save(path)
        lines.append(LineInput(str(path), path))
    texts = [result.reading.text for result in read_all(recognizer, lines) if result.reading]
    alone = Recognizer.load(tiny_model, "cpu", "fp32", 1)
    expected = [reading.text for reading in alone.read_files([line.path for line in lines])]
    # Of thousands of columns of random weights, some have two classes that are equal but for rounding.
    assert sum(Levenshtein.distance(*pair) for pair in zip(texts, expected, strict=True)) <= 3
    assert sum(map(len, texts)) > 3_000 and sum(sizes) == 120 and sum(sizes) / len(sizes) > 50


def test_formats_are_timed_on_full_batches_of_a_gpu(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simulation: a device that says it is a GPU. Of four lines, all formats take equally long there."""
    sizes: list[int] = []
    read_fitted = Recognizer.read_fitted

    def noted(self: Recognizer, lines: Any) -> Any:
        sizes.append(len(lines))
        return read_fitted(self, lines[:2])

    monkeypatch.setattr(Recognizer, "read_fitted", noted)
    options = RecognizerOptions(model=tiny_model, threads=1)

    def load(self: RecognizerOptions, source: Any, device: str, threads: int | None = None) -> Recognizer:
        return Recognizer.load(source, "cpu", "fp32", 1, batch_pixels=GPU_BATCH_PIXELS)

    monkeypatch.setattr(RecognizerOptions, "load", load)
    monkeypatch.setattr(backend_timing, "BUDGET_S", 0.1)
    formats = [Backend("bf16", "torch"), Backend("fp32", "torch")]
    line_s = time_backends(options, options.source(), "cuda", formats)
    assert set(line_s) == set(formats)
    assert min(sizes) == max(sizes) > 300


def test_a_full_batch_is_timed_whatever_the_first_one_took() -> None:
    """The first pass on a GPU loads libraries for seconds: it does not decide how much is timed."""
    now = [0.0]
    taken = {"bf16": [10.0, 0.1, 0.1], "fp32": [5.0, 0.3, 0.2]}
    counts: list[int] = []

    def run(name: str, count: int) -> None:
        counts.append(count)
        now[0] += taken[name].pop(0) if len(taken[name]) > 1 else taken[name][0]

    passes = {
        Backend(name, "torch"): (lambda count, name=name: run(name, count))  # type: ignore[arg-type,misc]
        for name in taken
    }
    line_s = seconds_a_line(passes, lambda: now[0], full_lines=400)
    assert set(counts) == {400} and line_s[Backend("bf16", "torch")] == pytest.approx(0.1 / 400)


def test_threads_that_read_at_once_on_a_gpu_take_turns(packaged: list[Any]) -> None:
    """`vocr serve` reads from several threads; a batch must not meet the mask of another one's widths."""
    padded = padded_recognizer("vi-small")
    assert padded.pool is None  # as on a GPU: whoever calls, computes
    parts = [packaged[start::3] for start in range(3)]
    alone = [[reading.text for reading in padded.read(part)] for part in parts]
    with ThreadPoolExecutor(3) as threads:
        for _ in range(4):
            read = threads.map(padded.read, parts)
            assert [[reading.text for reading in part] for part in read] == alone


def test_characters_can_be_allowed_and_denied_on_a_gpu(
    packaged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simulation: an engine that is told it is on a GPU, its module left on the CPU."""
    model = load_model(find_source("vi-small", None).path)
    expected = Recognizer.load("vi-small", "cpu", "fp32", 1, deny="aàáâ", language_model="none")
    engine = TorchEngine(model.module, "cpu", "fp32", merges_widths=True)
    monkeypatch.setattr(torch_ctc, "to_tensor", lambda lines, _, dtype: to_tensor(lines, "cpu", dtype))
    monkeypatch.setattr(torch.Tensor, "to", _stay_here(torch.Tensor.to))
    engine.device = "cuda"
    on_gpu = Recognizer(engine, model.image, model.charset, "", deny="aàáâ", batch_pixels=GPU_BATCH_PIXELS)
    for together, alone in zip(on_gpu.read(packaged), expected.read(packaged), strict=True):
        assert together.text == alone.text and not set(together.text) & set("aàáâ")


def _stay_here(to: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    return lambda self, *given, **more: self if given == ("cuda",) else to(self, *given, **more)


def test_the_classes_of_a_model_in_bf16_are_weighed_in_full(tiny_model: Path) -> None:
    model = load_model(tiny_model)
    engine = TorchEngine(model.module, "cpu", "bf16")
    (name,) = {key.rpartition(".")[0] for key in model.module.class_rows()}
    given = model.module.get_submodule(name).state_dict()
    for key, weight in engine._module.get_submodule(name).state_dict().items():
        assert torch.equal(weight, given[key.removeprefix("layer.")])
