"""Model files that are damaged, diverged or made to harm: one sentence each, no memory for their claims."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import line_image
from tiny_vietocr import make_model
from typer.testing import CliRunner, Result

from vocr_cli.app import app
from vocr_cli.core.errors import ConfigError, ModelError, VocrError
from vocr_cli.core.inference import Recognizer
from vocr_cli.core.models.files import load_model, save_model
from vocr_cli.core.text import Charset

runner = CliRunner()
Change = Callable[[dict[str, Any]], Any]


def described(model: Path, path: Path, change: Change) -> Path:
    """The model, its description changed; or replaced by the text that `change` gives."""
    data = model.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    description = json.loads(header["__metadata__"]["vocr"])
    changed = change(description)
    header["__metadata__"]["vocr"] = changed if isinstance(changed, str) else json.dumps(description)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])
    return path


def infer(model: Path, image: Path, *options: str) -> Result:
    arguments = ["infer", str(image), "--model", str(model), "--precision", "fp32", *options]
    return runner.invoke(app, arguments)


@pytest.mark.parametrize("text", ["null", "[]", "1", '"x"', "[" * 100_000, "{}", '{"format": {}}'])
def test_a_description_of_another_form_is_one_sentence(tmp_path: Path, tiny_model: Path, text: str) -> None:
    path = described(tiny_model, tmp_path / "m.safetensors", lambda _: text)
    for command in (["inspect", str(path)], ["infer", str(tmp_path), "--model", str(path)]):
        line_image(1).save(tmp_path / "a.png")
        result = runner.invoke(app, command)
        assert isinstance(result.exception, ModelError) and str(path) in result.exception.problem


@pytest.mark.parametrize(
    "change",
    [
        {"charset": 7}, {"charset": ["a"]}, {"charset": "ab\ud800"}, {"charset": None}, {"model": None},
        {"model": []}, {"image": 5}, {"image": {"height_px": "x"}}, {"scores": 3}, {"provenance": []},
        {"model": {"family": ["ctc"]}}, {"model": {"channels": [0, 0, 0]}}, {"model": {"heads": 10**30}},
    ],
    ids=str,
)  # fmt: skip
def test_a_description_that_says_what_cannot_be_is_one_sentence(
    tmp_path: Path, tiny_model: Path, change: dict[str, Any]
) -> None:
    path = described(tiny_model, tmp_path / "m.safetensors", lambda description: description.update(change))
    with pytest.raises(ModelError, match=r"m\.safetensors"):
        load_model(path)


@pytest.mark.parametrize(
    "sizes",
    [
        {"hidden": 48_000}, {"channels": [60_000, 60_000, 60_000]}, {"attention_layers": 900},
        {"blocks": [900, 900, 900]}, {"hidden": 16 * 10**9}, {"attention_layers": 10**9},
        {"feed_ratio": 60_000},
    ],
    ids=str,
)  # fmt: skip
def test_huge_layers_are_refused_before_any_is_built(
    tmp_path: Path, tiny_model: Path, sizes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = described(tiny_model, tmp_path / "m.safetensors", lambda whole: whole["model"].update(sizes))
    monkeypatch.setattr("vocr_cli.core.models.files.build_module", None)  # it is not asked
    with pytest.raises(ModelError, match=r"m\.safetensors"):
        load_model(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, tiny_model: Path, value: float) -> None:
    model = load_model(tiny_model)
    with torch.no_grad():
        model.module.head.weight[3, 5] = value
    save_model(tmp_path / "m.safetensors", model)
    line_image(1).save(tmp_path / "a.png")
    result = infer(tmp_path / "m.safetensors", tmp_path / "a.png")
    assert isinstance(result.exception, ModelError) and "head.weight" in result.exception.problem
    assert result.stdout == ""


def test_a_line_of_which_a_model_computes_no_number_is_not_read_as_empty(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        line_image(number, 60 + 40 * number).save(tmp_path / f"{number}.png")
    real = Recognizer.read_fitted

    def overflowing(self: Recognizer, lines: Any) -> Any:
        def logits(some: Any, real: Any = self.engine.logits) -> Any:
            return real(some) * (float("nan") if some.shape[2] > 100 else 1)

        with monkeypatch.context() as patched:
            patched.setattr(self.engine, "logits", logits)
            return real(self, lines)

    monkeypatch.setattr(Recognizer, "read_fitted", overflowing)
    result = infer(tiny_model, tmp_path, "--format", "jsonl", "--cache", str(tmp_path / "cache"))
    assert result.exit_code == 3 and "computed what is no number" in result.stderr
    rows = [json.loads(row, parse_constant=pytest.fail) for row in result.stdout.splitlines()]
    assert [row["text"] is None for row in rows] == [False, True, True]
    with pytest.raises(ModelError, match="no number"):
        Recognizer.load(tiny_model, precision="fp32").read([tmp_path / "2.png"])


@pytest.mark.parametrize("sign", ["\n", "\t", "\r", "\x1b", "\u2028"])
def test_a_charset_that_would_forge_rows_is_refused(tmp_path: Path, tiny_model: Path, sign: str) -> None:
    path = described(
        tiny_model,
        tmp_path / "m.safetensors",
        lambda description: description.update(charset=description["charset"].replace("n", sign)),
    )
    with pytest.raises(ModelError, match=f"U\\+{ord(sign):04X}"):
        load_model(path)
    model = load_model(tiny_model)
    forging = type(model)(
        model.module, model.config, model.image, Charset(model.charset.characters[:-1] + sign)
    )
    with pytest.raises(ModelError, match="cannot be written"):
        save_model(tmp_path / "other.safetensors", forging)


def test_what_vietocrs_weights_read_stays_in_its_row(tmp_path: Path) -> None:
    model = make_model()
    torch.save(model.module.state_dict(), tmp_path / "m.pth")
    config = (
        "backbone: resnet50\ntransformer: {d_model: 16, nhead: 2, num_encoder_layers: 1, "
        "num_decoder_layers: 1, dim_feedforward: 32, max_seq_length: 200, pos_dropout: 0.1, "
        "trans_dropout: 0.1}\nseq_modeling: transformer\ncnn: {hidden: 16}\nvocab: "
    )
    folder = tmp_path / "lines"
    folder.mkdir()
    for number in range(3):
        line_image(number, 60 + 8 * number).save(folder / f"{number}.png")
    (tmp_path / "m.yml").write_text(config + json.dumps(model.charset.characters), encoding="utf-8")
    plain = infer(tmp_path / "m.pth", folder).stdout.split("\t")[1]
    vocab = model.charset.characters.replace(plain[0], "\n")  # a character that is read
    (tmp_path / "m.yml").write_text(config + json.dumps(vocab), encoding="utf-8")
    result = infer(tmp_path / "m.pth", folder)
    rows = result.stdout.split("\n")[:-1]
    assert result.exit_code == 0 and len(rows) == 3 and {row.count("\t") for row in rows} == {2}


def test_packed_weights_and_tensors_without_numbers_are_refused(tmp_path: Path) -> None:
    state = make_model().module.state_dict()
    torch.save(state, tmp_path / "sound.pth")
    with zipfile.ZipFile(tmp_path / "sound.pth") as sound:
        parts = {part: sound.read(part) for part in sound.namelist()}
    with zipfile.ZipFile(tmp_path / "packed.pth", "w", zipfile.ZIP_DEFLATED) as packed:
        for part, data in parts.items():
            packed.writestr(part, data)
        packed.writestr("archive/data/999", bytes(64 << 20))
    with pytest.raises(ModelError, match="would become"):
        load_model(tmp_path / "packed.pth")
    key = next(key for key, value in state.items() if value.dim() == 4)
    state[key] = torch.zeros(1, dtype=torch.float16).expand(10**6, 10**6)
    torch.save(state, tmp_path / "expanded.pth")
    with pytest.raises(ModelError, match="stored in fewer"):
        load_model(tmp_path / "expanded.pth")


def test_a_training_with_such_a_charset_does_not_begin(tmp_path: Path) -> None:
    line_image(1).save(tmp_path / "a.png")
    (tmp_path / "l.txt").write_text("a.png\tab\n", encoding="utf-8")
    (tmp_path / "c.yaml").write_text(
        'charset: {characters: "ab\\n"}\ndata: {train: [{annotations: l.txt}], workers: 0}\n',
        encoding="utf-8",
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(tmp_path)
        result = runner.invoke(app, ["train", "c.yaml", "--out", "run", "--device", "cpu"])
    assert isinstance(result.exception, VocrError) and "U+000A" in result.exception.problem
    assert not isinstance(result.exception, ConfigError) or result.exception.fix
