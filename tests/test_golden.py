"""Files that an earlier build wrote still work: its runs go on, its databases, caches and models are read.

How they were made: golden/make.sh. They are used through the command line alone; where a record of a file has
to be written for this machine (absolute paths, versions of torch), that is done by the format of that build.
"""

from __future__ import annotations

import difflib
import gzip
import hashlib
import json
import math
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

import vocr_cli
from vocr_cli.app import app

GOLDEN = Path(__file__).parent / "golden"
FONT = Path(__file__).parents[1] / "examples" / "fonts" / "BeVietnam-Regular.ttf"
SECTION = 8_192
FP32 = ("--precision", "fp32", "--device", "cpu")
CUT = {"adamw": 53, "muon": 12, "vietocr": 5}
"""About the step that --resume goes on from: of a run that Ctrl-C ended, that one or a later one."""

ROUNDING = 0.003
LATER = 0.2
"""By how much losses and norms may differ on another CPU, up to three steps after a checkpoint and later."""

runner = CliRunner()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All golden files, unpacked."""
    folder = tmp_path_factory.mktemp("golden") / "files"
    folder.mkdir()
    for name in ("files", "cache-model"):
        with tarfile.open(GOLDEN / f"{name}.tar.xz") as archive:
            archive.extractall(folder, filter="data")
    shutil.copytree(GOLDEN / "lines", folder / "lines")
    (folder / "fonts").mkdir()
    shutil.copy(FONT, folder / "fonts")
    return folder


@pytest.fixture
def here(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the folder that the files were made in: the current one."""
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # tiny models: more threads only wait for one another
    yield tmp_path
    torch.set_num_threads(threads)


def vocr(*arguments: str | Path, code: int = 0) -> Result:
    result = runner.invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
    return result


def events(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def scores(
    told: list[dict[str, Any]], after: int, same_lines: bool
) -> Iterator[tuple[tuple[object, ...], dict[str, float]]]:
    """Of each step and validation after a step: what must be the same, and what may differ by rounding."""
    for event in told:
        if event["event"] == "StepDone" and event["step"] > after:
            exact = ("StepDone", event["step"], event["lines"], event["skipped_steps"], event["strength"])
            if same_lines:
                yield exact, {key: event[key] for key in ("loss", "learning_rate", "gradient_norm")}
            else:
                yield exact[:2], {}
        elif event["event"] == "Validated" and event["step"] > after:
            # Not which is the best: 0.1.0 did not clean readings before it scored them.
            exact = ("Validated", event["step"], event["lines"], event["full"])
            yield exact, {"loss": event["loss"]} if same_lines else {}


def resumed(here: Path, name: str, same_lines: bool = True) -> list[dict[str, Any]]:
    """Goes on with a run to its end; what it has told, which must be what it tells undisturbed.

    Losses show that weights, random numbers and the order of lines are restored, norms and the losses after
    them the optimizer's state, those of validations the average, rates what the schedule knows. Without
    `same_lines`, only that the run goes on is looked at.
    """
    run = here / f"run-{name}"
    lasting = events(run / "undisturbed.jsonl")
    vocr("train", run / "config.yaml", "--out", f"run-{name}", "--device", "cpu", "--resume")
    told = events(run / "events.jsonl")
    begun = [event["step"] for event in told if event["event"] == "Started"]
    assert begun[0] == 0 and len(begun) == 2 and CUT[name] <= begun[1] < lasting[-1]["step"]
    assert told[-1]["event"] == "Stopped" and told[-1]["reason"] == lasting[-1]["reason"]
    steps = [event["step"] for event in told if event["event"] == "StepDone"]
    assert steps == list(range(1, lasting[-1]["step"] + 1))
    now, then = list(scores(told, begun[1], same_lines)), list(scores(lasting, begun[1], same_lines))
    assert [exact for exact, _ in now] == [exact for exact, _ in then]
    for (what, mine), (_, theirs) in zip(now, then, strict=True):
        for key, value in theirs.items():
            near = key == "learning_rate" or int(str(what[1])) <= begun[1] + 3
            assert mine[key] == pytest.approx(value, rel=ROUNDING if near else LATER), (key, what)
    return told


def similar(now: str, then: str) -> float:
    """Of two lists of readings, the share of their texts that agrees: rounding may turn a character."""
    texts = [[row.split("\t")[1] for row in rows.splitlines()] for rows in (now, then)]
    assert len(texts[0]) == len(texts[1]) > 0
    return difflib.SequenceMatcher(None, "\n".join(texts[0]), "\n".join(texts[1]), autojunk=False).ratio()


def test_a_run_stopped_by_ctrl_c_goes_on_as_if_it_had_not_been(here: Path) -> None:
    """AdamW, clipped norms, moving average, strength of augmentation that has moved, cosine."""
    told = resumed(here, "adamw")
    assert next(event["strength"] for event in told[::-1] if event["event"] == "StepDone") == 0.4
    vocr("infer", "lines", "--model", "run-adamw/checkpoints/best.safetensors", *FP32)


def test_a_killed_run_goes_on_from_its_last_checkpoint(here: Path) -> None:
    """Muon, adaptive clipping, a teacher, plateau, three sources with weights, two checkpoints."""
    # A third of its lines are rendered, which the renderer of today draws otherwise: steps on these differ.
    told = resumed(here, "muon", same_lines=False)
    lasting = events(here / "run-muon/undisturbed.jsonl")
    first, expected = (
        next(event for event in run if event["event"] == "StepDone" and event["step"] == 13)
        for run in (told, lasting)
    )
    assert first["learning_rate"] == pytest.approx(expected["learning_rate"], rel=ROUNDING)
    assert {file.name for file in (here / "run-muon/checkpoints").glob("*.pt")} == {
        "last.pt", "step-00000018.pt",
    }  # fmt: skip


def test_a_killed_run_goes_on_from_the_checkpoint_before_a_damaged_one(here: Path) -> None:
    last = here / "run-muon/checkpoints/last.pt"
    last.write_bytes(last.read_bytes()[:5_000])
    result = vocr("train", "run-muon/config.yaml", "--out", "run-muon", "--device", "cpu", "--resume",
                  "--max-steps", "8")  # fmt: skip
    assert "step-00000006.pt" in result.output
    told = events(here / "run-muon/events.jsonl")
    assert [event["step"] for event in told if event["event"] == "Started"] == [0, 6]
    lasting = events(here / "run-muon/undisturbed.jsonl")
    at = [
        next(e["loss"] for e in part if e["event"] == "StepDone" and e["step"] == 7)
        for part in (told, lasting)
    ]
    assert at[0] == pytest.approx(at[1], rel=ROUNDING)


def test_a_run_of_the_vietocr_family_goes_on(here: Path) -> None:
    """A frozen backbone, rates by layer, two batches a step, clipped values, wsd."""
    resumed(here, "vietocr", same_lines=False)  # its steps are filled up from several widths since
    vocr("infer", "lines/03.png", "--model", "run-vietocr/checkpoints/best.safetensors", *FP32)


@pytest.mark.parametrize("name", ["model", "pruned"])
def test_models_read_what_they_read(here: Path, name: str) -> None:
    now = vocr("infer", "lines", "--model", f"{name}.safetensors", *FP32).stdout
    assert similar(now, (here / f"readings-{name}.tsv").read_text(encoding="utf-8")) > 0.95


@pytest.mark.parametrize(
    ("runtime", "readings", "least"),
    [("openvino", "readings-int8.tsv", 0.5), ("onnxruntime", "readings-model.tsv", 0.9)],
)
def test_an_int8_file_serves_its_model(here: Path, runtime: str, readings: str, least: float) -> None:
    """The int8 readings are OpenVINO's, whose bf16 such a tiny model bears badly."""
    pytest.importorskip(runtime)
    int8 = ("--precision", "int8", "--device", "cpu", "--runtime", runtime)
    now = vocr("infer", "lines", "--model", "model.safetensors", *int8).stdout
    assert similar(now, (here / readings).read_text(encoding="utf-8")) > least


def test_a_model_is_one_to_start_from(here: Path) -> None:
    """`model:` and `image:` of the config and of the file must still agree."""
    best = "run-muon/checkpoints/best.safetensors"
    arguments = ("--out", "new", "--init", best, "--device", "cpu", "--max-steps", "1")
    result = vocr("train", "run-muon/config.yaml", *arguments)
    assert "Started from best" in result.output


@pytest.mark.parametrize("name", ["vietocr", "clovaai", "fit"])
def test_databases_are_sound_and_read(here: Path, name: str) -> None:
    vocr("build-lmdb", "--check", f"lmdb-{name}", "--workers", "1")
    assert "4" in vocr("inspect", f"lmdb-{name}").output
    now = vocr("infer", f"lmdb-{name}", *FP32).stdout  # by vi-small
    rows = (here / "readings-vi-small.tsv").read_text(encoding="utf-8").splitlines()
    names = [
        row.split("\t")[0] for row in (here / "lines/labels.tsv").read_text(encoding="utf-8").splitlines()
    ]
    then = "\n".join(next(row for row in rows if name in row.split("\t")[0]) for name in names)
    assert similar(now, then) > 0.95


def origin_of(here: Path, fit: str = "None") -> str:
    """The digest by which the build of that time knew its inputs and settings again, for this folder."""
    content = hashlib.sha256((here / "lines/labels.tsv").read_bytes()).hexdigest()
    folder = (here / "lines").resolve()
    digest = hashlib.sha256(f"{folder / 'labels.tsv'} {content} {folder}\n".encode())
    digest.update(f"({fit}, None, 0.0, 1)".encode())
    return digest.hexdigest()


def test_a_hung_build_is_completed_and_a_complete_one_known(here: Path) -> None:
    """Both name their inputs by absolute paths: these become this folder's."""
    origin = hashlib.sha256(f"vietocr {origin_of(here)}".encode()).hexdigest()
    (here / "lmdb-half").rename(here / f".lmdb-half.tmp-{origin[:8]}")
    result = vocr("build-lmdb", "lines/labels.tsv", "lmdb-half", "--resume", "--workers", "1")
    assert "2 lines" in result.output and "taken over" in result.output, result.output
    records = [dict(all_records(here / name)) for name in ("lmdb-half", "lmdb-vietocr")]
    built = [records[0].pop(b"vocr-origin"), records[1].pop(b"vocr-origin")]
    assert records[0] == records[1]
    (completed, state), (_, before) = map(json.loads, built)
    assert completed == origin and state == before | {"first_pages": [], "page_like": 0}

    with lmdb.open(str(here / "lmdb-vietocr")) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"vocr-origin", json.dumps([origin, json.loads(built[1])[1]]).encode())
    vocr("build-lmdb", "lines/labels.tsv", "lmdb-vietocr", "--workers", "1")
    shutil.copy(here / "lines/03.png", here / "lines/new.png")
    with (here / "lines/labels.tsv").open("a", encoding="utf-8") as file:
        file.write("new.png\tnew\n")
    vocr("build-lmdb", "lines/labels.tsv", "lmdb-vietocr", "--workers", "1", code=1)


def all_records(folder: Path) -> Iterator[tuple[bytes, bytes]]:
    with lmdb.open(str(folder), readonly=True, lock=False) as environment, environment.begin() as transaction:
        yield from transaction.cursor()


def test_cached_readings_are_found_by_bytes_and_by_pixels(here: Path) -> None:
    """Readings are kept per version of vocr and torch: with others, the cache must at least be kept."""
    before = len(list(all_records(here / "cache-model")))
    Image.open("lines/22.png").save("lines/23.png", compress_level=1)  # known by its pixels
    result = vocr("infer", "lines", *FP32, "--model", "model.safetensors", "--cache", "cache-model")
    assert "damaged" not in result.output
    then = (here / "readings-model.tsv").read_text(encoding="utf-8")
    if torch.__version__ == (GOLDEN / "TORCH").read_text().strip() and vocr_cli.__version__ == "0.1.0":
        assert "Found in the cache: 5 lines" in result.output
        now = result.stdout.splitlines()
        assert [row for row in now if "23.png" not in row] == then.splitlines()
    assert len(list(all_records(here / "cache-model"))) > before


def test_a_cache_of_weights_that_were_embedded_once_is_kept(here: Path) -> None:
    before = {key: value for key, value in all_records(here / "cache") if key != b"ages"}
    result = vocr("infer", "lines", *FP32, "--cache", "cache")
    assert "damaged" not in result.output and "Found in the cache: 0 lines" in result.output
    after = dict(all_records(here / "cache"))
    assert len(after) > len(before) and before.items() <= after.items()


def test_a_killed_reading_is_completed(here: Path) -> None:
    """8,192 inputs are done; what follows them is read as a run of its own would."""
    journal = here / "half-read/out.tsv.partial.json"
    content = json.loads(journal.read_text(encoding="utf-8"))
    assert content["done"]["tally"]["lines"] == SECTION
    content["run"] |= {"version": vocr_cli.__version__, "runtime": f"torch {torch.__version__}"}
    (here / "out.tsv.partial.json").write_text(json.dumps(content), encoding="utf-8")
    begun = gzip.decompress((here / "half-read/out.tsv.partial.gz").read_bytes())
    (here / "out.tsv.partial").write_bytes(begun)
    shutil.copy(here / "half-read/bad.tsv.partial", here)
    names = [
        "lines/missing.png" if number % 1_000 == 7 else f"lines/{('03', '22', '17', '08')[number % 4]}.png"
        for number in range(SECTION + 20)
    ]
    for file, part in (("names.txt", names), ("tail.txt", names[SECTION:])):
        (here / file).write_text("\n".join(part) + "\n", encoding="utf-8")
    arguments = ("--model", "model.safetensors", "--precision", "fp32", "--device", "cpu")
    result = vocr("infer", "--from-file", "names.txt", *arguments, "--out", "out.tsv", "--errors", "bad.tsv",
                  "--resume", code=3)  # fmt: skip
    assert f"Resumed: {SECTION:,} lines" in result.output
    vocr("infer", "--from-file", "tail.txt", *arguments, "--out", "tail.tsv")
    done = content["done"]["out_bytes"]
    assert (here / "out.tsv").read_bytes() == begun[:done] + (here / "tail.tsv").read_bytes()
    assert (here / "bad.tsv").read_text(encoding="utf-8").count("missing.png\t") == 9
    assert not list(here.glob("*.partial*"))


def test_a_planned_config_is_one_to_train_with(here: Path) -> None:
    assert "ctc" in vocr("inspect", "autoconf.yaml").output
    sizes = ("--set", "model.channels=[8,8,16]", "--set", "model.hidden=16", "--set", "data.workers=0")
    vocr("train", "autoconf.yaml", "--out", "planned", "--device", "cpu", "--max-steps", "1", *sizes)


def test_kept_timings_are_kept(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of another machine are of no use here; that they are not thrown away shows that they are read."""
    (here / "user").mkdir()
    shutil.copy(here / "precision.json", here / "user")
    monkeypatch.setenv("VOCR_CACHE_DIR", str(here / "user"))
    (here / "many.txt").write_text("missing.png\n" * 2_000, encoding="utf-8")  # enough to be worth a timing
    result = vocr(
        "infer", "--from-file", "many.txt", "--model", "model.safetensors", "--device", "cpu", code=3
    )
    if "timed just now" not in result.output:
        pytest.skip("this CPU has one number format")
    then, now = (json.loads((here / name).read_text()) for name in ("precision.json", "user/precision.json"))
    assert now["format"] == then["format"]
    assert then["timings"][0] in now["timings"] and len(now["timings"]) == 2
    assert now["timings"][1].keys() == then["timings"][0].keys()
    assert math.isfinite(now["timings"][1]["line_s"]["fp32"])
