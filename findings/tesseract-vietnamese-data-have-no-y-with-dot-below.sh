#!/usr/bin/env bash
# Tesseract's Vietnamese data can write 132 of the 134 Vietnamese letters with marks: ỵ and Ỵ are not in its set of characters, so that clean
# print of kỵ, lỵ and Ất Tỵ is read as ky, ly and Ất Ty, and with more than 90 % confidence. One would expect every letter of the alphabet; met
# by who reads years of the zodiac, names or old books (vie 4.1.0 and tesseract 5.3.0 of Debian 12, which must be installed).
set -euo pipefail
for program in tesseract combine_tessdata; do
  command -v "$program" >/dev/null || { echo "$program is not installed: apt-get install tesseract-ocr tesseract-ocr-vie"; exit 2; }
done
folder=$(tesseract --list-langs 2>&1 | sed -n 's/.*"\(.*\)".*/\1/p' | head -1)
[ -f "$folder/vie.traineddata" ] || { echo "vie.traineddata is not in '$folder': apt-get install tesseract-ocr-vie"; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check pillow==12.0.0
env/bin/python -m pip install --quiet --disable-pip-version-check --no-deps matplotlib==3.10.8
tesseract --version 2>&1 | head -1
combine_tessdata -e "$folder/vie.traineddata" vie.lstm-unicharset vie.version >/dev/null 2>&1
cat >probe.py <<'PY'
import subprocess
import unicodedata
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

print("data:", Path("vie.version").read_text(encoding="utf-8").strip())
rows = Path("vie.lstm-unicharset").read_text(encoding="utf-8").splitlines()[1:]
known = {row.split(" ")[0] for row in rows}
vowels, tones = "aăâeêioôơuưy", ["", "\u0300", "\u0309", "\u0303", "\u0301", "\u0323"]
letters = {unicodedata.normalize("NFC", vowel + tone) for vowel in vowels for tone in tones} | set("bcdđghklmnpqrstvx")
letters |= {letter.upper() for letter in letters}
marked = sorted(letter for letter in letters if not letter.isascii())
missing = [letter for letter in marked if letter not in known]
print(f"{len(marked)} Vietnamese letters with marks, of which these are missing:", *missing)
print("other signs that are missing:", *(sign for sign in "₫²³±×–‘’…•‰" if sign not in known), "| there:", *(sorted(known & set("ÿŒŠƒ†ˆ"))))

face = Path(find_spec("matplotlib").origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
font = ImageFont.truetype(str(face), 46)
printed = ["Năm Ất Tỵ, đố kỵ, bệnh lỵ, ẤT TỴ", "Công ty, chú ý, chữ ký, bỉ, kỳ, kỷ, kỹ, KÝ, KỲ, KỶ, KỸ"]
page = Image.new("L", (1500, 320), 255)
for row, text in enumerate(printed):
    ImageDraw.Draw(page).text((60, 60 + 110 * row), text, font=font, fill=0)
page.save("page.png", dpi=(300, 300))
command = ["tesseract", "page.png", "-", "-l", "vie", "--psm", "6", "tsv"]
table = subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout
words = [row.split("\t")[10:12] for row in table.splitlines()[1:] if row.startswith("5\t")]
wrong = 0
for word, (confidence, read) in zip(" ".join(printed).split(), words, strict=True):
    if word != read:
        wrong += 1
        print(f"{word} is read as {read}, confidence {float(confidence):.0f}")
        assert set("ỵỴ") & set(word) and float(confidence) > 90
assert missing == ["Ỵ", "ỵ"], "other letters are missing now"
assert wrong == 4, "the words with ỵ are read otherwise now"
PY
OMP_THREAD_LIMIT=1 env/bin/python probe.py
