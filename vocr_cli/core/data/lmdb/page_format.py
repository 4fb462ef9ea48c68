"""The format of an LMDB 0.9 file, as its `mdb.c` has it, little-endian.

page    number (u64), pad (u16), flags (u16), lower and upper end of its free room (u16 each),
        then an offset (u16) for each node
node    size or child, low half (u16), high half (u16), flags (u16), key size (u16), key, value
meta    page head, magic and version (u32 each), address and map size (u64 each), two trees (free pages,
        records), last page (u64), transaction (u64)
tree    pad (u32), flags and levels (u16 each), branch, leaf, overflow pages and entries (u64 each), root
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

PAGE_HEAD_BYTES, NODE_HEAD_BYTES, TREE_BYTES = 16, 8, 48
BRANCH_PAGE, LEAF_PAGE, META_PAGE = 1, 2, 8
BIG_VALUE, TREE_VALUE = 1, 2
"""Flags of nodes: the value lies on pages of its own; it is a tree."""

_MAGIC = 0xBEEFC0DE
HEAD_BYTES = 20
"""Bytes up to the end of the mark by which LMDB's files are known."""

_META_BYTES = 152
_TREE = struct.Struct("<IHHQQQQQ")


class PageDamage(Exception):
    """What is wrong with a file, as a clause without an end."""


class NotLmdb(PageDamage):
    """A file that does not begin as those of LMDB 0.9 do."""


class Tree(NamedTuple):
    """What a file says of a tree: its levels and entries, its first page, and the order of its keys."""

    levels: int
    entries: int
    root: int
    flags: int


@dataclass(frozen=True)
class Meta:
    """What a file says of itself: the size of a page, its trees, how many pages it uses, and since when."""

    page_bytes: int
    free: Tree
    records: Tree
    pages: int
    transaction: int


def begins_as_lmdb(head: bytes) -> bool:
    """Whether a file whose first `HEAD_BYTES` or more are these is an LMDB, sound or not."""
    return head[16:HEAD_BYTES] == struct.pack("<I", _MAGIC)


def unpack_tree(data: bytes) -> Tree:
    """What 48 bytes of a file say of a tree."""
    _, flags, levels, _, _, _, entries, root = _TREE.unpack(data)
    return Tree(levels, entries, root, flags)


def read_meta(file: Path) -> Meta:
    """Reads the newer of the two meta pages.

    Raises:
        NotLmdb: The file does not begin with one.
        PageDamage: One of them is damaged, or they contradict each other.
        OSError: The file cannot be read.
    """
    with file.open("rb") as stream:
        head = stream.read(_META_BYTES)
        if len(head) < _META_BYTES or struct.unpack_from("<I", head, 16)[0] != _MAGIC:
            raise NotLmdb("it does not begin as an LMDB does")
        page_bytes = struct.unpack_from("<I", head, 40)[0]
        if page_bytes not in [512 << shift for shift in range(7)]:
            raise PageDamage(f"its pages would have {page_bytes:,} bytes")
        stream.seek(page_bytes)
        metas = [_meta(number, data) for number, data in enumerate((head, stream.read(_META_BYTES)))]
    if metas[0].page_bytes != metas[1].page_bytes:
        raise PageDamage("its two meta pages contradict each other")
    return max(metas, key=lambda meta: meta.transaction)


def _meta(number: int, data: bytes) -> Meta:
    if len(data) < _META_BYTES:
        raise PageDamage("it is cut short")
    page, _, flags = struct.unpack_from("<QHH", data)
    magic, version = struct.unpack_from("<II", data, 16)
    if (page, flags, magic, version) != (number, META_PAGE, _MAGIC, 1):
        raise PageDamage(f"page {number} is no meta page of LMDB 0.9")
    page_bytes = struct.unpack_from("<I", data, 40)[0]
    last, transaction = struct.unpack_from("<QQ", data, 136)
    return Meta(page_bytes, unpack_tree(data[40:88]), unpack_tree(data[88:136]), last + 1, transaction)
