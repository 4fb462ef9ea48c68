"""The members of a tar, read once from front to end in memory that does not grow with the archive."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, cast

from vocr_cli.core.data.images.file_kinds import MAX_FILE_BYTES, too_many_bytes
from vocr_cli.core.errors import ImageError, reason_of
from vocr_cli.core.machine.files.input_file import SpecialFileError, open_input

_HEADER_BYTES = 1 << 20
_ERRORS = (OSError, EOFError, tarfile.TarError, ValueError, zlib.error, lzma.LZMAError)


def tar_members(path: Path, is_wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes | ImageError]]:
    """Yields the files in an archive in its order, hidden ones left out.

    Args:
        path: The archive, packed or not.
        is_wanted: Whether a member of that name (folders included) is read; the others' bytes are empty.

    Yields:
        The member's name, and its bytes or, where it is too large for a line image, why there are none.

    Raises:
        ImageError: The archive cannot be opened, or breaks off.
    """
    try:
        with (
            _unpacked(path) as stream,
            tarfile.open(fileobj=stream, mode="r|", tarinfo=_BoundedMember) as archive,
        ):
            for member in archive:
                archive.members = []  # type: ignore[attr-defined]  # else it remembers every member
                if member.isfile() and not os.path.basename(member.name).startswith("."):
                    yield member.name, _content(archive, member, path) if is_wanted(member.name) else b""
        if not _is_ended(path):
            raise EOFError("it has no end mark")
    except _ERRORS as error:
        raise _damaged(path, error) from None


class _BoundedMember(tarfile.TarInfo):
    """A member whose names and attributes are taken into memory only where they are of a usual size.

    They stand in members of their own before it, and sizes of these, or maps of holes, could be any.
    """

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        kinds = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
        if self.type in (*kinds, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
            if self.size > _HEADER_BYTES:
                raise tarfile.ReadError(f"a header of {self.size:,} bytes")
        elif self.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.ReadError("a file with holes (sparse)")
        return super()._proc_member(archive)  # type: ignore[misc]

    def _proc_gnusparse_10(self, *facts: object) -> None:
        raise tarfile.ReadError("a file with holes (sparse)")


def _unpacked(path: Path) -> IO[bytes]:
    """Opens a tar, packed or not, whatever its name; these readers notice where a packed file breaks off."""
    with open_input(path, pipes=False) as start:
        head = start.read(10)
    if head.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.open(path))
    if head.startswith(b"BZh") and head[4:] == b"1AY&SY":  # a member's name may begin with BZh
        return cast(IO[bytes], bz2.open(path))
    if head.startswith(b"\xfd7zXZ\0"):
        return cast(IO[bytes], lzma.open(path))
    return path.open("rb")


def _is_ended(path: Path) -> bool:
    """Whether a tar ends in zeros as the format has it: cut between two members it looks whole otherwise."""
    with _unpacked(path) as stream:
        if isinstance(stream, gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile):
            return True  # a checksum of its own stands at the end
        stream.seek(-min(512, path.stat().st_size), os.SEEK_END)
        return not stream.read().strip(b"\0")


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> bytes | ImageError:
    if member.size > MAX_FILE_BYTES:
        return too_many_bytes(f"{path}/{member.name}", member.size)
    stream = archive.extractfile(member)
    data = stream.read() if stream is not None else b""
    if len(data) < member.size:
        raise EOFError(f"{member.name} is cut short")
    return data


def _damaged(path: Path, error: Exception) -> ImageError:
    if isinstance(error, FileNotFoundError | SpecialFileError):
        reason = reason_of(error) if isinstance(error, SpecialFileError) or path.is_symlink() else ""
        return ImageError(f"{path}: {reason or 'no such file'}.", "Check the path.")
    reason = (getattr(error, "strerror", None) or str(error) or type(error).__name__).split("\n")[0]
    return ImageError(
        f"{path}: the archive cannot be read to its end: {reason}.",
        "Copy it again; the images before the damage are read.",
    )
