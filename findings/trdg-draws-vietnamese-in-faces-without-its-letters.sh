#!/usr/bin/env bash
# TRDG asked for Vietnamese takes words of a dictionary of which one in eight has a Vietnamese mark (the rest: Bristol, Occitanie, ...), and draws
# them in its Latin faces, half of which have no ợ or ữ, and so labels boxes and gaps with those letters. One would expect Vietnamese words and
# faces that have their letters; met by who renders lines to train VietOCR or PARSeq (trdg 1.8.0, pillow 9.5.0).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check pillow==9.5.0 numpy==1.26.4 fonttools==4.60.1 requests==2.32.5 \
  opencv-python-headless==4.11.0.86 beautifulsoup4==4.14.2 arabic-reshaper==3.0.0 python-bidi==0.6.6 tqdm==4.67.1 wikipedia==1.4.0
env/bin/python -m pip install --quiet --disable-pip-version-check --no-deps trdg==1.8.0
cat >probe.py <<'PY'
import unicodedata
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import trdg
from fontTools.ttLib import TTFont
from trdg.generators import GeneratorFromStrings
from trdg.utils import load_dict, load_fonts

print(*(f"{name} {version(name)}" for name in ("trdg", "pillow")))
warnings.simplefilter("ignore", DeprecationWarning)
vowels, tones = "aăâeêioôơuưy", ["", "\u0300", "\u0309", "\u0303", "\u0301", "\u0323"]
marked = {unicodedata.normalize("NFC", vowel + tone) for vowel in vowels for tone in tones} - set("aeiouy") | {"đ"}
words = [unicodedata.normalize("NFC", word) for word in load_dict(str(Path(trdg.__file__).parent / "dicts" / "vi.txt"))]
with_marks = sum(bool(marked & set(word.lower())) for word in words)
print(f"dicts/vi.txt: {len(words):,} words, {with_marks / len(words):.0%} with a mark of Vietnamese, such as", *words[1000:1008])


def drawn(text, face):
    image, label = next(GeneratorFromStrings([text], language="vi", fonts=[face], background_type=1, fit=True))
    assert label == text
    return np.asarray(image)


faces = sorted(load_fonts("vi"))
lacking = [face for face in faces if ord("ợ") not in TTFont(face, lazy=True).getBestCmap()]
blind = []
for face in faces:
    try:
        one, other = drawn("ợ", face), drawn("ữ", face)
    except (TypeError, ValueError):  # nothing was drawn, so there is nothing to crop
        blind.append(face)
        continue
    if np.array_equal(one, other):
        blind.append(face)
print(f"{len(lacking)} of {len(faces)} faces have no ợ; {len(blind)} draw ợ and ữ alike, labelled ợ and ữ:")
print(*sorted({Path(face).stem.partition("-")[0].partition("_")[0] for face in blind}))
assert with_marks < 0.3 * len(words), "the dictionary is Vietnamese now"
assert len(blind) > 0.3 * len(faces), "most faces have the letters now"
PY
env/bin/python probe.py
