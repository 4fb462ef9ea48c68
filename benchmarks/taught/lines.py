"""Short clean lines, and what vi-small reads in each of their columns."""

from __future__ import annotations

import io
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from vocr_cli.core.data.lmdb.store import LineStore
from vocr_cli.core.models.files import load_model
from vocr_cli.core.models.vietocr.constants import VIETOCR_CHARACTERS
from vocr_cli.core.text import clean

COLUMN_PX, TEACHER_HEIGHT_PX, STUDENT_HEIGHT_PX = 4, 40, 32
WIDTH_STEP_PX, WIDEST_PX = 20, 240


@dataclass(frozen=True)
class Line:
    """A line at the student's height, what vi-small reads in each 4 px, and its text."""

    pixels: Tensor
    columns: Tensor
    text: str


def cut_phrases(files: Sequence[Path], folder: Path) -> None:
    """Writes phrases of one to four words, train.txt and valid.txt, which has each twentieth paragraph."""
    dice = random.Random(5)
    paragraphs = [row for file in files for row in file.read_text(encoding="utf-8").splitlines()]
    dice.shuffle(paragraphs)
    phrases: dict[str, list[str]] = {"train": [], "valid": []}
    for number, paragraph in enumerate(paragraphs):
        words, start = clean(paragraph).split(), 0
        while start < len(words):
            count = dice.choice((1, 1, 2, 2, 3, 3, 4))
            phrase = " ".join(words[start : start + count])
            start += count
            phrase = phrase.upper() if dice.random() < 0.12 else phrase
            if len(phrase) <= 24 and set(phrase) <= set(VIETOCR_CHARACTERS):
                phrases["train" if number % 20 else "valid"].append(phrase)
    for name, some in phrases.items():
        dice.shuffle(some)
        (folder / f"{name}.txt").write_text("\n".join(some[:60_000]) + "\n", encoding="utf-8")


def render(folder: Path, name: str, count: int, seed: int, fonts: Sequence[str]) -> Path:
    """Renders clean lines of the phrases with `vocr synth`."""
    out = folder / f"{name}.lmdb"
    if not out.exists():
        command = [
            sys.executable,
            "-m",
            "vocr_cli",
            "synth",
            str(out),
            "--count",
            str(count),
            "--seed",
            str(seed),
        ]
        command += ["--text", str(folder / f"{name}.txt"), "--text-share", "1", "--strength", "0", "--grey"]
        subprocess.run(command + [part for font in fonts for part in ("--fonts", font)], check=True)
    return out


def taught_lines(database: Path) -> list[Line]:
    """The lines that vi-small reads as labelled, with its class of each column."""
    teacher = load_model("vi-small")
    store, by_width = LineStore(database), defaultdict[int, list[tuple[Tensor, Tensor, str]]](list)
    for number in range(len(store)):
        stored = store[number]
        if ".." in stored.text or not set(stored.text) <= set(VIETOCR_CHARACTERS):
            continue
        image = Image.open(io.BytesIO(stored.image)).convert("L")
        natural = image.width * STUDENT_HEIGHT_PX // image.height
        width = max(2, -(-natural // WIDTH_STEP_PX)) * WIDTH_STEP_PX
        if width <= WIDEST_PX:
            low = image.resize((width, STUDENT_HEIGHT_PX), Image.Resampling.LANCZOS)
            high = image.resize((width, TEACHER_HEIGHT_PX), Image.Resampling.BILINEAR)
            by_width[width].append((_as_tensor(low), _as_tensor(high), stored.text))
    lines: list[Line] = []
    for width, group in by_width.items():
        for start in range(0, len(group), 256):
            part = group[start : start + 256]
            images = torch.stack([high for _, high, _ in part]).float()[:, None] / 255
            images = F.pad(images, (0, -width % 8), value=1.0)
            with torch.no_grad():
                columns = torch.full((len(part),), images.shape[3] // COLUMN_PX)
                logits: Tensor = teacher.module(images, columns)
            best = logits.argmax(-1)[:, : width // COLUMN_PX]
            for number, (pixels, _, text) in enumerate(part):
                row = best[number].clone()
                read = [teacher.charset.characters[int(row[first]) - 1] for first, _ in spans(row)]
                if "".join(read) == text:
                    lines.append(Line(pixels, row, text))
    return lines


def _as_tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image))


def spans(columns: Tensor) -> list[tuple[int, int]]:
    """First and last column of each character of a line's classes, (T,), blanks and repeats merged."""
    classes, found = columns.tolist(), list[tuple[int, int]]()
    for place, number in enumerate(classes):
        if number and place and number == classes[place - 1]:
            found[-1] = (found[-1][0], place)
        elif number:
            found.append((place, place))
    return found
