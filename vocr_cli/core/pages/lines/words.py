"""Where the words of a line stand, by the gaps between its ink. W px of a fitted line."""

from __future__ import annotations

import numpy as np

_NARROW = frozenset("iIlj.,:;'!|()[]-íìỉĩị1tfr ")
_WIDE = frozenset("mwMWƯƠOÔQGDĐNHAÂĂ—…@%")
_MOST_GAPS = 400


def word_spans(pixels: np.ndarray, text: str, inset: float = 0.0) -> tuple[tuple[float, float], ...]:
    """Finds where each word begins and ends.

    The line is parted at gaps in its ink such that each word is about as wide as its letters should be.

    Args:
        pixels: (H, W, channels) uint8, dark on light.
        text: Words with single spaces between.
        inset: How far within the pixels the line begins and ends, as a fraction of W.

    Returns:
        Of each word begin and end, as fractions of the line.
    """
    spans = _spans(pixels, text)
    if not inset:
        return spans
    room = 1 - 2 * inset
    return tuple((_share(begin - inset, room), _share(end - inset, room)) for begin, end in spans)


def even_spans(text: str) -> tuple[tuple[float, float], ...]:
    """Where the words of a line stand by the widths of the letters alone, as fractions of the line."""
    return _even(text.split(" "), 0.0, 1.0)


def _share(part: float, whole: float) -> float:
    return min(1.0, max(0.0, part / whole))


def _spans(pixels: np.ndarray, text: str) -> tuple[tuple[float, float], ...]:
    """Begin and end of each word, as fractions of W."""
    words = text.split(" ")
    width = pixels.shape[1]
    inked = _inked_columns(pixels)
    columns = np.flatnonzero(inked)
    if not len(columns):
        return _even(words, 0.0, 1.0)
    first, last = int(columns[0]), int(columns[-1]) + 1
    if len(words) == 1:
        return ((first / width, last / width),)
    starts = np.flatnonzero(np.diff(inked.astype(np.int8)) == -1) + 1  # of gaps
    ends = np.flatnonzero(np.diff(inked.astype(np.int8)) == 1) + 1
    gaps = [(int(a), int(b)) for a, b in zip(starts, ends[ends > first], strict=False) if b > a]
    if len(gaps) < len(words) - 1 or len(gaps) > _MOST_GAPS:
        return _even(words, first / width, last / width)
    chosen = _choose(gaps, words, first, last)
    begins = [first, *(end for _, end in chosen)]
    stops = [*(start for start, _ in chosen), last]
    return tuple((begin / width, stop / width) for begin, stop in zip(begins, stops, strict=True))


def _inked_columns(pixels: np.ndarray) -> np.ndarray:
    """(W,) bool: columns that hold ink."""
    grey = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels.min(axis=2)
    dark, light = np.percentile(grey, (1, 80))
    inner = grey[len(grey) // 8 : len(grey) - len(grey) // 12]
    inked: np.ndarray = (inner < light - 0.4 * (light - dark)).any(axis=0)
    return inked


def _choose(gaps: list[tuple[int, int]], words: list[str], first: int, last: int) -> list[tuple[int, int]]:
    """The gaps between the words: wide ones, near to where the widths of the letters put them."""
    widths = np.array([_letters_width(word) for word in words])
    spaces = len(words) - 1
    unit = (last - first) / (widths.sum() + 0.55 * spaces)
    middles = np.array([(start + end) / 2 for start, end in gaps])
    sizes = np.array([end - start for start, end in gaps], np.float64)
    wideness = -np.log(np.maximum(sizes, 0.5) / max(1.0, 0.45 * unit)).clip(-1.0, 3.0)
    cost = np.full((spaces, len(gaps)), np.inf)
    back = np.zeros((spaces, len(gaps)), np.int64)
    for space in range(spaces):
        if space == 0:
            distance = middles - first - (widths[0] + 0.27) * unit
            cost[0] = _strain(distance, widths[0], unit) + wideness
            continue
        expected = (widths[space] + 0.55) * unit
        step = middles[None, :] - middles[:, None]  # from gap (row) to gap (column)
        total = cost[space - 1][:, None] + _strain(step - expected, widths[space], unit)
        total[step <= 0] = np.inf
        back[space] = total.argmin(axis=0)
        cost[space] = total.min(axis=0) + wideness
    rest = last - middles - (widths[-1] + 0.27) * unit
    at = int((cost[-1] + _strain(rest, widths[-1], unit)).argmin())
    chosen = [at]
    for space in range(spaces - 1, 0, -1):
        chosen.append(int(back[space][chosen[-1]]))
    return [gaps[index] for index in reversed(chosen)]


def _strain(distance: np.ndarray, letters: float, unit: float) -> np.ndarray:
    """How unlikely it is that a word is so much wider or narrower than its letters tell."""
    strain: np.ndarray = np.abs(distance) / (unit * (0.35 * np.sqrt(letters) + 0.3))
    return strain


def _letters_width(word: str) -> float:
    return float(sum(0.6 if char in _NARROW else 1.45 if char in _WIDE else 1.0 for char in word))


def _even(words: list[str], begin: float, end: float) -> tuple[tuple[float, float], ...]:
    """Spans by the widths of the letters alone."""
    widths = [_letters_width(word) for word in words]
    unit = (end - begin) / (sum(widths) + 0.55 * (len(words) - 1))
    spans, at = [], begin
    for width in widths:
        spans.append((at, min(end, at + width * unit)))
        at += (width + 0.55) * unit
    return tuple(spans)
