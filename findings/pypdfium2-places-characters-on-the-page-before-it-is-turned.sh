#!/usr/bin/env bash
# pypdfium2's get_charbox() gives places on the page as it was before /Rotate and the crop box, while get_size() and render() give the page
# as it is seen. One would expect both in one frame; met by who lays the text layer of a PDF over its drawn page: on pages that are turned,
# as landscape tables are, every character lies elsewhere, and lines of text stand upright (pypdfium2 5.15.2, pikepdf 10.18.0).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check pypdfium2==5.15.2 pikepdf==10.18.0 numpy==2.3.5
cat >probe.py <<'PY'
from importlib.metadata import version

import numpy as np
import pikepdf
import pypdfium2
from pikepdf import Array, Dictionary, Name

print("pypdfium2", version("pypdfium2"), "pikepdf", pikepdf.__version__)
pages = {"plain": (0, None), "turned": (90, None), "cropped": (0, [100, 200, 600, 800])}
with pikepdf.new() as pdf:
    for turn, crop in pages.values():
        page = pdf.add_blank_page(page_size=(600, 800))
        font = Dictionary(Type=Name.Font, Subtype=Name.Type1, BaseFont=Name.Helvetica)
        page.obj.Resources = Dictionary(Font=Dictionary(F=font))
        matrix = "0 1 -1 0 600 0" if turn else "1 0 0 1 0 0"  # level, as the page is seen
        page.contents_add(f"q {matrix} cm BT /F 40 Tf 150 400 Td (Table) Tj ET Q".encode())
        page.obj.Rotate = turn
        if crop:
            page.obj.CropBox = Array(crop)
    pdf.save("pages.pdf")

document, agree = pypdfium2.PdfDocument("pages.pdf"), {}
for number, name in enumerate(pages):
    page = document[number]
    text = page.get_textpage()
    boxes = np.array([text.get_charbox(index) for index in range(text.count_chars())])
    told = *boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0)
    rows, columns = np.nonzero(page.render(scale=1).to_numpy()[:, :, 0] < 128)
    seen = columns.min(), page.get_height() - rows.max(), columns.max(), page.get_height() - rows.min()
    agree[name] = bool(np.abs(np.subtract(told, seen)).max() < 5)
    print(f"{name:8s} page {page.get_width():.0f} x {page.get_height():.0f}, characters at", *map(round, told), "drawn at", *map(round, seen))
assert agree["plain"], "not even a plain page agrees"
assert not agree["turned"] and not agree["cropped"], "characters are placed on the page as it is seen now"
PY
env/bin/python probe.py
