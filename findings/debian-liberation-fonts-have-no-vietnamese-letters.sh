#!/usr/bin/env bash
# The package fonts-liberation of Debian 12 holds Liberation 1.07, whose Serif, Sans and Mono lack ơ, ư and every letter with two marks, and Pillow
# draws boxes for them without a word; fonts-liberation2, with faces of the same names, has them all. One would expect the free likeness of Times to
# have Vietnamese; met by who renders Vietnamese lines with /usr/share/fonts/truetype/liberation (fonts-liberation 1:1.07.4-11, 2.1.5-1, pillow 12.0.0).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
apt-get download --quiet=2 fonts-liberation=1:1.07.4-11 fonts-liberation2=2.1.5-1
for package in *.deb; do dpkg-deb -x "$package" files; done
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check pillow==12.0.0 fonttools==4.60.1
cat >probe.py <<'PY'
import sys
import unicodedata
from importlib.metadata import version
from pathlib import Path

from fontTools.ttLib import TTFont
from PIL import Image, ImageDraw, ImageFont

print(*(f"{name} {version(name)}" for name in ("pillow", "fonttools")))
vowels, tones = "aăâeêioôơuưy", ["", "\u0300", "\u0309", "\u0303", "\u0301", "\u0323"]
small = {unicodedata.normalize("NFC", vowel + tone) for vowel in vowels for tone in tones} | {"đ"}
letters = sorted(small - set("aeiouy"))
letters = sorted(set(letters) | {letter.upper() for letter in letters})


def drawn(text, path):
    image = Image.new("L", (160, 80), 255)
    ImageDraw.Draw(image).text((20, 10), text, 0, ImageFont.truetype(path, 40))
    return image.tobytes()


lacking = {}
for folder in ("liberation", "liberation2"):
    for face in ("Serif", "Sans", "Mono"):
        path = Path("files/usr/share/fonts/truetype", folder, f"Liberation{face}-Regular.ttf")
        font = TTFont(path)
        boxes = [letter for letter in letters if drawn(letter, path) == drawn("\ufffe", path)]
        absent = [letter for letter in letters if ord(letter) not in font.getBestCmap()]
        assert boxes == absent
        lacking[folder, face] = len(absent)
        name, release = font["name"].getDebugName(1), font["name"].getDebugName(5)
        print(f"{folder:12s}{name}, {release}: {len(absent)} of {len(letters)} Vietnamese letters are boxes", *absent[:12])
changed = [key for key, count in lacking.items() if (count > 80) != (key[0] == "liberation") or (key[0] == "liberation2" and count)]
print("changed: " + str(changed) if changed else "as found: one package draws boxes, the other, with faces of the same names, does not")
sys.exit(bool(changed))
PY
env/bin/python probe.py
