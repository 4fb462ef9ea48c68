"""The language model in use: the probability of each symbol after those before it. A symbols."""

from __future__ import annotations

import numpy as np

from vocr_cli.core.language_model.find import find_language_model
from vocr_cli.core.language_model.model_file import Header, StoredLevel, read_model

_MOST_CONTEXTS = 1 << 15  # 900 bytes each
_STEP = (
    4 / 255
)  # of the square root of -log p, so that sure symbols are told apart more finely than rare ones


def quantized(probabilities: np.ndarray) -> np.ndarray:
    """Returns the codes, (N,) uint8, of (N,) probabilities: never of a higher one, and never of 1."""
    return np.clip(np.ceil(np.sqrt(-np.log(probabilities)) / _STEP), 1, 255).astype(np.uint8)


def dequantized(codes: np.ndarray) -> np.ndarray:
    """Returns the probabilities, (N,) float64, that codes stand for."""
    return np.exp(-np.square(codes * _STEP))


class NgramModel:
    """A character n-gram model that backs off to shorter contexts.

    After a context, the symbols that were kept with it have the probability that is stored. The others share
    what is left as they would share it after the context without its first symbol; so the probabilities
    sum to one.

    Args:
        header: What a file says of itself.
        levels: Its n-grams, length by length.

    Attributes:
        header: What the file says of itself.
        order: Length of the longest n-grams.
        alphabet: Symbol n is character n - 1 of it.
    """

    def __init__(self, header: Header, levels: list[StoredLevel]) -> None:
        self.header, self._levels = header, levels
        self.order, self.alphabet = header.order, header.alphabet
        self._table = dequantized(np.arange(256))
        # Where the n-grams that go on from the first, second, ... of a length begin in the next.
        self._starts = [
            np.concatenate([[0], np.cumsum(level.children, dtype=np.int64)]).data  # quick to index
            for level in self._levels[:-1]
        ]
        self._bytes = [level.symbols.tobytes() for level in self._levels]
        first = self._table[self._levels[0].codes]
        # With a slot for symbol 0, which there is not, so that symbols are indices.
        self._after_nothing = np.concatenate([[0.0], first / first.sum()])
        self._known: dict[bytes, np.ndarray] = {}

    def probabilities(self, context: bytes) -> np.ndarray:
        """Returns the probability of each symbol after a context: (A,) float64 that sums to one.

        Args:
            context: Symbols from 1 to A, the last one last; of more than `order` - 1, the last ones count.
        """
        return self._after(context[max(0, len(context) - self.order + 1) :])[1:]

    def probability(self, context: bytes, symbol: int) -> float:
        """Returns the probability of one symbol, from 1 to A, after a context of at most `order` - 1."""
        return self._after(context).item(symbol)

    def encode(self, symbols: str) -> bytes:
        """Returns the numbers of folded text.

        Raises:
            KeyError: A symbol is not in the alphabet.
        """
        number = {symbol: index for index, symbol in enumerate(self.alphabet, start=1)}
        return bytes(number[symbol] for symbol in symbols)

    def _after(self, context: bytes) -> np.ndarray:
        """Returns (A + 1,) float64, the probability of symbol n at n."""
        if not context:
            return self._after_nothing
        known = self._known.get(context)
        if known is not None:
            return known
        found = self._after(context[1:])
        first, last = self._children(context)
        if first < last:
            level = self._levels[len(context)]
            kept = level.symbols[first:last]
            stored = self._table[level.codes[first:last]]
            left, shared = 1 - float(stored.sum()), 1 - float(found[kept].sum())
            if left > 0 and shared > 1e-9:
                found = found * (left / shared)
                found[kept] = stored
            else:  # rounding, or a file made otherwise, leaves nothing to share
                found = found.copy()
                found[kept] += stored
                found /= found.sum()
        if len(self._known) >= _MOST_CONTEXTS:
            self._known.clear()
        self._known[context] = found
        return found

    def _children(self, context: bytes) -> tuple[int, int]:
        """Returns where the n-grams that go on from a context begin and end; nowhere where it is unknown."""
        first, last = 0, len(self._bytes[0])
        for length, symbol in enumerate(context):
            at = self._bytes[length].find(symbol, first, last)
            if at < 0:
                return 0, 0
            starts = self._starts[length]
            first, last = starts[at], starts[at + 1]
        return first, last


def open_language_model(name: str) -> NgramModel:
    """Opens the embedded model by its name, or a file.

    Raises:
        ModelError: There is no such model, or it is damaged.
    """
    return NgramModel(*read_model(find_language_model(name)))
