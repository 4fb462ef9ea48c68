"""Runs what the documents tell a new user to type; benchmarks/first_hour.sh calls it, and says how.

It needs nothing but the standard library, and imports nothing of vocr: all of that lies in the environment.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from documents import MIRRORS, blocks  # noqa: E402

PLACEHOLDERS = {"PATHS...": "examples/lines", "PAGES...": "scans"}
"""What a reader puts in; FOLDER, TEXT_FOLDER and the files lie in each page's folder under their names."""

NOT_RUN = {
    "examples/finetune.sh": "half an hour of training; its commands are those of docs/training.md",
    "examples/compress.sh": "half an hour of training; its commands are those of docs/training.md",
    "curl ": "asks the server that the command before it has started; its tests ask the same",
    "python -m venv .venv": "sets up a checkout, as make setup does",
    ".venv/bin/python ": "belongs to a checkout",
}
"""Beginnings of commands that are not run, each with the reason."""

NO_COMMANDS = "vocr_cli/            the package"
"""How the block that lists the repository's folders begins."""

NEEDS = {
    "vocr autoconf": "train", "vocr train": "train", "vocr export": "train", "torchrun": "train",
    "vocr bench train": "train", "vocr bench data": "train", "vocr bench claims": "train",
    "vocr infer FOLDER --model transformerocr.pth": "train", "vocr infer FOLDER --model weights.pth": "train",
    "pip install 'vocr-cli[train]'": "train", "pip install 'vocr-cli[train,gpu]'": "train",
    "make demo": "train",
}  # fmt: skip
"""Beginnings of commands and the extra that they need."""

SERVERS = ("vocr label", "vocr serve")
"""Beginnings of commands that go on until Ctrl-C."""

AFTER_TRAINING = re.compile(r"\bruns/|\bconfig\.yaml|\bpruned\.|vocr_cli\.vietocr")
"""What a command or program takes up that only the extra `train` makes."""

BEFORE = {
    "docs/reading.md": ["vocr build-lmdb labels.tsv train.lmdb"],
    "docs/several-gpus.md": ["vocr build-lmdb labels.tsv train.lmdb --valid-share 0.05",
                             "vocr autoconf --data train.lmdb --no-probe --out config.yaml"],
}  # fmt: skip
"""Commands of other pages whose results a page takes up."""

ODD = re.compile("[\u00a1-\u00bf×€₫–—“”‘’•…]")
"""Signs that VietOCR's alphabet lacks: its users have no labels with them."""

REMEDY = re.compile(r"Remedy: .*?(pip install 'vocr-cli\[(\w+)\]')")
LIMIT_S, GRACE_S = 1800, 60.0
ON_ONE_CORE = {"OMP_NUM_THREADS": "1"}

PAGE = """
from pathlib import Path
from PIL import Image

lines = [Image.open(path).convert("L") for path in sorted(Path("examples/lines/images").glob("*.png"))[:8]]
page = Image.new("L", (1240, 1000), 255)
for number, line in enumerate(lines):
    page.paste(line.resize((round(line.width * 32 / line.height), 32)), (100, 80 + 90 * number))
Path("scans").mkdir()
page.save("scans/page.png", dpi=(150, 150))
"""
"""Makes a page of the example lines."""

VIETOCR_FILES = """
import yaml
from pathlib import Path
import torch
from vocr_cli.core.export.vietocr import save_for_vietocr
from vocr_cli.core.models.files import ModelFile, build_module
from vocr_cli.core.models.vietocr.constants import VIETOCR_CHARACTERS, VIETOCR_IMAGE, VietocrConfig
from vocr_cli.core.text import Charset
from vocr_cli.vietocr import Cfg

torch.manual_seed(0)
charset = Charset(VIETOCR_CHARACTERS)
module = build_module(VietocrConfig(), VIETOCR_IMAGE, charset).eval()
save_for_vietocr(Path("transformerocr.pth"), ModelFile(module, VietocrConfig(), VIETOCR_IMAGE, charset))
Path("transformerocr.yml").unlink()
Path("weights.pth").hardlink_to("transformerocr.pth")
config = dict(Cfg.load_config_from_name("vgg_transformer"))
config["dataset"] = {**config["dataset"], "data_root": ".", "train_annotation": "labels.tsv",
                     "valid_annotation": "valid.tsv"}
config["trainer"] = {**config["trainer"], "batch_size": 4, "print_every": 2}
Path("config.yml").write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
"""
"""Writes weights and a YAML as a user of VietOCR has them, their size VietOCR's, their values random."""


@dataclass
class Hour:
    """What is typed where, and what came of it."""

    folder: Path
    with_train: bool
    environment: dict[str, str]
    failures: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    runs: int = 0

    def run(self, words: str | list[str], log: Path, place: Path, interrupt: bool = False) -> tuple[int, str]:
        """Runs a command line of a shell, or words, in the folder `place`; its output also goes to `log`.

        With `interrupt`, Ctrl-C ends it as soon as steps were taken, or some time after its first scores, or
        when it has said the address of a page.

        Returns:
            Its exit code and output.
        """
        with log.open("wb") as file:
            process = subprocess.Popen(
                words, shell=isinstance(words, str), cwd=place,
                env=self.environment, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                start_new_session=True, executable="/bin/bash" if isinstance(words, str) else None,
            )  # fmt: skip
            try:
                if interrupt:
                    wait_for_steps(process, log)
                    if "vocr label" in words:
                        accept_lines(log)
                    if process.poll() is None:
                        os.killpg(process.pid, signal.SIGINT)
                code = process.wait(LIMIT_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                code = process.wait()
        return code, log.read_text(encoding="utf-8", errors="replace")


def wait_for_steps(process: subprocess.Popen[bytes], log: Path) -> None:
    """Returns when a training has shown a step, a while after it showed scores, or when it ended."""
    scored_at = None
    end = time.monotonic() + LIMIT_S
    while process.poll() is None and time.monotonic() < end:
        text = log.read_text(encoding="utf-8", errors="replace")
        if scored_at is None and "| CER " in text:
            scored_at = time.monotonic()
        if re.search(r"step [1-9]\d* \| loss|http://127\.0\.0\.1:\d+", text):
            return
        if scored_at is not None and time.monotonic() - scored_at > GRACE_S:
            return
        time.sleep(1)


def accept_lines(log: Path, count: int = 24) -> None:
    """Presses Enter on some lines of a labelling page whose address stands in the log."""
    address = re.search(r"(http://127\.0\.0\.1:\d+)/\?token=(\S+)", log.read_text(encoding="utf-8"))
    if not address:
        return

    def ask(path: str, **sent: object) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {address[2]}"}
        request = urllib.request.Request(address[1] + path, json.dumps(sent).encode(), headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    for _ in range(count):
        (line,) = ask("/api/next", order="source", show="undecided", tab="a", count=1)["lines"]
        shown = {"line": line["id"], "version": line["version"], "image": line["image"]}
        text = line["label"] or (line["reading"] or {}).get("text") or "chưa đọc"
        ask("/api/decide", **shown, verdict="text", text=text)


def typed(page: str) -> Iterator[tuple[str, str]]:
    """Yields the fenced blocks of a page line by line: `command` or `python`, and what is typed."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for language in re.findall(r"^```(\w*)\n.*?^```$", text, re.MULTILINE | re.DOTALL):
        if language not in ("", "python", "bash"):
            sys.exit(f"{page}: nobody knows how to run a block of {language}.")
    for block in blocks(page) + blocks(page, "bash"):
        lines = block.splitlines()
        if lines[0].startswith(NO_COMMANDS):
            continue
        if lines[0].startswith("$ "):  # what a command writes follows it
            lines = [line[2:] for line in lines if line.startswith("$ ")]
        for line in lines:
            yield "command", re.sub(r" +# .*", "", line)
    for block in blocks(page, "python"):
        yield "python", block


def prepare(hour: Hour, place: Path) -> None:
    """Lays out what a reader of a page has: the repository's examples, line images, labels, models."""
    place.mkdir()
    for name in ("lines", "fonts"):
        shutil.copytree(ROOT / "examples" / name, place / "examples" / name)
    (place / "FOLDER").mkdir()
    for name in ("00.png", "03.png"):
        shutil.copy(place / "examples" / "lines" / "images" / name, place / "FOLDER")
    labels = (place / "examples" / "lines" / "labels.tsv").read_text(encoding="utf-8").splitlines()
    (place / "TEXT_FOLDER").mkdir()
    text = "\n".join(line.split("\t")[1] for line in labels) + "\n"
    (place / "TEXT_FOLDER" / "text.txt").write_text(text, encoding="utf-8")
    rendered = hour.folder / "rendered"
    if not rendered.exists():
        hour.run(["vocr", "synth", str(rendered), "--count", "120", "--seed", "5", "--fonts",
                  str(ROOT / "examples" / "fonts")], place.with_suffix(".synth.log"), place)  # fmt: skip
    shutil.copytree(rendered / "images", place / "images")
    rows = (rendered / "labels.tsv").read_text(encoding="utf-8").splitlines(keepends=True)
    rows = [row for row in rows if not ODD.search(row)]
    (place / "labels.tsv").write_text("".join(rows[:100]), encoding="utf-8")
    (place / "valid.tsv").write_text("".join(rows[100:]), encoding="utf-8")
    assets = next((hour.folder / "env").glob("lib/python*/site-packages/vocr_cli/assets"))
    shutil.copy(assets / "vi-small.safetensors", place / "best.safetensors")
    for name in ("transformerocr.pth", "weights.pth"):
        (place / name).write_bytes(b"")  # without torch nothing can write, or read, more
    code, output = hour.run(["python", "-c", PAGE], place.with_suffix(".page.log"), place)
    if code:
        sys.exit(f"A page could not be made:\n{output}")
    if hour.with_train:
        for name in ("transformerocr.pth", "weights.pth"):
            (place / name).unlink()
        code, output = hour.run(["python", "-c", VIETOCR_FILES], place.with_suffix(".vietocr.log"), place)
        if code:
            sys.exit(f"VietOCR's files could not be made:\n{output}")


def type_in(hour: Hour, place: Path, kind: str, text: str, number: int) -> None:
    """Types one command or program, and looks how it ends."""
    shown = text if kind == "command" else f"python: {text.splitlines()[0]} …"
    for start, reason in NOT_RUN.items():
        if text.startswith(start):
            hour.left_out[text] = reason
            return
    if "tesseract" in text and not shutil.which("tesseract"):
        hour.left_out[text] = "tesseract is not installed here"
        return
    extra = next((extra for start, extra in NEEDS.items() if text.startswith(start)), None)
    needless = text.startswith(("pip ", "make ")) if extra else AFTER_TRAINING.search(text)
    if needless and not hour.with_train:
        hour.left_out[shown] = "with --train"
        return
    log = place.parent / f"{place.name}.{number:02d}.log"
    words = " ".join(PLACEHOLDERS.get(word, word) for word in text.split(" "))
    line = words if kind == "command" else ["python", "-c", text]
    began = time.monotonic()
    trains = bool(re.match(r"vocr train (?!.*--preview-batch)|torchrun ", text))
    at = hour.folder / "source" if text.startswith("make ") else place
    serves = text.startswith(SERVERS)
    code, output = hour.run(line, log, at, interrupt=serves or (trains and hour.with_train))
    fault = judge(hour, text, code, output, extra, trains)
    if not fault and (match := REMEDY.search(output)) and hour.with_train:
        hour.runs += 1
        print(f"      {match[1]}    (the remedy of what follows, pasted)", flush=True)
        installed, output = hour.run(match[1], log, at)
        code, output = (installed, output) if installed else hour.run(line, log, at)
        fault = f"after {match[1]} it ends with {code}" if code else ""
    hour.runs += 1
    print(f"{'FAULT' if fault else '  ok '} {code:3d} {time.monotonic() - began:6.1f} s  {shown}", flush=True)
    if fault:
        hour.failures.append(f"{shown}\n    {fault}\n    {log}")
        print("\n".join(f"      | {line}" for line in output.splitlines()[-12:]), flush=True)


def judge(hour: Hour, text: str, code: int, output: str, extra: str | None, trains: bool) -> str:
    """What is wrong with how a command ended; an empty text: nothing."""
    if "Traceback" in output and not (trains and text.startswith("torchrun") and "Saved. Go on" in output):
        return "ends with a traceback"  # torchrun itself ends so on Ctrl-C
    missing = REMEDY.search(output) if code == 1 else None
    if extra and not hour.with_train:
        if text.startswith("torchrun"):
            return "" if code == 127 else "torchrun is there without torch"
        return (
            "" if missing and missing[2] == extra else f"is not refused with the extra {extra} as its remedy"
        )
    if missing and hour.with_train and missing[2] != "train":
        return ""  # pasted next
    if text.startswith(SERVERS) and code == 130:
        return ""
    if trains and code == 130:
        return "" if "vocr train --resume" in output else "Ctrl-C gives no hint how to go on"
    if text.startswith("torchrun") and code:  # which has exit codes of its own
        return "" if "Saved. Go on with: torchrun --nproc-per-node 2" in output else "Ctrl-C does not save"
    return f"ends with {code}" if code else ""


def main() -> None:
    """Types everything, page by page, and ends with 1 if something ended as its page does not say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("pages", nargs="*")
    parser.add_argument("--train", action="store_true")
    given = parser.parse_args()
    pages = given.folder / "pages"
    shutil.rmtree(pages, ignore_errors=True)
    shutil.rmtree(given.folder / "rendered", ignore_errors=True)
    (pages / "install").mkdir(parents=True)
    environment = {
        **os.environ,
        "PATH": f"{given.folder / 'env' / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "VIRTUAL_ENV": str(given.folder / "env"),
        "VOCR_CACHE_DIR": str(given.folder / "cache"),
        "PIP_FIND_LINKS": f"{os.environ.get('PIP_FIND_LINKS', '')} {given.folder / 'wheel'}".strip(),
        "PYTHONUTF8": "1",
    }
    shutil.rmtree(given.folder / "cache", ignore_errors=True)
    hour = Hour(given.folder, given.train, environment)
    began = time.monotonic()
    for page in MIRRORS:  # the mirrors have the same commands, to which a test holds them
        if given.pages and page not in ("README.md", *given.pages):
            continue
        print(page, flush=True)
        place = pages / re.sub(r"\W+", "-", page.removesuffix(".md"))
        entries = list(typed(page))
        if page == "README.md":
            for number, (_, text) in enumerate(entries):
                if text.startswith("pip "):
                    type_in(hour, pages / "install", "command", text, number)
            entries = [entry for entry in entries if not entry[1].startswith("pip ")]
            if given.pages and page not in given.pages:  # nothing but its installation
                continue
        prepare(hour, place)
        for number, command in enumerate(
            BEFORE.get(page, []) if given.train or "several" not in page else []
        ):
            if hour.run(command, pages / f"{place.name}.before{number}.log", place)[0]:
                sys.exit(f"{command} fails.")
        for number, (kind, text) in enumerate(entries):
            type_in(hour, place, kind, text, number)
    print(f"\n{hour.runs} runs in {(time.monotonic() - began) / 60:.0f} min, {len(hour.failures)} faults")
    for text, reason in hour.left_out.items():
        print(f"not run: {text}: {reason}")
    for failure in hour.failures:
        print(f"FAULT: {failure}")
    sys.exit(bool(hour.failures))


if __name__ == "__main__":
    main()
