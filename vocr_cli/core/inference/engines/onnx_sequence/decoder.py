"""A decoder's step in ONNX Runtime, and what it keeps of a batch. Loads no torch.

Legend: B lines, R rows (B × beams), S columns of the line, T tokens held, D width, N heads, L decoder layers,
C classes. What the steps need of a line is computed with the line, once; what they need of the tokens before
is kept here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np

Feeds = dict[str, np.ndarray]
RunStep = Callable[[Feeds], list[np.ndarray]]
"""Runs the graph of a step on inputs by name."""

CAPACITY = 16
"""Tokens by which the room for keys and values grows: attention goes over what is empty, too."""


class OnnxDecoder(ABC):
    """The decoder of one batch.

    Args:
        run: The graph of a step.
        classes: C.
        max_steps: Steps that can be taken, at most.
    """

    def __init__(self, run: RunStep, classes: int, max_steps: int) -> None:
        self._run = run
        self.classes, self.max_steps = classes, max_steps

    @abstractmethod
    def start(self, memories: Sequence[np.ndarray], beams: int = 1) -> None:
        """Takes a batch of lines and forgets the one before.

        Args:
            memories: What the other graph gave of the lines of each width.
            beams: Rows of each line, side by side.
        """

    @abstractmethod
    def step(self, tokens: np.ndarray) -> np.ndarray:
        """Appends (R,) int64 tokens, SOS first; returns (R, C) float32 logits of what comes next."""

    @abstractmethod
    def keep(self, rows: np.ndarray) -> None:
        """Goes on with these (R',) rows alone; the beams of a line stay side by side."""

    @abstractmethod
    def reorder(self, rows: np.ndarray) -> None:
        """Has row i go on from row `rows[i]` of the same line."""


class TransformerDecoder(OnnxDecoder):
    """Keys and values of the tokens are written into room that is there already; that of a line is shared.

    Args:
        run: The graph of a step.
        classes: C.
        max_steps: Steps that can be taken, at most.
        layers: L.
        heads: N.
    """

    def __init__(self, run: RunStep, classes: int, max_steps: int, *, layers: int, heads: int) -> None:
        super().__init__(run, classes, max_steps)
        self._layers, self._heads = layers, heads

    def start(self, memories: Sequence[np.ndarray], beams: int = 1) -> None:
        """Takes (B, S, 2 L D) of each width, each layer's keys before its values."""
        parts = [
            memory.reshape(*memory.shape[:2], 2 * self._layers, self._heads, -1).transpose(2, 0, 3, 1, 4)
            for memory in memories
        ]
        self._memory = [side_by_side(of_widths, 2) for of_widths in zip(*parts, strict=True)]
        self._column_bias = column_bias([memory.shape[:2] for memory in memories])[:, None, None]
        self._beams, self._held_tokens = beams, 0
        lines, heads, _, width = self._memory[0].shape
        self._held = [np.zeros((lines * beams, heads, 0, width), np.float32) for _ in self._memory]
        self._held_bias = np.zeros(0, np.float32)

    def step(self, tokens: np.ndarray) -> np.ndarray:
        """Runs the graph, and keeps what it gives of the tokens."""
        position = self._held_tokens
        if position == self.max_steps:
            raise ValueError(f"a line takes at most {self.max_steps} steps here")
        if position == len(self._held_bias):
            self._grow()
        feeds = {
            "tokens": tokens,
            "position": np.array([position]),
            "held_bias": self._held_bias,
            "column_bias": self._column_bias,
            **named("memory", self._memory),
            **named("held", self._held),
        }
        logits, *new = self._run(feeds)
        for held, newest in zip(self._held, new, strict=True):
            held[:, :, position] = newest
        self._held_bias[position] = 0
        self._held_tokens += 1
        return logits

    def keep(self, rows: np.ndarray) -> None:
        """Copies what belongs to these rows and their lines."""
        lines = rows[:: self._beams] // self._beams
        self._memory = [memory[lines] for memory in self._memory]
        self._column_bias = self._column_bias[lines]
        self.reorder(rows)

    def reorder(self, rows: np.ndarray) -> None:
        """Copies what is held of the tokens."""
        self._held = [held[rows] for held in self._held]

    def _grow(self) -> None:
        room = [(0, 0), (0, 0), (0, CAPACITY), (0, 0)]
        self._held = [np.pad(held, room) for held in self._held]
        self._held_bias = np.pad(self._held_bias, (0, CAPACITY), constant_values=-np.inf)


class GruDecoder(OnnxDecoder):
    """Keeps a state a row.

    Args:
        run: The graph of a step.
        classes: C.
        max_steps: Steps that can be taken, at most.
        state_width: D.
    """

    def __init__(self, run: RunStep, classes: int, max_steps: int, state_width: int) -> None:
        super().__init__(run, classes, max_steps)
        self._state_width = state_width

    def start(self, memories: Sequence[np.ndarray], beams: int = 1) -> None:
        """Takes (B, S, E + 2 D) of each width: outputs, keys, and the first state in every column."""
        width = self._state_width
        outputs, keys, states = (
            [memory[:, :, part] for memory in memories]
            for part in (slice(-2 * width), slice(-2 * width, -width), slice(-width, None))
        )
        self._memory = [side_by_side(outputs, 1), side_by_side(keys, 1)]
        self._column_bias = column_bias([memory.shape[:2] for memory in memories])[:, None]
        self._beams = beams
        first = np.concatenate([state[:, 0] for state in states])
        self._state = np.repeat(first, beams, axis=0)  # (R, D)

    def step(self, tokens: np.ndarray) -> np.ndarray:
        """Runs the graph, and keeps the state."""
        outputs, keys = self._memory
        feeds = {"tokens": tokens, "state": self._state, "column_bias": self._column_bias}
        logits, self._state = self._run(feeds | {"outputs": outputs, "keys": keys})
        return logits

    def keep(self, rows: np.ndarray) -> None:
        """Copies what belongs to these rows and their lines."""
        lines = rows[:: self._beams] // self._beams
        self._memory = [memory[lines] for memory in self._memory]
        self._column_bias = self._column_bias[lines]
        self.reorder(rows)

    def reorder(self, rows: np.ndarray) -> None:
        """Copies the states."""
        self._state = self._state[rows]


def named(what: str, arrays: Sequence[np.ndarray]) -> Feeds:
    """Names keys and values, layer after layer, as the graph's inputs are."""
    return {f"{what}_{'kv'[index % 2]}_{index // 2}": array for index, array in enumerate(arrays)}


def side_by_side(arrays: Sequence[np.ndarray], axis: int) -> np.ndarray:
    """Puts arrays of several lengths along `axis` into one, along the first; zeros behind each one's end."""
    longest = max(array.shape[axis] for array in arrays)
    shape = list(arrays[0].shape)
    shape[0], shape[axis] = sum(map(len, arrays)), longest
    together = np.empty(shape, arrays[0].dtype)
    start = 0
    for array in arrays:
        end = start + len(array)
        by_place = together[start:end].swapaxes(0, axis)
        by_place[: array.shape[axis]] = array.swapaxes(0, axis)
        by_place[array.shape[axis] :] = 0
        start = end
    return together


def column_bias(sizes: Sequence[tuple[int, ...]]) -> np.ndarray:
    """Returns what is added to attention scores, (B, S): 0 in a line, -inf behind its end.

    Args:
        sizes: Lines and columns of each width.
    """
    columns = np.concatenate([np.full(lines, columns) for lines, columns in sizes])
    behind = np.arange(columns.max()) >= columns[:, None]
    return np.where(behind, -np.inf, 0).astype(np.float32)
