"""Makes a language model of text: counts n-grams, smooths, prunes to a size, quantises, measures, writes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vocr_cli.core.errors import DataError, reason_of
from vocr_cli.core.language_model.corpus import read_corpus
from vocr_cli.core.language_model.counts import count_ngrams
from vocr_cli.core.language_model.folding import CODE, SIGN, SPACE, Folder, choose_letters
from vocr_cli.core.language_model.model_file import Header, StoredLevel, write_model
from vocr_cli.core.language_model.ngram import NgramModel, quantized
from vocr_cli.core.language_model.smoothing import Level, choose_ngrams, witten_bell

_HEADER_BYTES = 4096  # room for all but the provenance, which is measured
_MEASURED_SYMBOLS = 200_000
_MOST_LETTERS = 252


@dataclass(frozen=True)
class BuildReport:
    """What was built.

    Attributes:
        size_bytes: Of the file.
        order: Length of the longest n-grams.
        counted: How many n-grams of each length the text holds.
        kept: How many of them the file holds.
        held_out_bits: Bits per letter and space of text that was not counted; None: too little text.
    """

    size_bytes: int
    order: int
    counted: tuple[int, ...]
    kept: tuple[int, ...]
    held_out_bits: float | None


def build_language_model(
    paths: Sequence[Path], out: Path, *, order: int = 8, max_bytes: int = 3_000_000, provenance: str = ""
) -> BuildReport:
    """Builds a model from text files and writes it.

    Args:
        paths: Text files, or folders of *.txt.
        out: The file to write.
        order: Length of the longest n-grams, 1..8.
        max_bytes: The file becomes no larger; the n-grams that matter least to the text are left out.
        provenance: Is kept in the file.

    Raises:
        DataError: The text cannot be read, has no letters, or `out` cannot be written.
    """
    corpus = read_corpus(paths)
    letters = choose_letters(corpus.paragraphs)[:_MOST_LETTERS]
    if not letters:
        raise DataError("The text holds no letters.", "Give text in words.")
    alphabet, folder = SPACE + SIGN + CODE + letters, Folder(letters)
    numbers = {ord(symbol): number for number, symbol in enumerate(alphabet, start=1)}

    def encode(paragraph: str) -> bytes:
        return f" {folder.fold(paragraph)} ".translate(numbers).encode("latin-1")

    # One more of each symbol, so that none is impossible.
    symbols = [bytes([number]) for number in numbers.values()]
    counted = count_ngrams([*map(encode, corpus.paragraphs), *symbols], order)
    levels = witten_bell(counted, len(alphabet))
    room = max_bytes - _HEADER_BYTES - len(provenance.encode()) - 256 * len(corpus.texts)
    if room < 3 * len(alphabet):
        raise DataError(f"{max_bytes:,} bytes are too few for a language model.", "Allow it 1 MB or more.")
    kept = choose_ngrams(levels, room)
    stored = _stored(levels, kept)
    header = Header(
        order=order, alphabet=alphabet, ngrams=(), crc32=0, texts=corpus.texts, provenance=provenance
    )
    bits = _held_out_bits(NgramModel(header, stored), list(map(encode, corpus.held_out)))
    try:
        size = write_model(out, replace(header, held_out_bits=bits), stored)
    except OSError as error:
        raise DataError(
            f"{out} cannot be written: {reason_of(error)}.", "Name a file in a folder you may write to."
        ) from None
    return BuildReport(
        size_bytes=size,
        order=order,
        counted=tuple(len(level.keys) for level in levels),
        kept=tuple(int(mask.sum()) for mask in kept),
        held_out_bits=bits,
    )


def _stored(levels: list[Level], kept: list[np.ndarray]) -> list[StoredLevel]:
    stored = []
    for length, (level, mask) in enumerate(zip(levels, kept, strict=True)):
        children = np.empty(0, np.uint8)
        if length + 1 < len(levels):
            parents = levels[length + 1].parents[kept[length + 1]]
            children = np.bincount(parents, minlength=len(level.keys))[mask].astype(np.uint8)
        symbols = (level.keys[mask] & np.uint64(0xFF)).astype(np.uint8)
        stored.append(StoredLevel(symbols, quantized(level.probabilities[mask]), children))
    return stored


def _held_out_bits(model: NgramModel, paragraphs: list[bytes]) -> float | None:
    """Measures the mean -log2 p of letters, and of the spaces that follow them."""
    letters = 3  # symbols above this number
    bits, measured = 0.0, 0
    for symbols in paragraphs:
        for index in range(1, len(symbols)):
            symbol = symbols[index]
            if symbol > letters or (symbol == 1 and symbols[index - 1] > letters):
                bits -= math.log2(model.probabilities(symbols[max(0, index - 7) : index])[symbol - 1])
                measured += 1
        if measured >= _MEASURED_SYMBOLS:
            break
    return round(bits / measured, 4) if measured else None
