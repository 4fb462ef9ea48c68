#!/usr/bin/env bash
# The path that fast-ctc-decode's beam_search returns beside the text names, at its defaults, for each character the column after the one where
# the character before it began, however sure the network is, and so comes too early by nearly a whole character. One would expect the columns of
# viterbi_search, which are right; met by who cuts out or frames characters or words of a line by them (fast-ctc-decode 0.3.7, numpy 2.3.5).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check fast-ctc-decode==0.3.7 numpy==2.3.5
cat >probe.py <<'PY'
import unicodedata
from importlib.metadata import version

import numpy as np
from fast_ctc_decode import beam_search, viterbi_search

print(*(f"{name} {version(name)}" for name in ("fast-ctc-decode", "numpy")))
vowels, tones = "aăâeêioôơuưy", ["", "\u0300", "\u0309", "\u0303", "\u0301", "\u0323"]
letters = sorted({unicodedata.normalize("NFC", vowel + tone) for vowel in vowels for tone in tones} | set("bcdđfghjklmnpqrstvwxz"))
alphabet = ["_", " ", *"0123456789,.:;/-()", *letters, *(letter.upper() for letter in letters)]  # the first one is the blank
text = "Ông Nguyễn Văn Hoàn, sinh năm 1955 ở xã Đất Đỏ, huyện Thủy Nguyên"
dice = np.random.default_rng(0)


def probabilities(sure):
    """Four columns of blank, then two of the character, and so on, and where each character begins."""
    path, begins = [0] * 4, []
    for character in text:
        begins.append(len(path))
        path += [alphabet.index(character)] * 2 + [0] * 4
    others = dice.random((len(path), len(alphabet))) ** 8
    others[np.arange(len(path)), path] = 0
    others *= (1 - sure) / others.sum(axis=1, keepdims=True)
    others[np.arange(len(path)), path] = sure
    return others.astype(np.float32), np.array(begins)


print(f"{len(alphabet)} classes, six columns a character")
early = {}
for sure in (0.9, 0.99, 0.999):
    matrix, begins = probabilities(sure)
    found = {
        "viterbi_search": viterbi_search(matrix, alphabet),
        "beam_search": beam_search(matrix, alphabet),
        "beam_search, beam_cut_threshold=0.004": beam_search(matrix, alphabet, beam_cut_threshold=0.004),
    }
    for name, (read, path) in found.items():
        assert read == text, "the text is not read"
        early[name, sure] = begins - path
        print(
            f"sure by {sure}, {name}: {early[name, sure].mean():.1f} columns too early, {(early[name, sure] == 0).mean():.0%} of the characters "
            f"in their columns"
        )
for sure in (0.9, 0.99, 0.999):
    assert not early["viterbi_search", sure].any(), "viterbi_search is wrong, too"
    assert early["beam_search", sure].mean() > 2, "beam_search places characters where they are now"
PY
env/bin/python probe.py
