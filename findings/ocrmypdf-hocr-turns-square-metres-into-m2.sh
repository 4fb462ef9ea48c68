#!/usr/bin/env bash
# OCRmyPDF's reader of hOCR writes compatibility characters anew (NFKC): m² becomes m2, 1½ becomes 11⁄2 and № becomes No, so its searchable
# PDF says otherwise than the OCR program did. One would expect the text of the hOCR; met by who searches land deeds and invoices for areas
# and fractions, or hands it the hOCR of another program (ocrmypdf 17.13.0).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check ocrmypdf==17.13.0
cat >probe.py <<'PY'
import unicodedata
from importlib.metadata import version
from pathlib import Path

from ocrmypdf.hocrtransform import HocrParser

print("ocrmypdf", version("ocrmypdf"))
words = ["Diện", "tích:", "120", "m²;", "1½", "№", "7…"]
assert all(unicodedata.is_normalized("NFC", word) for word in words)
spans = "".join(
    f'<span class="ocrx_word" title="bbox {100 * at} 10 {100 * at + 80} 40; x_wconf 95">{word}</span> '
    for at, word in enumerate(words)
)
Path("page.hocr").write_text(
    '<?xml version="1.0" encoding="UTF-8"?>\n<html xmlns="http://www.w3.org/1999/xhtml"><body>'
    '<div class="ocr_page" title="bbox 0 0 800 60"><p class="ocr_par" title="bbox 0 10 780 40">'
    f'<span class="ocr_line" title="bbox 0 10 780 40; baseline 0 -5">{spans}</span></p></div></body></html>',
    encoding="utf-8",
)
page = HocrParser("page.hocr").parse()
read = [word.text for paragraph in page.children for line in paragraph.children for word in line.children]
print("hOCR:    ", " | ".join(words))
print("OCRmyPDF:", " | ".join(read))
assert len(read) == len(words)
assert read != words and "m2;" in read, "the words are those of the hOCR now"
PY
env/bin/python probe.py
