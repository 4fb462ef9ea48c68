#!/usr/bin/env bash
# Tesseract's ALTO of a TIFF of several pages is one file in which the pages' blocks, lines and words begin anew with the same ids, so that it
# is no valid ALTO, where IDs (xsd:ID) must be unique. One would expect ids as in its hOCR, which count pages; met by who looks elements up by
# id, or validates (tesseract 5.3.0 of Debian 12, which must be installed, Pillow 12.0.0, lxml 6.0.2).
set -euo pipefail
command -v tesseract >/dev/null || { echo "tesseract is not installed: apt-get install tesseract-ocr"; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check pillow==12.0.0 lxml==6.0.2
cat >draw.py <<'PY'
from PIL import Image, ImageDraw, ImageFont

pages = []
for text in ("The first page", "The second page"):
    page = Image.new("L", (900, 300), 255)
    ImageDraw.Draw(page).text((60, 100), text, font=ImageFont.load_default(60), fill=0)
    pages.append(page)
pages[0].save("pages.tif", save_all=True, append_images=pages[1:], dpi=(150, 150))
PY
env/bin/python draw.py
tesseract --version 2>&1 | head -1
tesseract pages.tif out -l eng --psm 6 -c tessedit_create_alto=1 -c tessedit_create_hocr=1 2>/dev/null
cat >probe.py <<'PY'
from collections import Counter

from lxml import etree

repeated = {}
for file, name in (("out.xml", "ID"), ("out.hocr", "id")):
    root = etree.parse(file).getroot()
    counts = Counter(value for element in root.iter() if (value := element.get(name)))
    repeated[file] = sorted(value for value, count in counts.items() if count > 1)
    print(f"{file}: {sum(counts.values())} ids, {len(repeated[file])} of them more than once", *repeated[file][:6])
assert not repeated["out.hocr"], "the hOCR repeats ids, too"
assert repeated["out.xml"], "the ids of ALTO are unique now"
PY
env/bin/python probe.py
