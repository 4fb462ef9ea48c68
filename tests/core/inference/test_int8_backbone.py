"""VietOCR models with their backbone in int8: written, read back, compared with the model."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import line_image
from tiny_vietocr import make_model
from typer.testing import CliRunner

from vocr_cli.app import app
from vocr_cli.core.data.images.fit import fit_line
from vocr_cli.core.errors import ConfigError, DependencyError, ModelError
from vocr_cli.core.export import onnx as onnx_files
from vocr_cli.core.inference import Recognizer
from vocr_cli.core.inference.engines import onnx as onnx_engines
from vocr_cli.core.inference.engines.onnx import OnnxRuntimeModel
from vocr_cli.core.inference.engines.openvino_model import OpenVinoModel
from vocr_cli.core.inference.loading import available_backends
from vocr_cli.core.machine.hardware import read_hardware
from vocr_cli.core.machine.precision import resolve_precision
from vocr_cli.core.models.files import load_model, save_model

pytest.importorskip("onnx", reason="int8 files are written with onnx")
pytest.importorskip("onnxruntime", reason="int8 files are calibrated with onnxruntime")

IMAGES = [line_image(seed, width=60 + 20 * (seed % 4)) for seed in range(8)]


@pytest.fixture(params=["onnxruntime", "openvino"])
def runtime(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    pytest.importorskip(request.param)
    monkeypatch.setattr(onnx_engines, "RUNTIMES", (request.param,))
    return request.param


def precisions_of(model: Path) -> set[str]:
    return {backend.precision for backend in available_backends(model, "cpu")}


def write(folder: Path, backbone: str) -> Path:
    """A model's file with its companion beside it."""
    path = folder / "tiny.safetensors"
    model = make_model("seq2seq", backbone)
    save_model(path, model)
    lines = [fit_line(image, model.image) for image in IMAGES]
    onnx_files.write_int8(model, path.with_name("tiny.int8.onnx"), lines)
    return path


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("int8"), "resnet50")


@pytest.fixture(scope="module")
def written_vgg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where closeness shows: the random resnet50 makes a fifth of a deviation out of one grey level."""
    return write(tmp_path_factory.mktemp("vgg"), "vgg11_bn")


def relative_error(source: torch.Tensor, other: torch.Tensor) -> float:
    assert source.shape == other.shape
    return float((source - other.float()).abs().mean() / source.std())


@pytest.mark.skipif(
    not read_hardware(torch_facts=False).cpu_int8,
    reason="this CPU sums int8 in 16 bits: sums saturate",
)
def test_features_are_close_at_every_width_and_batch(written_vgg: Path, runtime: str) -> None:
    model = load_model(written_vgg)
    reader = Recognizer.load(written_vgg, precision="int8", threads=2)
    assert reader.engine.precision == "int8" and runtime in reader.engine.runtime
    for count, width in ((1, 60), (3, 110), (6, 130)):  # fewer, and more, than OpenVINO gets at once
        lines = np.stack([fit_line(line_image(seed, width), model.image) for seed in range(count)])
        features = reader.engine.features(lines)  # (S, B, D)
        with torch.inference_mode():
            expected = model.module.features(torch.from_numpy(lines).permute(0, 3, 1, 2).float() / 255)
        assert relative_error(expected, features) < 0.12
        if count > 1:  # another line's features are a whole deviation away
            assert relative_error(expected, features.roll(1, dims=1)) > 0.7
        singly = [reader.engine.features(lines[place : place + 1]) for place in range(count)]
        assert relative_error(torch.cat(singly, dim=1).float(), features) < 0.05


def test_batch_reads_as_single_and_in_order(written: Path, runtime: str) -> None:
    reader = Recognizer.load(written, precision="int8", threads=2)
    singly = [reader.read([image])[0].text[:2] for image in IMAGES]
    together = [reading.text[:2] for reading in reader.read(IMAGES)]
    assert len(set(singly)) >= 2
    same = sum(one == other for one, other in zip(singly, together, strict=True))
    assert same >= len(IMAGES) - 1, (singly, together)  # one may be a near tie in bf16


def test_a_lone_line_has_all_processors_and_batches_side_by_side_one_each(
    written: Path, runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Recognizer.load(written, precision="int8", threads=2)
    kind = {"openvino": OpenVinoModel, "onnxruntime": OnnxRuntimeModel}[runtime]
    used: list[int] = []
    computed = kind.run

    def watched(engine: OnnxRuntimeModel | OpenVinoModel, lines: np.ndarray) -> torch.Tensor:
        used.append(engine.threads_per_batch)
        return computed(engine, lines)  # type: ignore[arg-type]

    monkeypatch.setattr(kind, "run", watched)
    reader.read(IMAGES[:1])
    assert used == [2]
    assert len(reader.read(IMAGES)) == len(IMAGES)
    assert len(used) > 2 and set(used[1:]) == {1}


def test_companion_of_other_weights_is_refused(written: Path, tmp_path: Path) -> None:
    model = load_model(written)
    with torch.no_grad():
        model.module.cnn.model.conv3.weight[0, 0, 0, 0] += 0.1
    other = tmp_path / "other.safetensors"
    save_model(other, model)
    shutil.copy(written.with_name("tiny.int8.onnx"), tmp_path / "other.int8.onnx")
    with pytest.raises(ModelError, match="other weights") as caught:
        Recognizer.load(other, precision="int8")
    assert f"vocr export {other} {tmp_path / 'other.int8.onnx'}" in caught.value.fix


def test_companion_serves_a_copy_in_fp16(written: Path, tmp_path: Path) -> None:
    half = tmp_path / "half.safetensors"
    save_model(half, load_model(written), "fp16")
    shutil.copy(written.with_name("tiny.int8.onnx"), tmp_path / "half.int8.onnx")
    assert Recognizer.load(half, precision="int8").engine.precision == "int8"


def test_missing_companion_names_the_command(written: Path, tmp_path: Path) -> None:
    alone = Path(shutil.copy(written, tmp_path / "alone.safetensors"))
    with pytest.raises(ModelError, match="no int8 file") as caught:
        Recognizer.load(alone, precision="int8")
    assert f"vocr export {alone}" in caught.value.fix
    assert "int8" not in precisions_of(alone)
    with pytest.raises(ConfigError, match="int8 is for CPUs"):
        resolve_precision("int8", "cuda")


def test_missing_runtime_names_the_package(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "int8" in precisions_of(written)
    monkeypatch.setattr(onnx_engines, "RUNTIMES", ())
    assert "int8" not in precisions_of(written)
    with pytest.raises(DependencyError) as caught:
        Recognizer.load(written, precision="int8")
    assert "pip install" in caught.value.fix


def test_companion_is_no_model_of_its_own(written: Path, tiny_model: Path, tmp_path: Path) -> None:
    companion = written.with_name("tiny.int8.onnx")
    with pytest.raises(ModelError, match="backbone of a VietOCR model only"):
        Recognizer.load(companion)
    shutil.copy(tiny_model, tmp_path / "ctc.safetensors")  # not a model that has a backbone apart
    shutil.copy(companion, tmp_path / "ctc.int8.onnx")
    with pytest.raises(ModelError, match="backbone of a VietOCR model only"):
        Recognizer.load(tmp_path / "ctc.safetensors", precision="int8")


def test_exported_companion_of_vietocr_weights_serves_every_command(
    tmp_path: Path, lines_folder: Path
) -> None:
    runner = CliRunner()
    own, weights = tmp_path / "own.safetensors", tmp_path / "tiny.pth"
    save_model(own, make_model("convseq2seq"))
    for arguments in (
        (own, weights, "--to", "vietocr"),
        (weights, tmp_path / "tiny.int8.onnx", "--calibrate", lines_folder),
    ):
        result = runner.invoke(app, ["export", *map(str, arguments)])
        assert result.exit_code == 0, result.output
    assert "backbone" in result.stderr and "largest difference of a feature" in result.stderr
    read = runner.invoke(
        app, ["infer", str(lines_folder), "--model", str(weights), "--precision", "int8", "--device", "cpu"]
    )
    assert read.exit_code == 0 and len(read.stdout.splitlines()) == 12
