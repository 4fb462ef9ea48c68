"""VietOCR's models whole in ONNX files: written by the command, read back, compared with the model."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import line_image
from tiny_vietocr import make_model
from typer.testing import CliRunner

from vocr_cli.app import app
from vocr_cli.core.data.images.fit import fit_line
from vocr_cli.core.errors import ModelError
from vocr_cli.core.export.sequence.write import write_sequence
from vocr_cli.core.export.vietocr import save_for_vietocr
from vocr_cli.core.inference import Recognizer
from vocr_cli.core.inference.engines.backbones import _digest, is_fingerprint
from vocr_cli.core.inference.engines.onnx_sequence.engine import OnnxSequenceEngine
from vocr_cli.core.inference.reading import Reading
from vocr_cli.core.models.files import load_model, save_model

pytest.importorskip("onnx", reason="ONNX files are written with onnx")
pytest.importorskip("onnxruntime", reason="the decoder runs in ONNX Runtime")

IMAGES = [line_image(seed, width=60 + 40 * (seed % 4)) for seed in range(10)]


@dataclass(frozen=True)
class Written:
    """A model, and the whole ONNX file written of it."""

    model: Path
    onnx: Path


def export(model: Path, out: Path, *more: object) -> str:
    result = CliRunner().invoke(app, ["export", str(model), str(out), *map(str, more)])
    assert result.exit_code == 0, result.output
    return result.stderr


def in_lines(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture(scope="module", params=["transformer", "seq2seq"])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp(request.param)
    files = Written(folder / "tiny.safetensors", folder / "tiny.onnx")
    save_model(files.model, make_model(request.param))
    said = in_lines(export(files.model, files.onnx))
    assert "tiny.onnx and tiny.decoder.onnx" in said and "largest difference of a logit" in said.lower()
    return files


def write_int8(folder: Path, backbone: str, lines_folder: Path) -> Written:
    files = Written(folder / "tiny.safetensors", folder / "tiny.int8.onnx")
    save_model(files.model, make_model("transformer", backbone))
    said = in_lines(export(files.model, files.onnx, "--calibrate", lines_folder))
    assert "Of 12 lines" in said and "tiny.int8.decoder.onnx" in said
    return files


@pytest.fixture(scope="module")
def int8(tmp_path_factory: pytest.TempPathFactory, lines_folder: Path) -> Written:
    return write_int8(tmp_path_factory.mktemp("int8"), "resnet50", lines_folder)


def read_by(file: Path, **options: object) -> list[Reading]:
    return Recognizer.load(file, "cpu", threads=2, **options).read(IMAGES)  # type: ignore[arg-type]


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("options", [{}, {"deny": "e5k"}, {"beam": 3, "n_best": 2}], ids=str)
def test_the_files_read_what_the_model_reads(
    written: Written, runtime: str, options: dict[str, object]
) -> None:
    """Lines of four widths in a batch, some with an end before others, greedily and with a beam."""
    pytest.importorskip(runtime)
    expected = read_by(written.model, precision="fp32", **options)
    got = read_by(written.onnx, runtime=runtime, **options)
    assert len({reading.text for reading in expected}) > 2
    for ours, theirs in zip(got, expected, strict=True):
        assert (ours.text, ours.flags) == (theirs.text, theirs.flags)
        assert ours.confidence == pytest.approx(theirs.confidence, abs=1e-3)
        assert [text for text, _ in ours.alternatives] == [text for text, _ in theirs.alternatives]


def test_reading_whole_files_takes_no_torch(
    written: Written, lines_folder: Path, without_torch: dict[str, str], tmp_path: Path
) -> None:
    def infer(*more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "vocr_cli", "infer", str(lines_folder), "--model", str(written.onnx)]
        return subprocess.run(
            [*command, *more], env=without_torch, capture_output=True, text=True, timeout=90
        )

    expected = CliRunner().invoke(
        app, ["infer", str(lines_folder), "--model", str(written.model), "--precision", "fp32"]
    )
    done = infer()
    assert done.returncode == 0, done.stderr
    texts = [[row.split("\t")[1] for row in out.splitlines()] for out in (done.stdout, expected.stdout)]
    assert len(texts[0]) == 12 and texts[0] == texts[1]
    with_beam = infer("--beam", "2")
    assert with_beam.returncode == 1 and "needs torch" in with_beam.stderr
    assert "Traceback" not in with_beam.stderr


def test_the_first_and_the_last_convolution_go_on_unrounded(int8: Written) -> None:
    """Of a line, most is paper: what rounding takes from a weight of the first one moves a whole channel."""
    import onnx

    graph = onnx.load(str(int8.onnx)).graph
    rounded = {result for node in graph.node if node.op_type == "DequantizeLinear" for result in node.output}
    weights = [node.input[1] in rounded for node in graph.node if node.op_type == "Conv"]
    assert len(weights) > 30
    assert not weights[0] and not weights[-1] and all(weights[1:-1])


@pytest.mark.slow
def test_int8_stays_near_the_model(tmp_path: Path, lines_folder: Path) -> None:
    """Under the same tokens, while logits of another line are far off.

    The random resnet50 makes a fifth of a deviation out of one grey level; this backbone does not.
    """
    int8 = write_int8(tmp_path, "vgg11_bn", lines_folder)
    reader = Recognizer.load(int8.model, "cpu", "int8", 1)
    assert isinstance(reader.engine, OnnxSequenceEngine) and reader.engine.precision == "int8"
    model = load_model(int8.model)
    lines = np.stack([fit_line(image, model.image) for image in IMAGES[::4]])
    tokens = np.random.default_rng(1).integers(4, model.module.classes, (len(lines), 18))
    decoder = reader.engine.start([lines])
    logits = np.stack([decoder.step(column) for column in tokens.T], axis=1)[..., 4:]
    with torch.inference_mode():
        images = torch.from_numpy(lines).permute(0, 3, 1, 2).float() / 255
        expected = model.module(images, torch.from_numpy(tokens)).numpy()[..., 4:]
    assert np.abs(logits - expected).mean() < 0.25 * expected.std()
    assert np.abs(logits - np.roll(expected, 1, axis=0)).mean() > 0.5 * expected.std()


def test_int8_holds_encoder_and_decoder_too(int8: Written) -> None:
    """Of the matrices none but the class layer's and the tables of tokens and positions is in fp32."""
    import onnx

    for name in ("tiny.int8.onnx", "tiny.int8.decoder.onnx"):
        weights = onnx.load(str(int8.onnx.with_name(name))).graph.initializer
        in_fp32 = {
            tuple(weight.dims) for weight in weights if weight.data_type == 1 and len(weight.dims) == 2
        }
        classes, width, positions = 30, 16, 200
        assert in_fp32 <= {(classes, width), (width, classes), (positions, width)}
        assert any(weight.data_type == 3 and len(weight.dims) == 2 for weight in weights)


def test_int8_lines_read_as_they_do_alone(int8: Written) -> None:
    reader = Recognizer.load(int8.model, "cpu", "int8", 2)
    singly = [reader.read([image])[0].text for image in IMAGES]
    together = [reading.text for reading in reader.read(IMAGES)]
    assert sum(one == other for one, other in zip(singly, together, strict=True)) >= len(IMAGES) - 1


def test_int8_of_weights_that_were_trained_further_is_refused(int8: Written, tmp_path: Path) -> None:
    model = load_model(int8.model)
    with torch.no_grad():
        model.module.transformer.fc.bias[9] += 0.1  # what no backbone shows
    further = tmp_path / "tiny.safetensors"
    save_model(further, model)
    for name in ("tiny.int8.onnx", "tiny.int8.decoder.onnx"):
        shutil.copy(int8.onnx.with_name(name), tmp_path)
    assert Recognizer.load(int8.model, "cpu").engine.precision == "int8"
    assert Recognizer.load(further, "cpu").engine.precision != "int8"
    with pytest.raises(ModelError, match="other weights") as caught:
        Recognizer.load(further, "cpu", "int8")
    assert f"vocr export {further}" in caught.value.fix


def test_int8_serves_a_copy_in_fp16(int8: Written, tmp_path: Path) -> None:
    save_model(tmp_path / "tiny.safetensors", load_model(int8.model), "fp16")
    for name in ("tiny.int8.onnx", "tiny.int8.decoder.onnx"):
        shutil.copy(int8.onnx.with_name(name), tmp_path)
    assert Recognizer.load(tmp_path / "tiny.safetensors", "cpu", "int8").engine.precision == "int8"


def test_int8_serves_whatever_dropout_a_config_names(int8: Written, tmp_path: Path) -> None:
    """VietOCR's YAMLs differ in it, and nobody reads with it; files of earlier versions are known, too."""
    own, weights, companion = load_model(int8.model), tmp_path / "tiny.pth", tmp_path / "tiny.int8.onnx"
    save_for_vietocr(weights, own)
    tree = yaml.safe_load(weights.with_suffix(".yml").read_text(encoding="utf-8"))
    weights.with_suffix(".yml").unlink()
    configs = {}
    for name, changed in {
        "export": {},
        "read": {"pos_dropout": 0.3, "trans_dropout": 0.4},
        "other": {"nhead": 4},
    }.items():
        configs[name] = tmp_path / f"{name}.yml"
        configs[name].write_text(yaml.safe_dump({**tree, "transformer": tree["transformer"] | changed}))
    lines = [fit_line(image, own.image) for image in IMAGES]
    write_sequence(load_model(weights, configs["export"]), companion, "int8", lines)
    read = [
        Recognizer.load(weights, "cpu", "int8", config=configs[name], language_model="none").read(IMAGES)
        for name in ("export", "read")
    ]
    assert [each.text for each in read[0]] == [each.text for each in read[1]]
    with pytest.raises(ModelError, match="or with another config") as caught:
        Recognizer.load(weights, "cpu", "int8", config=configs["other"])
    assert f"--config {configs['other']}" in caught.value.fix
    module = own.module
    assert is_fingerprint(_digest(module.config.model_dump(mode="json"), module), module)


def test_files_that_do_not_belong_together_are_named(written: Written, int8: Written, tmp_path: Path) -> None:
    alone = Path(shutil.copy(written.onnx, tmp_path / "alone.onnx"))
    with pytest.raises(ModelError, match=r"alone\.decoder\.onnx is missing") as caught:
        Recognizer.load(alone)
    assert "beside alone.onnx" in caught.value.fix
    decoder = tmp_path / "alone.decoder.onnx"
    shutil.copy(int8.onnx.with_name("tiny.int8.decoder.onnx"), decoder)
    with pytest.raises(ModelError, match="another model is in it"):
        Recognizer.load(alone)
    decoder.write_bytes(b"no graph")
    with pytest.raises(ModelError, match=r"alone\.decoder\.onnx is no decoder"):
        Recognizer.load(alone)
    with pytest.raises(ModelError, match="one step of a decoder only") as caught:
        Recognizer.load(written.onnx.with_name("tiny.decoder.onnx"))
    assert "tiny.onnx" in caught.value.fix


def test_inspect_says_which_files_belong_together(written: Written) -> None:
    shown = CliRunner().invoke(app, ["inspect", str(written.onnx)])
    assert shown.exit_code == 0 and "tiny.decoder.onnx" in in_lines(shown.output)
