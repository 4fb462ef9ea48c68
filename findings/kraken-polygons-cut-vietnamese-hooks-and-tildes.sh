#!/usr/bin/env bash
# The polygons that kraken lays around lines, given exact baselines, cut through hooks and tildes (ủ, ữ, ũ, ỹ) of clean Vietnamese print, so that
# lines cut out by them lack most of such a mark. One would expect a polygon to hold the letters of its line; met by who trains or reads
# Vietnamese with `kraken segment -bl`, whose lines go through the same function (kraken 7.1.1, torch 2.13.0, scikit-image 0.25.2, scipy 1.15.3).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 scikit-image==0.25.2 scipy==1.15.3 shapely==2.1.2 \
  lxml==6.1.3 pillow==13.0.0 matplotlib==3.10.8
env/bin/python -m pip install --quiet --disable-pip-version-check --no-deps kraken==7.1.1
cat >probe.py <<'PY'
from importlib.metadata import version
from pathlib import Path

import matplotlib
import numpy as np
from kraken.lib.segmentation import calculate_polygonal_environment
from PIL import Image, ImageDraw, ImageFont

print(*(f"{name} {version(name)}" for name in ("kraken", "torch", "scikit-image", "scipy")))
face = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
font = ImageFont.truetype(str(face), 48)
texts = ["Của chủ hộ ở xã để cũng nghĩ dễ", "Những bản vẽ cũ ở tủ của kỹ sư", "Sẽ sửa chữa ngõ rẽ phía bắc cổng"]
bare = dict(zip("ủũĩỹữử", "uuıyưư"))
left, pitch = 80, 90


def ink(text, at):
    page = Image.new("L", (1200, 500), 255)
    ImageDraw.Draw(page).text(at, text, font=font, fill=0, anchor="ls")
    return np.asarray(page) < 128


places = [(left, 120 + pitch * row) for row in range(len(texts))]
pages = [ink(text, at) for text, at in zip(texts, places)]
page = Image.fromarray(np.where(np.any(pages, axis=0), 0, 255).astype(np.uint8))
baselines = [[(x - 2, y), (x + 2 + round(font.getlength(text)), y)] for text, (x, y) in zip(texts, places)]
worst = {}
for text, (x, y), mine, polygon in zip(texts, places, pages, calculate_polygonal_environment(page, baselines)):
    inside = Image.new("1", page.size)
    ImageDraw.Draw(inside).polygon([tuple(point) for point in polygon], fill=1, outline=1)
    lost = mine & ~np.asarray(inside)
    print(f"{text}: {lost.sum() / mine.sum():.1%} of its ink lies outside")
    for at, letter in enumerate(text):
        if letter in bare:
            begin, end = (round(x + font.getlength(text[:to])) for to in (at, at + 1))
            mark = int(ink(letter, (left, 120)).sum()) - int(ink(bare[letter], (left, 120)).sum())
            cut = int(lost[: y - 20, begin:end].sum()) / mark
            worst[letter] = max(cut, worst.get(letter, 0.0))
print("of the mark, at worst:", *(f"{letter} {share:.0%}" for letter, share in sorted(worst.items())))
assert max(worst.values()) > 0.25, "the marks are whole now"
PY
env/bin/python probe.py
