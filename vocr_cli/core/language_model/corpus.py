"""The text that a language model is made of: files of paragraphs, one a line."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vocr_cli.core.errors import DataError, reason_of
from vocr_cli.core.language_model.model_file import TextFacts
from vocr_cli.core.machine.files.input_file import MAX_TEXT_BYTES, read_within
from vocr_cli.core.text import text_files

_REMEDY = "Give UTF-8 text files with one paragraph a line, or folders of *.txt."
_HELD_OUT_EVERY = 100


@dataclass(frozen=True)
class Corpus:
    """Paragraphs in NFC.

    Attributes:
        paragraphs: To count.
        held_out: Every hundredth, to measure on; never counted.
        texts: What the files are.
    """

    paragraphs: list[str]
    held_out: list[str]
    texts: tuple[TextFacts, ...]


def read_corpus(paths: Sequence[Path]) -> Corpus:
    """Reads files, and the *.txt of folders.

    Raises:
        DataError: A path is missing, a file is not UTF-8, or there is no text.
    """
    every: list[str] = []
    texts = []
    for path in text_files(paths, _REMEDY):
        try:
            content = read_within(path, MAX_TEXT_BYTES)
            text = unicodedata.normalize("NFC", content.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is not UTF-8 text: byte {error.start}.", _REMEDY) from None
        except OSError as error:
            raise DataError(f"{path} cannot be read: {reason_of(error)}.", _REMEDY) from None
        every += [line for line in text.splitlines() if line.strip()]
        texts.append(
            TextFacts(name=path.name, characters=len(text), sha256=hashlib.sha256(content).hexdigest())
        )
    if not every:
        raise DataError(f"No text in {', '.join(map(str, paths))}.", _REMEDY)
    middle = _HELD_OUT_EVERY // 2
    return Corpus(
        paragraphs=[line for index, line in enumerate(every) if index % _HELD_OUT_EVERY != middle],
        held_out=every[middle::_HELD_OUT_EVERY],
        texts=tuple(texts),
    )
