#!/usr/bin/env bash
# Of the PDF that Tesseract makes of a page scanned upside down, pypdfium2 gives the words of each line from last to first (Nam Việt), with their
# letters in order, and its search finds no two words; turned by a quarter either way the same page is right, and pypdf reads all. One would
# expect the order of the file; met by who searches scans (pypdfium2 5.15.2, pypdf 7.1.1, Tesseract 5.3.0 of Debian 12, which must be installed).
set -euo pipefail
command -v tesseract >/dev/null || { echo "tesseract is not installed: apt-get install tesseract-ocr tesseract-ocr-vie tesseract-ocr-osd"; exit 2; }
languages=$(tesseract --list-langs 2>&1)
for data in vie osd; do
  grep -qx "$data" <<<"$languages" || { echo "data are not installed: apt-get install tesseract-ocr-$data"; exit 2; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check pypdfium2==5.15.2 pypdf==7.1.1 pillow==13.0.0
env/bin/python -m pip install --quiet --disable-pip-version-check --no-deps matplotlib==3.10.8
cat >draw.py <<'PY'
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

face = Path(find_spec("matplotlib").origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
font = ImageFont.truetype(str(face), 44)
lines = [
    "Cộng hòa xã hội chủ nghĩa Việt Nam",
    "Căn cứ Luật Tổ chức chính quyền địa phương",
    "ngày 19 tháng 6 năm 2015 của Quốc hội khóa XIII",
    "Theo đề nghị của Giám đốc Sở Tài nguyên và",
    "Môi trường tỉnh Quảng Ninh tại Tờ trình số 123",
    "Điều 1. Phê duyệt phương án bồi thường, hỗ trợ",
    "khi Nhà nước thu hồi đất của các hộ gia đình",
    "Điều 2. Quyết định này có hiệu lực kể từ ngày ký",
    "và thay thế các quyết định trước đây của huyện",
    "Điều 3. Chánh Văn phòng, Giám đốc các sở, Thủ",
    "trưởng các đơn vị có liên quan chịu trách nhiệm",
]
page = Image.new("L", (1400, 1100), 255)
for row, text in enumerate(lines):
    ImageDraw.Draw(page).text((100, 80 + 84 * row), text, font=font, fill=0)
for turn in (0, 90, 180, 270):
    page.rotate(turn, expand=True).save(f"{turn}.png", dpi=(300, 300))
PY
env/bin/python draw.py
tesseract --version 2>&1 | head -1
for turn in 0 90 180 270; do
  OMP_THREAD_LIMIT=1 tesseract "$turn.png" "$turn" -l vie --psm 1 pdf 2>/dev/null
done
cat >probe.py <<'PY'
from importlib.metadata import version

import pypdf
import pypdfium2

print("pypdfium2", version("pypdfium2"), "pypdf", version("pypdf"))
first, found = {}, {}
for turn in (0, 90, 180, 270):
    page = pypdfium2.PdfDocument(f"{turn}.pdf")[0].get_textpage()
    first[turn] = page.get_text_range().split("\r\n")[0].strip()
    found[turn] = {text: page.search(text).get_next() is not None for text in ("Việt Nam", "Nam Việt", "Nam")}
    print(f"scanned at {turn}°: {first[turn]} |", *(f"{text!r} found: {there}" for text, there in found[turn].items()))
    assert pypdf.PdfReader(f"{turn}.pdf").pages[0].extract_text().startswith("Cộng hòa xã hội chủ nghĩa Việt Nam")
assert all(first[turn].endswith("Việt Nam") and found[turn]["Việt Nam"] for turn in (0, 90, 270))
assert first[180].startswith("Nam Việt nghĩa") and not found[180]["Việt Nam"], "the words are in their order now"
PY
env/bin/python probe.py
