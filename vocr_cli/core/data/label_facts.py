"""Facts about labelled lines: how many, what they say, what is wrong with them. N lines."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from typing import Any

import numpy as np

from vocr_cli.core.data.readers.annotations import label_fault
from vocr_cli.core.data.readers.entries import Source
from vocr_cli.core.text import Charset, clean

FIRST_LABELS = 5


def source_facts(source: Source) -> dict[str, Any]:
    """Reads a source to its end; no image is decoded.

    Returns:
        JSON values by name: layout, what was chosen, lines, bad ones, images that are not there, labels.
    """
    texts: list[tuple[str, str]] = []
    bad: list[str] = []
    lacking: list[str] = []
    names = Counter[str]()
    not_nfc = 0
    for entry in source:
        text = clean(entry.label)
        if fault := entry.fault or label_fault(text):
            bad.append(f"{entry.location}: {fault}")
            continue
        texts.append((entry.location, text))
        names[entry.name] += 1
        not_nfc += not unicodedata.is_normalized("NFC", entry.label)
        if isinstance(entry.image, str) and not os.path.exists(entry.image):
            lacking.append(entry.name)
    facts = {
        "layout": source.layout,
        "read so": list(source.notes),
        "lines": len(texts),
        "bad lines": {"count": len(bad), "first": bad[:FIRST_LABELS]},
        "images lacking": {"count": len(lacking), "first": lacking[:FIRST_LABELS]},
        "labels not NFC": not_nfc,
        "paths given twice": sum(count > 1 for count in names.values()),
    }
    if texts:
        facts["label characters"] = percentiles(np.array([len(text) for _, text in texts]))
        facts |= charset_facts(texts)
    return facts | {"first labels": [text for _, text in texts[:FIRST_LABELS]]}


def charset_facts(texts: list[tuple[str, str]]) -> dict[str, Any]:
    """How far the default charset covers pairs of where a text stands and the text."""
    charset = Charset()
    used = set().union(*(text for _, text in texts))
    covered = sum(all(char in charset for char in text) for _, text in texts)
    return {
        "characters used": len(used),
        "lines the default charset covers": f"{covered / len(texts):.2%}",
        "characters it lacks": [str(unknown) for unknown in charset.unknown(texts)],
    }


def percentiles(values: np.ndarray) -> dict[str, int]:
    """Of an (N,) array, N > 0."""
    names = {"min": 0, "p5": 5, "p50": 50, "p95": 95, "max": 100}
    return {name: round(float(np.percentile(values, percent))) for name, percent in names.items()}
