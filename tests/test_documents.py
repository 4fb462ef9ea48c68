"""The commands and programs of the documents run, and the readings that they show are real.

Every command of a fenced block runs here, in the order of its page, on tiny data in a folder of its own.
What is shortened, and what runs elsewhere, stands in the tables below, each with its reason. The Vietnamese
pages have the commands of the English ones, which `test_documents_agree.py` holds to, so these run once.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from conftest import line_image
from documents import MIRRORS, ROOT, blocks, commands, text_of
from PIL import Image
from tiny_vietocr import make_model
from typer.testing import CliRunner

from vocr_cli.app import app

PLACEHOLDERS = {"PATHS...": "examples/lines"}
"""What a reader puts in, and what stands for it here; FOLDER and files are made under their names."""

SHORTER = {
    "vocr train": "--max-steps 2 --device cpu --set data.workers=0",  # a whole training takes minutes
    "vocr train --resume runs/mine": "--max-steps 3",  # two steps are done
    "vocr autoconf": "--no-probe --device cpu",  # timings take some forty seconds
    "vocr infer": "--device cpu --workers 1",
    "vocr synth": "--count 4",  # the last of an option counts
    "vocr export weights.pth weights.int8.onnx": "--calibrate FOLDER",  # by default, rendered lines
}
"""Options that are added, by the beginnings of commands; all that fit."""

BEFORE = {
    "docs/reading.md": ["vocr build-lmdb labels.tsv train.lmdb"],
    "docs/several-gpus.md": ["vocr build-lmdb labels.tsv train.lmdb --valid-share 0.3",
                             "vocr autoconf --data train.lmdb --out config.yaml"],
}  # fmt: skip
"""Commands of other pages whose results a page takes up."""

ELSEWHERE = {
    "make": "a whole installation; test_documents_agree.py looks the targets up in the Makefile",
    "torchrun": "two processes: the slow test of several GPUs",
    "vocr bench infer": "processes that are measured: the slow test of bench infer",
    "vocr bench": "minutes of measuring: the tests of each bench run it; here only options are looked up",
    "vocr read": "a detector of lines, an extra: tests/commands/test_read_pages.py",
    "vocr build-lmdb lines/": "lines that `vocr read --lines` leaves: test_read_pages.py",
    "vocr label": "a server: tests/commands/web and tests/browser",
    "vocr serve": "a server: tests/commands/web",
    "examples/": "minutes of training; test_documents_agree.py looks its options up in the scripts",
}
"""What does not run with the other commands of its page, and where it is checked.

Commands within sentences, the one with `--engine ray` among them, are not run: test_documents_agree.py looks
their options up."""

runner = CliRunner()


def shortened(command: str) -> list[str]:
    """A command's words, its placeholders filled and the options of `SHORTER` added."""
    words = [PLACEHOLDERS.get(word, word) for word in shlex.split(command)]
    more = [option for start, option in SHORTER.items() if command.startswith(start)]
    for option in shlex.split(" ".join(more)):
        if option != "--no-probe" or option not in words:
            words.append(option)
    return words


def run_vocr(command: str) -> str:
    """What a command writes to stdout; it must end well."""
    result = runner.invoke(app, shortened(command)[1:])
    assert result.exit_code == 0, f"{command}\n{result.output}\n{result.exception!r}"
    return result.stdout


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny steps in several threads wait for each other, longest where the machine is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """The files that the pages name: examples, labels, a model of ours, VietOCR's weights and YAML."""
    from vocr_cli.core.export.vietocr import save_for_vietocr

    folder = tmp_path_factory.mktemp("documents")
    shutil.copytree(ROOT / "examples" / "lines", folder / "examples" / "lines")
    shutil.copytree(ROOT / "examples" / "fonts", folder / "examples" / "fonts")
    for name in ("images", "FOLDER", "TEXT_FOLDER"):
        (folder / name).mkdir()
    spoken = (ROOT / "examples" / "lines" / "labels.tsv").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line.partition("\t")[2] for line in spoken)
    (folder / "TEXT_FOLDER" / "a.txt").write_text(text, encoding="utf-8")
    rows = []
    for index in range(24):
        line_image(index, width=80 + 20 * (index % 3)).save(folder / "images" / f"{index}.png")
        label = "abcdefghij 0123456789"[index % 7 :][:8].strip()  # characters that VietOCR's tiny model has
        rows.append(f"images/{index}.png\t{label}\n")
    line_image(3).save(folder / "FOLDER" / "line.png")
    for name in ("labels.tsv", "corrected.tsv"):
        (folder / name).write_text("".join(rows[:20]), encoding="utf-8")
    (folder / "valid.tsv").write_text("".join(rows[20:]), encoding="utf-8")
    shutil.copy(tiny_model, folder / "best.safetensors")
    for name in ("transformerocr", "weights"):
        save_for_vietocr(folder / f"{name}.pth", make_model())
    tree = yaml.safe_load((folder / "weights.yml").read_text(encoding="utf-8"))
    (folder / "weights.yml").unlink()  # that page names it with --config
    tree["trainer"] = {"batch_size": 2, "print_every": 1, "valid_every": 2, "iters": 2}
    tree["dataset"] = {**tree["dataset"], "name": "d", "data_root": ".", "train_annotation": "labels.tsv",
                       "valid_annotation": "valid.tsv"}  # fmt: skip
    (folder / "config.yml").write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")
    return folder


def enter(prepared: Path, folder: Path, page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goes to a folder that holds what is prepared for a page."""
    shutil.copytree(prepared, folder, dirs_exist_ok=True)
    monkeypatch.chdir(folder)
    for command in BEFORE.get(page, []):
        run_vocr(command)


# Those of docs/pages.md need a detector or lines that `vocr read` left: tests/commands/test_read_pages.py.
@pytest.mark.parametrize(
    "page", [page for page in MIRRORS if page not in ("docs/several-gpus.md", "docs/pages.md")]
)
def test_the_commands_of_a_page_run(
    page: str, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if page in ("docs/reading.md", "docs/vietocr.md"):
        pytest.importorskip("onnx", reason="int8 files are written with the extra onnx")
    enter(prepared, tmp_path, page, monkeypatch)
    chosen = [command for command in commands(page) if not command.startswith(tuple(ELSEWHERE))]
    assert chosen
    for command in chosen:
        run_vocr(command)
        for option in ("--out", "--report", "--json", "--preview", "--preview-batch"):
            words = shlex.split(command)
            if option in words:
                assert Path(words[words.index(option) + 1]).exists(), f"{command}: nothing at {option}"


@pytest.mark.parametrize("page", [page for page in MIRRORS if blocks(page, "python")])
def test_the_python_of_a_page_runs(
    page: str,
    prepared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The tiny weights of VietOCR's have a YAML of their own, in place of the named config."""
    enter(prepared, tmp_path, "", monkeypatch)
    for block in blocks(page, "python"):
        weights = 'config["weights"]'
        code = block.replace(weights, f'config = Cfg.load_config_from_file("config.yml")\n{weights}')
        names: dict[str, object] = {}
        exec(compile(code, page, "exec"), names)
        shown = capsys.readouterr().out
        if "Predictor" in code:
            assert isinstance(names["text"], str)
        else:
            assert shown.startswith("PHIẾU NHẬP KHO SỐ 0457/PN-KT")


def test_the_output_that_is_shown_is_what_infer_writes(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Confidence differs in its last digits from one number format to the next; path and text do not."""
    enter(prepared, tmp_path, "", monkeypatch)
    command, *shown = next(
        block for block in blocks("docs/reading.md") if block.startswith("$ ")
    ).splitlines()
    written = [row.split("\t") for row in run_vocr(command[2:]).splitlines()]
    rows = [line.split("\t") for line in shown if line != "..."]
    assert len(rows) == 3 and [row[:2] for row in rows] == [row[:2] for row in written[:3]]
    for row, actual in zip(rows, written, strict=False):
        assert float(row[2]) == pytest.approx(float(actual[2]), abs=0.01)


def test_the_strip_of_lines_shows_what_vi_small_reads() -> None:
    from vocr_cli import Recognizer

    row = re.compile(r'^\| <img src="(\S+)".*?> \| (.*) \|$', re.MULTILINE)
    strips = [row.findall(text_of(page)) for page in ("README.md", "README.vi.md")]
    assert len(strips[0]) >= 2 and strips[0] == strips[1]
    images = [Image.open(ROOT / path) for path, _ in strips[0]]
    readings = Recognizer.load("vi-small", "cpu", "fp32").read(images)
    assert [reading.text for reading in readings] == [text for _, text in strips[0]]


@pytest.mark.slow
def test_torchrun_trains_with_two_processes(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(prepared, tmp_path, "docs/several-gpus.md", monkeypatch)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (command,) = commands("docs/several-gpus.md")
    words = [*shlex.split(command)[1:], *shlex.split(SHORTER["vocr train"])]
    done = subprocess.run([sys.executable, "-m", "torch.distributed.run", "--standalone", *words],
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert Path("runs/mine/checkpoints/best.safetensors").exists()


@pytest.mark.slow
def test_bench_infer_measures_the_examples(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(prepared, tmp_path, "", monkeypatch)
    (command,) = [line for line in commands("docs/reading.md") if line.startswith("vocr bench infer")]
    if shutil.which("tesseract") is None:
        command = command.replace(" --against tesseract", "")
    assert "lines/s" in run_vocr(f"{command} --limit 2 --precision fp32")
