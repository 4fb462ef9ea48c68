"""Files that others give: opening them never waits for ever, reading them never takes all memory.

A name may stand for anything: a named pipe that nobody writes to, a device that never ends, a document of a
million brackets. What cannot be read is an OSError or a ValueError whose text completes "cannot be read: …".
"""

from __future__ import annotations

import errno
import json
import os
import select
import stat
import time
from collections.abc import Iterator
from io import BufferedReader, FileIO
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

MAX_LINE_BYTES = 1 << 20
"""Longer lines of lists and tables are not taken into memory: no path, no label and no row needs them."""

MAX_TEXT_BYTES = 2 << 30
"""Larger lists and texts are not read whole."""

MAX_DOCUMENT_BYTES = 256 << 20
"""Larger JSON documents are not read."""

_PIECE_BYTES = 1 << 20
_WRITER_S = 30.0


class SpecialFileError(OSError):
    """A name stands for no regular file; `strerror` says for what."""


def open_input(path: str | Path, *, pipes: bool = True) -> BinaryIO:
    """Opens a file for reading, unbuffered.

    Args:
        path: A regular file, or where they are wanted a pipe.
        pipes: Whether pipes are read. A named one must have a writer within half a minute; one that a shell
            made, `<(command)`, may take its time.

    Raises:
        SpecialFileError: It is a device, a socket, or a pipe that is not read.
        OSError: It cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise _in_words(error, path) from None
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
        if stat.S_ISFIFO(mode) and pipes:
            _wait_for_writer(descriptor, path)
        elif not stat.S_ISREG(mode):
            raise SpecialFileError(errno.EINVAL, f"it is {_kind(mode)}", str(path))
        return cast(BinaryIO, os.fdopen(descriptor, "rb", buffering=0))
    except BaseException:
        os.close(descriptor)
        raise


def open_buffered(path: str | Path, *, pipes: bool = True) -> BinaryIO:
    """Opens a file as `open_input` does, buffered, to be read line by line."""
    return cast(BinaryIO, BufferedReader(cast(FileIO, open_input(path, pipes=pipes))))


def read_within(path: str | Path, limit: int, *, pipes: bool = True) -> bytes:
    """Reads a file whole.

    Args:
        path: As for `open_input`.
        limit: Its bytes at most.
        pipes: As for `open_input`.

    Raises:
        OSError: It has more bytes, or cannot be read.
    """
    with open_input(path, pipes=pipes) as stream:
        facts = os.fstat(stream.fileno())
        if stat.S_ISREG(facts.st_mode) and facts.st_size > limit:
            raise OSError(errno.EFBIG, f"it has {facts.st_size:,} bytes, more than {limit:,}", str(path))
        pieces, size = [], 0
        while piece := stream.read(min(_PIECE_BYTES, limit + 1 - size) if size else _PIECE_BYTES):
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                raise OSError(errno.EFBIG, f"it has more than {limit:,} bytes", str(path))
        return b"".join(pieces)


class InputLine(NamedTuple):
    """A line of a file: its number, from 1, its bytes with their line end, and whether some were left out."""

    number: int
    content: bytes
    cut: bool


def lines_within(stream: BinaryIO, limit: int = MAX_LINE_BYTES) -> Iterator[InputLine]:
    """Yields the lines of a buffered file; of longer ones than `limit` bytes the beginning alone."""
    number = 0
    while content := stream.readline(limit + 1):
        number += 1
        cut = len(content) > limit
        yield InputLine(number, content[:limit], cut)
        rest = content
        while cut and rest and not rest.endswith(b"\n"):
            rest = stream.readline(limit)


def parse_json(document: str | bytes) -> object:
    """Parses JSON.

    Raises:
        ValueError: It is none, or nested too deeply.
    """
    try:
        return json.loads(document)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _wait_for_writer(descriptor: int, path: str | Path) -> None:
    """Has reads of a pipe wait for what comes; of a named one, once somebody writes to it."""
    if os.path.exists(os.path.realpath(path)):  # one that a shell made has no name
        ready = select.poll()
        ready.register(descriptor, select.POLLIN)
        deadline = time.monotonic() + _WRITER_S
        while not ready.poll(100):  # the end of a writer that wrote nothing counts as well
            if time.monotonic() > deadline:
                raise SpecialFileError(errno.EINVAL, "it is a pipe that nobody writes to", str(path))
    os.set_blocking(descriptor, True)


def _kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "a pipe"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"


def _in_words(error: OSError, path: str | Path) -> OSError:
    """What the system says about special names, so that people understand it."""
    if error.errno == errno.ENXIO:
        return SpecialFileError(errno.EINVAL, "it is a socket", str(path))
    if error.errno == errno.ELOOP:
        return SpecialFileError(error.errno, "it is a link that leads to itself", str(path))
    if error.errno == errno.ENOENT and os.path.islink(path):
        target = os.readlink(path)
        return FileNotFoundError(error.errno, f"it is a link to {target}, which is not there", str(path))
    return error
