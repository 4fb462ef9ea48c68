#!/usr/bin/env bash
# underthesea's text_normalize, taken to make both sides alike before OCR is scored, moves tone marks to their usual letter, so that misread words
# (nghiã, qủa, hoà) count as right, and parts numbers and signs by spaces (số 12/2020/NĐ-CP, 01-GTGT/3LL), so that a code that was read right is
# no more what is printed. One would expect forms of Unicode alone to change; met by who scores Vietnamese OCR or cleans its text (underthesea 8.3.0).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check underthesea==8.3.0 rapidfuzz==3.14.3
cat >probe.py <<'PY'
from importlib.metadata import version

from rapidfuzz.distance import Levenshtein
from underthesea import text_normalize

print(*(f"{name} {version(name)}" for name in ("underthesea", "rapidfuzz")))
printed = ["nghĩa vụ của tổ chức", "quả xoài, hòa bình"]
read = ["nghiã vụ của tổ chức", "qủa xoài, hoà bình"]


def cer(left, right):
    edits = sum(Levenshtein.distance(a, b) for a, b in zip(left, right, strict=True))
    return edits / sum(map(len, left))


before = cer(printed, read)
after = cer([text_normalize(text) for text in printed], [text_normalize(text) for text in read])
print(f"CER of {read} against {printed}: {before:.1%}, normalised first: {after:.1%}")
codes = ["Nghị định số 12/2020/NĐ-CP", "Mẫu số 01-GTGT/3LL", "ĐT: 024.3825-1234", "Cộng: 1.250.000đ (10%)"]
spaced = [text_normalize(code) for code in codes]
for code, text in zip(codes, spaced, strict=True):
    print(f"{code!r} becomes {text!r}")
assert before > 0.1 and after == 0, "misread tones stay errors now"
assert all(len(text) > len(code) and text.replace(" ", "") == code.replace(" ", "") for code, text in zip(codes, spaced, strict=True)), (
    "codes stay together now"
)
PY
env/bin/python probe.py
