#!/usr/bin/env bash
# pytesseract's data frame is read by pandas without being told that words are text: the Vietnamese word "nan" is gone from nan tre and nan hoa,
# and a column of prices and codes such as 12.500 and 0048 becomes the numbers 12.5 and 48. One would expect the words that the dictionary of the
# same page has; met by who filters Tesseract's words by confidence (pytesseract 0.3.13, pandas 2.3.3, tesseract 5.3.0 of Debian 12, which must be installed).
set -euo pipefail
command -v tesseract >/dev/null || { echo "tesseract is not installed: apt-get install tesseract-ocr tesseract-ocr-vie"; exit 2; }
tesseract --list-langs 2>&1 | grep -qx vie || { echo "the Vietnamese data are missing: apt-get install tesseract-ocr-vie"; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check pytesseract==0.3.13 pandas==2.3.3 'numpy<3' pillow==12.0.0
env/bin/python -m pip install --quiet --disable-pip-version-check --no-deps matplotlib==3.10.8
tesseract --version 2>&1 | head -1
cat >probe.py <<'PY'
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytesseract
from PIL import Image, ImageDraw, ImageFont

print(*(f"{name} {version(name)}" for name in ("pytesseract", "pandas")))
face = Path(find_spec("matplotlib").origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
font = ImageFont.truetype(str(face), 46)


def words(lines):
    """The words of a page by confidence above 0: of the dictionary, and of the data frame."""
    page = Image.new("L", (1000, 60 + 110 * len(lines)), 255)
    for row, line in enumerate(lines):
        ImageDraw.Draw(page).text((60, 40 + 110 * row), line, font=font, fill=0)
    how = {"lang": "vie", "config": "--psm 6"}
    table = pytesseract.image_to_data(page, output_type=pytesseract.Output.DICT, **how)
    frame = pytesseract.image_to_data(page, output_type=pytesseract.Output.DATAFRAME, **how)
    spoken = [text for text, confidence in zip(table["text"], table["conf"], strict=True) if float(confidence) > 0]
    kept = frame[frame.conf > 0].text
    return spoken, kept.tolist(), str(kept.dtype)


text, in_frame, kind = words(["Giỏ nan tre, xe nan hoa", "Bài toán nan giải"])
print("text   dictionary:", text)
print("       data frame:", in_frame, kind)
lost = [word for word, other in zip(text, in_frame, strict=True) if word != other]
prices, numbers, number_kind = words(["12.500", "0048", "7.000"])
print("prices dictionary:", prices)
print("       data frame:", numbers, number_kind)
assert lost == ["nan"] * 3, "the word stays now"
assert prices == ["12.500", "0048", "7.000"] and numbers == [12.5, 48.0, 7.0], "prices stay text now"
PY
OMP_THREAD_LIMIT=1 env/bin/python probe.py
