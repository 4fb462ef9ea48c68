"""What a language model thinks of a text that grows character by character, as a beam search grows it.

It judges letters, the spaces after them, and that a sign or a code (`folding.py`) stands somewhere, but not
which: the first of a run of signs and the whole of a code count as one symbol each, whatever they are.
Letters that turn out to begin a code (`HĐ-123`) lose what they had earned, but not what they had cost;
otherwise a digit at the end of an unlikely word would pay off.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

from vocr_cli.core.language_model.folding import CODE, SIGN, SPACE, Kind, kind_of, makes_code
from vocr_cli.core.language_model.ngram import NgramModel
from vocr_cli.core.text import Charset

# Plain numbers: enumerations take longer to compare, and each character of each prefix comes by here.
_SPACE, _STOP, _SIGN, _CODE = (int(kind) for kind in (Kind.SPACE, Kind.STOP, Kind.SIGN, Kind.CODE))
_LETTERS, _SIGNS = (int(Kind.SMALL), int(Kind.CAPITAL)), (_STOP, _SIGN)
_MAKES_CODE = [[makes_code(kind, before) for kind in Kind] for before in Kind]


class TextState(NamedTuple):
    """What is known of a text so far.

    Attributes:
        context: The last symbols.
        token_start: The context at the start of the last token.
        finished: The score of all tokens but the last.
        token: The score of the last token so far.
        last: The `Kind` of the last character; CODE: the last token is one.
    """

    context: bytes
    token_start: bytes
    finished: float
    token: float
    last: int

    @property
    def score(self) -> float:
        """The score of the text."""
        return self.finished + self.token


class TextScorer:
    """Scores texts: the sum of weight * log p + bonus over what the model judges.

    Args:
        model: The language model.
        charset: Which character has which class.
        weight: Of the logarithm of each probability.
        bonus: For each judgement, so that longer texts are not at a disadvantage.
        floor: A log p below counts as this: a foreign name is unlikely, but not wrong.
    """

    def __init__(
        self, model: NgramModel, charset: Charset, *, weight: float, bonus: float, floor: float
    ) -> None:
        self._model = model
        self._weight, self._bonus, self._floor = weight, bonus, floor
        self.most_gain = max(bonus, 0.0)
        """What one character more can add to a score."""
        self._longest = model.order - 1
        self._kinds, self._symbols = _characters(charset.characters, model.alphabet)
        self._space, self._sign, self._code = model.encode(SPACE + SIGN + CODE)
        start = self._pushed(b"", self._space)
        self.start = TextState(start, start, 0.0, 0.0, _SPACE)
        """The state of the empty text."""

    def advance(self, state: TextState, number: int) -> TextState:
        """Returns the state of a text that one more character, of class `number`, follows."""
        context, token_start, finished, token, last = state
        kind = self._kinds[number]
        if kind == _SPACE:
            if last == _SPACE:
                return state
            if last in _LETTERS:
                token += self._gain(context, self._space)
            context = self._pushed(context, self._space)
            return TextState(context, context, finished + token, 0.0, _SPACE)
        if last == _CODE:
            return state
        if kind == _STOP and last not in _LETTERS:
            kind = _SIGN
        if _MAKES_CODE[last][kind]:
            token = min(token, 0.0) + self._gain(token_start, self._code)
            return TextState(self._pushed(token_start, self._code), token_start, finished, token, _CODE)
        if kind in _LETTERS:
            symbol = self._symbols[number]
            token += self._gain(context, symbol)
            return TextState(self._pushed(context, symbol), token_start, finished, token, kind)
        if last not in _SIGNS:
            token += self._gain(context, self._sign)
            context = self._pushed(context, self._sign)
        return TextState(context, token_start, finished, token, kind)

    def _gain(self, context: bytes, symbol: int) -> float:
        log = math.log(self._model.probability(context, symbol))
        return self._weight * max(log, self._floor) + self._bonus

    def _pushed(self, context: bytes, symbol: int) -> bytes:
        return (context + bytes((symbol,)))[-self._longest :] if self._longest else b""


@lru_cache(maxsize=16)
def _characters(characters: str, alphabet: str) -> tuple[list[int], list[int]]:
    """Returns for each class of a charset its kind and its symbol, 0 where it is no letter."""
    letters = frozenset(alphabet) - {SPACE, SIGN, CODE}
    number = {symbol: index for index, symbol in enumerate(alphabet, start=1)}
    kinds = [_SIGN, *(int(kind_of(character, letters)) for character in characters)]
    return kinds, [0, *(number.get(character.lower(), 0) for character in characters)]
