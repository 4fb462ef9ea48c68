import json

import lmdb
import pytest
from PIL import Image
from typer.testing import CliRunner

from vocr_cli.app import app
from vocr_cli.core.config.tree import Config, CtcConfig, ImageConfig
from vocr_cli.core.data.lmdb.store import LineWriter, StoredLine
from vocr_cli.core.errors import ConfigError, ImageError, ModelError, VocrError
from vocr_cli.core.text import Charset


def run(*arguments):
    return CliRunner().invoke(app, ["inspect", *map(str, arguments)])


def facts(tmp_path, thing):
    result = run(thing, "--json", tmp_path / "found.json")
    assert result.exit_code == 0, result.output
    document = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    return document["kind"], document["facts"], result.stdout


def test_database_is_described_without_trusting_its_count(tmp_path):
    with LineWriter(tmp_path / "db") as writer:
        for number, text in enumerate(["Huế", "Đà Nẵng", "Straße"]):
            writer.add(StoredLine(b"x", text, "a"), 100 + number, 32)
    with (
        lmdb.open(str(tmp_path / "db"), map_size=1 << 20) as environment,
        environment.begin(write=True) as transaction,
    ):
        transaction.put(b"num-samples", b"2")
    kind, found, shown = facts(tmp_path, tmp_path / "db")
    assert (
        kind == "lmdb"
        and found["lines"] == 3
        and found["num-samples says"] == 2
        and found["layout"] == "vietocr"
    )
    assert found["width px"] == {"min": 100, "p5": 100, "p50": 101, "p95": 102, "max": 102}
    assert (
        found["lines the default charset covers"] == "66.67%" and "U+00DF" in found["characters it lacks"][0]
    )
    assert found["first labels"] == ["Huế", "Đà Nẵng", "Straße"] and "Đà Nẵng" in shown


def test_model_file_is_described_from_its_metadata(tmp_path):
    from vocr_cli.core.models.files import ModelFile, build_module, save_model

    config = CtcConfig(hidden=16, heads=1)
    image, charset = ImageConfig(height_px=32), Charset("abc")
    module = build_module(config, image, charset)
    model = ModelFile(module, config, image, charset, {"steps": 7}, {"cer": 0.5})
    save_model(tmp_path / "tiny.safetensors", model, "fp16")
    kind, found, shown = facts(tmp_path, tmp_path / "tiny.safetensors")
    assert kind == "model" and found["model"]["hidden"] == 16 and found["image"]["height_px"] == 32
    stored = [value for name, value in module.state_dict().items() if "num_batches_tracked" not in name]
    assert found["parameters"] == sum(value.numel() for value in stored)
    assert found["charset"] == {"characters": 3, "all": "abc"} and found["provenance"] == {"steps": 7}
    assert "F16" in found["number formats"] and "steps 7" in shown


def tiny_ctc(charset="abc"):
    from vocr_cli.core.models.files import ModelFile, build_module

    config, image = CtcConfig(hidden=16, heads=1), ImageConfig(height_px=32)
    return ModelFile(build_module(config, image, Charset(charset)).eval(), config, image, Charset(charset))


def test_onnx_file_says_what_it_is_and_what_it_needs(tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    import onnx

    from vocr_cli.core.export.onnx import write_onnx

    model = tiny_ctc()
    write_onnx(model, tmp_path / "tiny.onnx")
    kind, found, _ = facts(tmp_path, tmp_path / "tiny.onnx")
    assert kind == "model" and found["precision"] == "fp32" and found["holds"] == "the whole model"
    assert found["model"]["family"] == "ctc" and found["model"]["hidden"] == 16
    assert found["charset"] == {"characters": 3, "all": "abc"} and "onnxruntime" in found["runtime"]
    graph = onnx.load(str(tmp_path / "tiny.onnx"))
    stored = {"fp32": 0, "int64": 0}
    for weight in graph.graph.initializer:
        stored[{1: "fp32", 7: "int64"}[weight.data_type]] += onnx.numpy_helper.to_array(weight).size
    assert found["numbers stored"] == {name: count for name, count in stored.items() if count}
    assert f"operator set {graph.opset_import[0].version}" in found["written by"]

    del graph.metadata_props[:]
    onnx.save(graph, str(tmp_path / "foreign.onnx"))
    error = run(tmp_path / "foreign.onnx").exception
    assert isinstance(error, ModelError) and "not one of vocr's" in error.problem


@pytest.mark.parametrize("content", [b"", b"\x3a\x05ab", b"nothing of the kind" * 9, b"\xff" * 40])
def test_damaged_onnx_file_is_refused(tmp_path, content):
    (tmp_path / "x.onnx").write_bytes(content)
    error = run(tmp_path / "x.onnx").exception
    assert isinstance(error, ModelError) and "not an ONNX model" in error.problem


@pytest.mark.parametrize("name", ["last.pt", "old.ckpt"])
def test_training_checkpoint_tells_where_its_run_stands(tmp_path, name):
    from vocr_cli.core.training.checkpoint import save_checkpoint

    model = tiny_ctc()
    path = tmp_path / "run" / "checkpoints" / name
    loop = {"init": "vi-small", "step": 12, "minutes": 1.5, "best_cer": float("inf")}
    save_checkpoint(path, {"module": model.module.state_dict(), "loop_state": loop, "charset": "abc"})
    kind, found, shown = facts(tmp_path, path)
    assert kind == "training checkpoint" and found["progress"] == {"step": 12, "minutes": 1.5}
    assert found["started from"] == "vi-small" and found["charset"]["characters"] == 3
    assert found["parameters"] == sum(value.numel() for value in model.module.state_dict().values())
    assert "--resume" in found["go on with"] and "not beside it" in found["read with"]
    (tmp_path / "run" / "config.yaml").write_text("model: {hidden: 16}\n")
    path.with_name("best.safetensors").write_bytes(b"")
    _, found, shown = facts(tmp_path, path)
    assert found["go on with"] == f"vocr train --resume {tmp_path / 'run'}"
    assert found["read with"].endswith("best.safetensors") and "step 12" in shown
    path.write_bytes(b"nothing")
    assert isinstance(run(path).exception, ModelError)


def test_foreign_model_file_is_refused(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0 nothing")
    assert isinstance(run(tmp_path / "x.safetensors").exception, ModelError)


def test_config_is_shown_in_full(tmp_path):
    (tmp_path / "c.yaml").write_text("model: {hidden: 128}\n")
    kind, found, shown = facts(tmp_path, tmp_path / "c.yaml")
    assert kind == "config" and found["model"]["hidden"] == 128
    for section in Config.model_json_schema()["properties"]:
        assert f"\n{section}:" in shown


def test_misspelt_key_in_a_config_is_named_with_the_nearest(tmp_path):
    (tmp_path / "c.yaml").write_text("model: {hiden: 128}\n")
    error = run(tmp_path / "c.yaml").exception
    assert isinstance(error, ConfigError) and "`hidden`" in error.problem


def test_annotations_are_counted_and_missing_images_named(tmp_path):
    Image.new("L", (50, 20)).save(tmp_path / "a.png")
    (tmp_path / "labels.txt").write_text("a.png\tHuế\nb.png\tĐà Nẵng\nno tab\n", encoding="utf-8")
    kind, found, shown = facts(tmp_path, tmp_path / "labels.txt")
    assert kind == "annotations" and found["lines"] == 2
    assert found["bad lines"] == {"count": 1, "first": ["line 3: no tab between path and label"]}
    assert found["images lacking"] == {"count": 1, "first": ["b.png"]} and "b.png" in shown


def test_image_is_told_by_its_content(tmp_path):
    Image.new("L", (50, 20)).save(tmp_path / "line.dat", "PNG")
    kind, found, _ = facts(tmp_path, tmp_path / "line.dat")
    assert kind == "image" and (found["format"], found["width px"], found["height px"]) == ("PNG", 50, 20)
    assert found["flags"] == []
    (tmp_path / "line.png").write_bytes(b"junk")
    assert isinstance(run(tmp_path / "line.png").exception, ImageError)


def test_markup_and_emoji_codes_in_labels_are_shown_as_they_are(tmp_path):
    (tmp_path / "labels.tsv").write_text("a.png\tgiờ:x:phút [bold]đậm[/bold]\n", encoding="utf-8")
    _, _, shown = facts(tmp_path, tmp_path / "labels.tsv")
    assert "giờ:x:phút [bold]đậm[/bold]" in shown


@pytest.mark.parametrize("content", [b"\0\1\2\3" * 50, None])
def test_unknown_things_get_a_remedy(tmp_path, content):
    thing = tmp_path / "thing"
    if content:
        thing.write_bytes(content)
    for name in (thing, tmp_path):
        error = run(name).exception
        assert isinstance(error, VocrError) and "folder of a database" in error.fix


def test_the_folder_of_a_run_tells_state_best_cer_and_what_to_do_next(tmp_path):
    run_folder = tmp_path / "mine"
    best = run_folder / "checkpoints" / "best.safetensors"
    best.parent.mkdir(parents=True)
    (run_folder / "config.yaml").write_text("model: {}\n")
    scores = [(10, 0.5, True, 40), (20, 0.25, True, 40), (25, 0.1, False, 9), (30, 0.3, True, 40)]
    events = [{"event": "Started", "step": 0}]
    events += [
        {"event": "Validated", "step": step, "cer": cer, "full": full, "lines": lines}
        for step, cer, full, lines in scores
    ]
    record = run_folder / "events.jsonl"
    record.write_text("".join(json.dumps(event) + "\n" for event in events) + '{"event": "Ste')
    kind, found, shown = facts(tmp_path, run_folder)
    assert kind == "run" and found["state"] == "running, or killed" and found["steps"] == 30
    assert found["best CER"] == "25.00% of 40 lines, at step 20" and "30.00%" in found["last CER"]
    assert "no checkpoint" in found["go on with"] and "read with" not in found
    best.write_bytes(b"")
    best.with_name("last.pt").write_bytes(b"")
    for reason, resumable, state in (("interrupted", True, "stopped"), ("max_steps", False, "finished")):
        with record.open("a") as file:
            stopped = {"event": "Stopped", "step": 31, "reason": reason, "resumable": resumable}
            file.write("\n" + json.dumps(stopped) + "\n")
        _, found, shown = facts(tmp_path, run_folder)
        assert found["state"] == f"{state}: {reason}"
    assert found["go on with"] == f"vocr train --resume {run_folder}" and str(best) in found["read with"]
    assert "25.00%" in shown
    kept = {"event": "Validated", "step": 31, "cer": 0.5, "full": True, "lines": 7, "best": True}
    record.write_text("".join(json.dumps(event) + "\n" for event in [*events, kept]))  # by other lines
    assert facts(tmp_path, run_folder)[1]["best CER"] == "50.00% of 7 lines, at step 31"


def test_language_models_and_calibrations_are_called_so(tmp_path):
    kind, found, shown = facts(tmp_path, "vi")
    assert kind == "language model" and found["n-grams"] == sum(found["of each length"])
    assert "laws.txt" in shown and "CC BY-SA" in shown
    text = {"of_right": 1.2, "of_wrong": 0.7, "offset": 0.3}
    file = tmp_path / "mine.calibration.json"
    document = {"format": "vocr-calibration-2", "weights": "ab12", "direct": text, "lm_weight": 0.6}
    file.write_text(json.dumps(document))
    kind, found, _ = facts(tmp_path, file)
    assert kind == "calibration" and found["lines read directly"] == text
    assert found["language model counts"] == 0.6 and "ab12" in found["weights"]
    file.write_text("{}")
    assert isinstance(run(file).exception, ModelError)
