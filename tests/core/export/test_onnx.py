"""ONNX files: written, read back, compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vocr_cli.core.errors import DependencyError, ModelError
from vocr_cli.core.export import onnx as onnx_files
from vocr_cli.core.export.compare import FP32_TOLERANCE, check_difference
from vocr_cli.core.inference import Recognizer
from vocr_cli.core.inference.engines import onnx as onnx_engines
from vocr_cli.core.inference.engines import openvino_model
from vocr_cli.core.machine.hardware import read_hardware
from vocr_cli.core.models.files import load_model

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def noise(width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (40, width, 1), dtype=np.uint8)


@pytest.fixture(params=["onnxruntime", "openvino"])
def runtime(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    pytest.importorskip(request.param)
    monkeypatch.setattr(onnx_engines, "RUNTIMES", (request.param,))
    return request.param


@pytest.fixture(scope="module")
def written(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny.onnx and tiny.int8.onnx."""
    folder = tmp_path_factory.mktemp("onnx")
    model = load_model(tiny_model)
    onnx_files.write_onnx(model, folder / "tiny.onnx")
    lines = [noise(width, width) for width in range(64, 320, 32)]
    onnx_files.write_int8(model, folder / "tiny.int8.onnx", lines)
    return folder


def test_fp32_file_agrees_at_every_width_and_batch(tiny_model: Path, written: Path, runtime: str) -> None:
    source = Recognizer.load(tiny_model, "cpu", "fp32")
    copy = Recognizer.load(written / "tiny.onnx", threads=2)
    assert runtime in copy.engine.runtime
    # OpenVINO gets lines padded to a multiple of 64 px, where that is within the model's limit.
    for count, width in ((1, 64), (3, 128), (5, 384), (1, 800)):
        lines = np.stack([noise(width, seed) for seed in range(count)])
        difference = np.abs(source.engine.logits(lines) - copy.engine.logits(lines)).max()
        assert difference < FP32_TOLERANCE


def test_lines_of_any_width_have_as_many_columns_as_in_torch(
    tiny_model: Path, written: Path, runtime: str
) -> None:
    source, copy = Recognizer.load(tiny_model, "cpu", "fp32"), Recognizer.load(written / "tiny.onnx")
    for width in (33, 62, 65, 101, 127, 799):
        lines = noise(width)[None]
        assert copy.engine.logits(lines).shape == source.engine.logits(lines).shape


@pytest.mark.skipif(
    not read_hardware(torch_facts=False).cpu_int8,
    reason="this CPU sums int8 in 16 bits: sums saturate",
)
def test_int8_file_is_close_and_its_batch_equals_single(
    tiny_model: Path, written: Path, runtime: str
) -> None:
    source = Recognizer.load(tiny_model, "cpu", "fp32")
    copy = Recognizer.load(written / "tiny.int8.onnx", threads=1)
    assert copy.engine.precision == "int8"
    lines = np.stack([noise(160, seed) for seed in range(4)])
    logits = copy.engine.logits(lines)
    single = [copy.engine.logits(lines[place : place + 1])[0] for place in range(4)]
    assert all(abs(logits[place] - single[place]).max() < 1e-2 for place in range(4))
    reference = source.engine.logits(lines)
    # Eight random channels round coarsely; a wrong scale or layer is off by a whole deviation.
    assert np.abs(logits - reference).mean() < 0.25 * reference.std()


def test_precision_that_the_file_lacks_is_refused(written: Path) -> None:
    with pytest.raises(ModelError, match="int8 numbers, not bf16"):
        Recognizer.load(written / "tiny.int8.onnx", precision="bf16")
    with pytest.raises(ModelError, match="CPU only"):
        Recognizer.load(written / "tiny.int8.onnx", device="cuda")


def test_foreign_and_damaged_onnx_files_are_refused(tmp_path: Path, written: Path, runtime: str) -> None:
    import onnx

    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes((written / "tiny.onnx").read_bytes()[:500])
    with pytest.raises(ModelError, match="damaged"):
        Recognizer.load(damaged)
    foreign = onnx.load(str(written / "tiny.onnx"))
    del foreign.metadata_props[:]
    onnx.save(foreign, str(tmp_path / "foreign.onnx"))
    with pytest.raises(ModelError, match="not one of vocr's"):
        Recognizer.load(tmp_path / "foreign.onnx")


def test_missing_runtime_names_the_package(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_engines, "RUNTIMES", ())
    with pytest.raises(DependencyError) as caught:
        Recognizer.load(written / "tiny.onnx")
    assert "pip install" in caught.value.fix


def test_a_file_that_computes_something_else_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "wrong.onnx"
    path.write_bytes(b"x")
    with pytest.raises(ModelError, match="differ"):
        check_difference(0.5, path, FP32_TOLERANCE)
    assert not path.exists()


def test_openvino_is_loaded_once_and_for_good(monkeypatch):
    """Its end frees the stack of torch's SIGCHLD handler: the end of the next child killed the process."""
    openvino = pytest.importorskip("openvino")
    loaded = []
    core = openvino.Core
    monkeypatch.setattr(openvino, "Core", lambda: loaded.append(1) or core())
    for _ in range(2):
        Recognizer.load("vi-small", "cpu", "int8", threads=1, runtime="openvino")
    assert len(loaded) <= 1 and openvino_model.openvino_core.cache_info().currsize == 1
