#!/usr/bin/env bash
# EasyOCR's decoder='beamsearch' reads a doubled character once (2011 as 201) where only one column of blank parts the two, however sure the
# network is of all three columns, so that it errs where greedy decoding does not. One would expect beam search to be no worse; met by who asks
# for it to read amounts, dates and numbers of small or narrow Vietnamese print better (easyocr 1.7.2, numpy 2.3.5).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check numpy==2.3.5 scipy==1.16.3 pillow==12.0.0 opencv-python-headless==4.11.0.86 \
  rapidfuzz==3.14.3
env/bin/python -m pip install --quiet --disable-pip-version-check --no-deps easyocr==1.7.2
cat >probe.py <<'PY'
import sys
import types
from importlib.metadata import distribution, version

# Its file of decoders is pure numpy, but lies in a package that imports torch and scikit-image.
package = types.ModuleType("easyocr")
package.__path__ = [str(distribution("easyocr").locate_file("easyocr"))]
skimage = types.ModuleType("skimage")
skimage.io = types.ModuleType("skimage.io")
sys.modules |= {"easyocr": package, "torch": types.ModuleType("torch"), "skimage": skimage}

import numpy as np
from easyocr.config import recognition_models
from easyocr.utils import CTCLabelConverter
from rapidfuzz.distance import Levenshtein

print(*(f"{name} {version(name)}" for name in ("easyocr", "numpy")))
characters = recognition_models["gen2"]["latin_g2"]["characters"]  # those of the model that reads Vietnamese
converter = CTCLabelConverter(characters)
lines = [
    "Số 100/2011/QĐ-UBND", "Ông Nguyễn Văn Hoàn, sinh năm 1955", "Thửa đất số 77, tờ bản đồ số 11", "Giá bán: 1.000.000 đồng",
    "Cộng hòa xã hội chủ nghĩa Việt Nam", "Độc lập - Tự do - Hạnh phúc", "Ngày 11 tháng 12 năm 2000", "Điện thoại: 0988 776 655",
]
dice = np.random.default_rng(0)


def probabilities(text, blanks):
    """Of a network that gives 99 % to each character in one column and to the blank in as many columns behind it as asked."""
    path = [index for character in text for index in [converter.dict[character]] + [0] * blanks]
    others = dice.random((len(path), len(characters) + 1)) ** 8
    others[np.arange(len(path)), path] = 0
    others *= 0.01 / others.sum(axis=1, keepdims=True)
    others[np.arange(len(path)), path] = 0.99
    return others.astype(np.float32)


def doubled(texts):
    return sum(one == other for text in texts for one, other in zip(text, text[1:]))


kept = {}
for blanks in (1, 2):
    read = {"greedy": [], "beamsearch": []}
    for text in lines:
        matrix = probabilities(text, blanks)[None]
        read["greedy"] += converter.decode_greedy(matrix.argmax(axis=2)[0], [matrix.shape[1]])
        read["beamsearch"] += converter.decode_beamsearch(matrix)
    for name, texts in read.items():
        errors = sum(map(Levenshtein.distance, texts, lines)) / sum(map(len, lines))
        kept[name, blanks] = doubled(texts)
        print(f"{blanks} blank(s) between, {name}: CER {errors:.1%}, {doubled(texts)} of {doubled(lines)} doubled characters:", *texts[:4], sep=" | ")
    assert read["greedy"] == lines, "greedy decoding errs, too"
assert kept["beamsearch", 2] == doubled(lines), "beam search loses doubled characters two blanks apart, too"
assert kept["beamsearch", 1] < 0.3 * doubled(lines), "beam search keeps doubled characters now"
PY
env/bin/python probe.py
