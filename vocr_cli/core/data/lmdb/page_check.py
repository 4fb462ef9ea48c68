"""Whether the pages of an LMDB file can be walked without harm, found out before LMDB sees them.

LMDB takes what stands in a file at its word: a page number, an offset or a size that was damaged leads it
out of its memory map, and the process is killed by SIGBUS, SIGSEGV or SIGABRT. Here every branch and leaf
page is read as plain bytes, through no map. A file that passes is read by LMDB without leaving its pages,
and every key in it is found; what values hold (images, labels) is not looked at, for nothing in them can do
harm. `page_format.py` has the format. P pages, N nodes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vocr_cli.core.data.lmdb.page_format import (
    BIG_VALUE,
    BRANCH_PAGE,
    LEAF_PAGE,
    NODE_HEAD_BYTES,
    PAGE_HEAD_BYTES,
    TREE_BYTES,
    TREE_VALUE,
    Meta,
    PageDamage,
    Tree,
    read_meta,
    unpack_tree,
)
from vocr_cli.core.data.lmdb.page_keys import KEY_WORDS, are_ascending, precedes, sort_words

_NO_PAGE = (1 << 64) - 1
_KEY_ORDERS, _INTEGER_KEYS = 0x7E, 0x08  # flags of trees
_MAX_LEVELS = 32  # of LMDB's cursors
_PAGES_AT_ONCE = 1024


def check_pages(file: Path, *, writing: bool = False) -> None:
    """Walks every tree of a file, from its root to its leaves, a level at a time.

    Where another process writes to the file meanwhile so often that no state of it stands still, nothing is
    found out, and nothing raised.

    Args:
        file: The data file.
        writing: Whether it is going to be written to: the list of its free pages is then checked as well.

    Raises:
        PageDamage: LMDB might be led out of the file, or would not find every key.
        OSError: The file cannot be read.
    """
    for _ in range(3):
        meta = read_meta(file)
        try:
            with _open_pages(file, meta) as pages:
                _Walk(pages, meta).run(writing)
            return
        except PageDamage:
            if read_meta(file).transaction <= meta.transaction + 1:
                raise  # pages of a state are written over by the second transaction after it at the soonest


@contextmanager
def _open_pages(file: Path, meta: Meta) -> Iterator[_Pages]:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        size = os.fstat(descriptor).st_size
        yield _Pages(descriptor, meta.page_bytes, min(meta.pages, size // meta.page_bytes))
    finally:
        os.close(descriptor)


class _Pages:
    """Pages read by their numbers, each at most once."""

    def __init__(self, descriptor: int, page_bytes: int, count: int) -> None:
        self.page_bytes, self.count = page_bytes, count
        self._descriptor = descriptor
        self.used = np.zeros(count, bool)
        self.used[:2] = True

    def take(self, numbers: np.ndarray) -> None:
        """Notes that pages, (P,) int64, are used.

        Raises:
            PageDamage: One is used already, or lies outside the file.
        """
        if len(numbers) and (int(numbers.min()) < 2 or int(numbers.max()) >= self.count):
            raise PageDamage(f"it names page {int(numbers.max()):,}, and has {self.count:,}")
        if len(np.unique(numbers)) < len(numbers) or self.used[numbers].any():
            raise PageDamage("a page is used twice")
        self.used[numbers] = True

    def read(self, numbers: np.ndarray) -> np.ndarray:
        """(P, page_bytes) uint8 of pages, (P,) int64."""
        pages = np.empty((len(numbers), self.page_bytes), np.uint8)
        for page, number in zip(pages, numbers.tolist(), strict=True):
            if os.preadv(self._descriptor, [page.data], number * self.page_bytes) < self.page_bytes:
                raise PageDamage(f"page {number:,} is cut short")
        return pages


class _Nodes(NamedTuple):
    """The nodes of some pages, in order: all (N,) int64 but `keys`, (N, `KEY_WORDS`) uint64.

    Attributes:
        row: The index of each one's page among those pages.
        start: Where it begins in them, in bytes.
        size: Of its value; of a branch, the lower 32 bits of its child.
        flags: Of a branch, the upper 16 bits of its child.
        key_bytes: Of its key.
        keys: The beginnings of the keys, as `sort_words` makes them.
    """

    row: np.ndarray
    start: np.ndarray
    size: np.ndarray
    flags: np.ndarray
    key_bytes: np.ndarray
    keys: np.ndarray


class _Walk:
    """One walk through all trees of a file."""

    def __init__(self, pages: _Pages, meta: Meta) -> None:
        self._pages, self._meta = pages, meta
        self._last: tuple[np.ndarray, int] | None = None  # key and its bytes, of the leaf before

    def run(self, writing: bool) -> None:
        """Walks the records, and where the file is to be written to, the trees in it and its free pages."""
        trees = [self._meta.records]
        while trees:
            for nodes, data in self._leaves(trees.pop()):
                inner = self._check_values(nodes, data)
                trees += inner if writing else []  # whoever reads lines opens none of them
        if writing:
            for nodes, data in self._leaves(self._meta.free, ordered=False):
                self._check_values(nodes, data)
                self._check_free(nodes, data)

    def _leaves(self, tree: Tree, ordered: bool = True) -> Iterator[tuple[_Nodes, np.ndarray]]:
        """Yields the nodes of a tree's leaves, and the bytes of their pages.

        Args:
            tree: Where it begins, and how large it says that it is.
            ordered: Whether its keys are in the order of their bytes, and not numbers.
        """
        self._last = None
        if tree.flags & _KEY_ORDERS != (0 if ordered else _INTEGER_KEYS):
            raise PageDamage("its keys are ordered as those of lines never are")
        if tree.root == _NO_PAGE:
            return
        if not 0 < tree.levels <= _MAX_LEVELS or tree.root >= self._pages.count:
            raise PageDamage(f"its first page would be {tree.root:,}, of {self._pages.count:,}")
        numbers = np.array([tree.root], np.int64)
        least = np.zeros((1, KEY_WORDS), np.uint64)  # no key of a page comes before its own
        for _ in range(tree.levels - 1):
            below = [self._branches(*part, ordered) for part in _parts(numbers, least)]
            numbers, least = (np.concatenate(columns) for columns in zip(*below, strict=True))
        entries = 0
        for some_numbers, some_least in _parts(numbers, least):
            self._pages.take(some_numbers)
            data = self._pages.read(some_numbers)
            nodes = self._nodes(some_numbers, data, LEAF_PAGE)
            entries += len(nodes.row)
            if ordered:
                self._check_order(nodes, some_least)
            yield nodes, data
        if entries != tree.entries:
            raise PageDamage(f"a tree of {tree.entries:,} entries has {entries:,}")

    def _branches(
        self, numbers: np.ndarray, least: np.ndarray, ordered: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """The children of branch pages, and the least key of each."""
        self._pages.take(numbers)
        nodes = self._nodes(numbers, self._pages.read(numbers), BRANCH_PAGE)
        first = np.diff(nodes.row, prepend=-1) > 0  # whose key is not used: it is that of the page
        keys = np.where(first[:, None], least[nodes.row], nodes.keys)
        inner = ~first[1:]
        if np.bincount(nodes.row, minlength=len(numbers)).min() < 2:
            raise PageDamage("a branch has one child alone")
        if ordered and not are_ascending(keys, nodes.key_bytes, inner, strict=False):
            raise PageDamage("the keys of a branch are out of order")
        return nodes.size | nodes.flags << 32, keys

    def _nodes(self, numbers: np.ndarray, data: np.ndarray, kind: int) -> _Nodes:
        """Checks pages, (P, page_bytes) uint8, and finds their nodes."""
        words = data.view("<u2").astype(np.int64)  # (P, page_bytes / 2)
        stated = np.ascontiguousarray(data[:, :8]).view("<u8")[:, 0]
        lower, upper = words[:, 6], words[:, 7]
        counts = (lower - PAGE_HEAD_BYTES) // 2
        sound = (stated == numbers) & (words[:, 5] == kind) & (counts > 0) & (lower % 2 == 0)
        sound &= (lower <= upper) & (upper <= self._pages.page_bytes)
        if not sound.all():
            raise PageDamage(
                f"page {int(numbers[~sound][0]):,} is no {'leaf' if kind == LEAF_PAGE else 'branch'}"
            )
        offsets = words[:, 8 : 8 + int(counts.max())]
        is_node = np.arange(offsets.shape[1]) < counts[:, None]
        row, offset = np.nonzero(is_node)[0], offsets[is_node]
        if (
            (offset < upper[row]) | (offset + NODE_HEAD_BYTES > self._pages.page_bytes) | offset % 2 > 0
        ).any():
            raise PageDamage("a page names a place outside itself")
        start = row * self._pages.page_bytes + offset
        heads = words.reshape(-1)[start[:, None] // 2 + np.arange(4)]  # (N, 4)
        key_bytes, room = heads[:, 3], self._pages.page_bytes - offset - NODE_HEAD_BYTES
        if (key_bytes > room).any():
            raise PageDamage("a key reaches beyond its page")
        keys = sort_words(data.reshape(-1), start + NODE_HEAD_BYTES, key_bytes)
        return _Nodes(row, start, heads[:, 0] | heads[:, 1] << 16, heads[:, 2], key_bytes, keys)

    def _check_order(self, nodes: _Nodes, least: np.ndarray) -> None:
        """Checks that keys follow one another, and stand on the pages on which they are looked for."""
        everywhere = np.ones(len(nodes.row) - 1, bool)
        first = np.flatnonzero(np.diff(nodes.row, prepend=-1) > 0)
        ordered = are_ascending(nodes.keys, nodes.key_bytes, everywhere, strict=True)
        ordered &= not precedes(nodes.keys[first], least).any()
        ordered &= bool(precedes(nodes.keys[first[1:] - 1], least[1:], or_alike=True).all())
        if self._last is not None:
            key, key_bytes = self._last
            pair = np.stack([key, nodes.keys[0]]), np.array([key_bytes, nodes.key_bytes[0]])
            ordered &= are_ascending(*pair, np.ones(1, bool), strict=True)
            ordered &= bool(precedes(key[None], least[:1], or_alike=True).all())
        if not ordered:
            raise PageDamage("keys are out of order")
        self._last = nodes.keys[-1], int(nodes.key_bytes[-1])

    def _check_values(self, nodes: _Nodes, data: np.ndarray) -> list[Tree]:
        """Checks that values lie within their page or their own pages; gives the trees among them."""
        page_bytes, flat = self._pages.page_bytes, data.reshape(-1)
        room = page_bytes - nodes.start % page_bytes - NODE_HEAD_BYTES - nodes.key_bytes
        big, is_tree = nodes.flags == BIG_VALUE, nodes.flags == TREE_VALUE
        if not (big | is_tree | (nodes.flags == 0)).all():
            raise PageDamage("a record is of a kind that those of lines never are")
        if (np.where(big, 8, nodes.size) > room).any() or (nodes.size[is_tree] != TREE_BYTES).any():
            raise PageDamage("a value reaches beyond its page")
        values = nodes.start + NODE_HEAD_BYTES + nodes.key_bytes
        self._take_runs(
            flat[values[big][:, None] + np.arange(8)].view("<u8")[:, 0],
            -(-(PAGE_HEAD_BYTES + nodes.size[big]) // page_bytes),
        )
        return [unpack_tree(flat[start : start + TREE_BYTES].tobytes()) for start in values[is_tree].tolist()]

    def _take_runs(self, first: np.ndarray, counts: np.ndarray) -> None:
        """Notes the pages of large values: (N,) uint64 first pages and (N,) int64 numbers of pages."""
        if (first >= self._pages.count).any() or (first.astype(np.int64) + counts > self._pages.count).any():
            raise PageDamage("a value reaches beyond the end of the file")
        if int(counts.sum()) > self._pages.count:
            raise PageDamage("a page is used twice")
        starts = np.repeat(first.astype(np.int64) - np.cumsum(counts) + counts, counts)
        self._pages.take(starts + np.arange(len(starts)))

    def _check_free(self, nodes: _Nodes, data: np.ndarray) -> None:
        """Checks lists of free pages: a count, then so many page numbers; none of them may be in use."""
        flat, big = data.reshape(-1), nodes.flags == BIG_VALUE
        values = (nodes.start + NODE_HEAD_BYTES + nodes.key_bytes).tolist()
        for start, size, apart in zip(values, nodes.size.tolist(), big.tolist(), strict=True):
            content = flat[start : start + size]
            if apart:
                first = int(flat[start : start + 8].view("<u8")[0])
                run = np.arange(first, first + -(-(PAGE_HEAD_BYTES + size) // self._pages.page_bytes))
                content = self._pages.read(run).reshape(-1)[PAGE_HEAD_BYTES : PAGE_HEAD_BYTES + size]
            listed = np.frombuffer(content.tobytes()[: size // 8 * 8], "<u8")
            if size < 8 or size % 8 or int(listed[0]) > len(listed) - 1:
                raise PageDamage("a list of free pages is cut short")
            free = listed[1 : 1 + int(listed[0])]
            if len(free) and (int(free.min()) < 2 or int(free.max()) >= self._meta.pages):
                raise PageDamage("a free page lies outside the file")
            inside = free[free < self._pages.count].astype(np.int64)
            if self._pages.used[inside].any() or (np.diff(free.astype(np.int64)) >= 0).any():
                raise PageDamage("a page is free and used at the same time")


def _parts(numbers: np.ndarray, least: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Cuts the pages of a level into parts that are looked at together."""
    for start in range(0, len(numbers), _PAGES_AT_ONCE):
        part = slice(start, start + _PAGES_AT_ONCE)
        yield numbers[part], least[part]
