"""Reading takes no torch: `infer`, `eval` and the recogniser itself, where there is none."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import EXAMPLE_LINES, FONTS
from PIL import Image, ImageDraw, ImageFont

pytest.importorskip("onnxruntime")

Vocr = Callable[..., subprocess.CompletedProcess[str]]

LINES = EXAMPLE_LINES / "images"
RUN = (
    "import sys\n"
    "from vocr_cli.app import main\n"
    "sys.argv[0] = 'vocr'\n"
    "try:\n    main()\n"
    "finally:\n    print('torch' in sys.modules, file=sys.stderr)"
)

SMALL_SECTIONS = (  # of four lines, so that few suffice to be cut off
    "from vocr_cli.core.inference import pipeline\npipeline._SINGLE_SECTION = 4\n"
    "from vocr_cli.core.inference.outputs import output\n"
    "output._SINGLE_STEP, output._NOTED_EVERY_S = 4, -1\n"
)


@pytest.fixture
def python(without_torch: dict[str, str], tmp_path: Path) -> Vocr:
    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(
            command, env=without_torch, cwd=tmp_path, capture_output=True, text=True, timeout=100
        )

    return run


@pytest.fixture
def vocr(python: Vocr) -> Vocr:
    """Runs a command that is to succeed without torch."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        done = python("-c", RUN, *arguments)
        assert done.returncode == 0, done.stderr
        assert done.stderr.splitlines()[-1] == "False"
        return done

    return run


def texts(tsv: str) -> list[str]:
    return [row.split("\t")[1] for row in tsv.splitlines()]


def labels() -> list[str]:
    return texts((EXAMPLE_LINES / "labels.tsv").read_text(encoding="utf-8"))


def test_the_example_lines_are_read(vocr: Vocr) -> None:
    done = vocr("infer", LINES)
    assert "Precision int8 in onnxruntime" in done.stderr
    right = sum(text == label for text, label in zip(texts(done.stdout), labels(), strict=True))
    assert right > 0.8 * len(labels())


def test_a_beam_gives_alternatives(vocr: Vocr) -> None:
    done = vocr("infer", LINES / "00.png", "--beam", 4, "--format", "jsonl")
    (row,) = map(json.loads, done.stdout.splitlines())
    offered = [alternative["text"] for alternative in row["alternatives"]]
    assert len(set(offered)) == 4 and row["text"] == offered[0] == labels()[0]


def test_limits_to_characters_hold(vocr: Vocr) -> None:
    for beam in (1, 4):
        read = texts(vocr("infer", LINES, "--allow", "0123456789", "--deny", "7", "--beam", beam).stdout)
        assert "".join(read) and set("".join(read)) <= set("012345689")


def test_a_cache_gives_the_same_readings(vocr: Vocr, tmp_path: Path) -> None:
    first = vocr("infer", LINES, "--cache", tmp_path / "cache")
    second = vocr("infer", LINES, "--cache", tmp_path / "cache")
    assert second.stdout == first.stdout and f"Found in the cache: {len(labels())} lines" in second.stderr


def test_an_interrupted_run_is_resumed_with_what_it_was_begun_with(
    python: Vocr, vocr: Vocr, tmp_path: Path
) -> None:
    out = tmp_path / "out.tsv"
    whole = vocr("infer", LINES, "--runtime", "onnxruntime").stdout
    begun = python(
        "-c",
        "from pathlib import Path\n"
        f"{SMALL_SECTIONS}"
        "from vocr_cli.core.inference.inputs.inputs import Inputs\n"
        "from vocr_cli.core.inference.read import ReadRequest, start_reading\n"
        f"request = ReadRequest(inputs=Inputs([Path({str(LINES)!r})]), out=Path('out.tsv'))\n"
        "results = start_reading(request, print).results(print, lambda count: None)\n"
        "for _ in range(10):\n    next(results)\n"
        "results.close()",
    )
    assert begun.returncode == 0 and (tmp_path / "out.tsv.partial").is_file(), begun.stderr
    resumed = python("-c", SMALL_SECTIONS + RUN, "infer", LINES, "--out", out, "--resume")
    assert resumed.returncode == 0 and resumed.stderr.splitlines()[-1] == "False", resumed.stderr
    assert "Resumed: 8 lines" in resumed.stderr and out.read_text(encoding="utf-8") == whole


def test_a_crowded_dot_leader_is_read_stretched(vocr: Vocr, tmp_path: Path) -> None:
    text = "Chương 1" + "." * 40 + "12"
    font = ImageFont.truetype(FONTS / "BeVietnam-Regular.ttf", 30)
    image = Image.new("L", (round(font.getlength(text) * 0.9) + 12, 44), 250)
    x_px = 6.0
    for char in text:
        ImageDraw.Draw(image).text((x_px, 2), char, 20, font)
        x_px += font.getlength(char) * (0.8 if char == "." else 1)
    image.crop((0, 0, round(x_px) + 6, 44)).save(tmp_path / "leader.png")
    (row,) = map(json.loads, vocr("infer", "leader.png", "--format", "jsonl").stdout.splitlines())
    assert "crowded" in row["flags"] and row["text"].startswith("Chương 1....")


@pytest.mark.parametrize("beam", [1, 4])
def test_labelled_lines_are_scored(vocr: Vocr, tmp_path: Path, beam: int) -> None:
    vocr("eval", EXAMPLE_LINES, "--beam", beam, "--json", tmp_path / "scores.json")
    scores = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert scores["cer"]["value"] < 0.05 and scores["lines"] == len(labels())


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_an_onnx_file_is_a_model(vocr: Vocr, tmp_path: Path, runtime: str) -> None:
    pytest.importorskip(runtime)
    import vocr_cli

    companion = Path(vocr_cli.__file__).parent / "assets" / "vi-small.int8.onnx"
    model = shutil.copy(companion, tmp_path / "x.onnx")
    done = vocr("infer", LINES / "00.png", "--model", model, "--runtime", runtime)
    assert texts(done.stdout) == labels()[:1] and f"Precision int8 in {runtime}" in done.stderr


def test_the_recogniser_reads_images(python: Vocr) -> None:
    done = python(
        "-c",
        "import sys\n"
        "from PIL import Image\n"
        "from vocr_cli import Recognizer\n"
        f"print(Recognizer.load().read([Image.open({str(LINES / '00.png')!r})])[0].text)\n"
        "assert 'torch' not in sys.modules",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == labels()[:1]


@pytest.mark.parametrize("command", ["infer", "eval"])
@pytest.mark.parametrize("asked", [("--precision", "bf16"), ("--precision", "fp32"), ("--runtime", "torch")])
def test_what_takes_torch_ends_in_one_sentence(python: Vocr, command: str, asked: tuple[str, str]) -> None:
    done = python("-c", RUN, command, EXAMPLE_LINES, *asked)
    assert done.returncode == 1 and done.stdout == ""
    problem, remedy, loaded = done.stderr.splitlines()[-3:]
    assert problem.startswith("Error: ") and "needs torch." in problem
    assert remedy == "Remedy: Install it: pip install 'vocr-cli[train]'" and loaded == "False"
    assert "Traceback" not in done.stderr
