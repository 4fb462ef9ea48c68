"""Line images inside tar archives, read once from front to end in constant memory."""

from __future__ import annotations

import gzip
import os
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from vocr_cli.core.errors import ImageError

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
IMAGE_SUFFIXES = frozenset(
    ".avif .bmp .dib .gif .jfif .jp2 .jpe .jpeg .jpg .pbm .pgm .png .pnm .ppm .tif .tiff .webp".split()
)
"""What counts as an image inside a folder or archive. A file that is named itself is opened anyway."""

MAX_FILE_BYTES = 128 << 20
"""Larger members are not taken into memory: no line image needs them."""


def is_tar(path: Path) -> bool:
    """Whether a file counts as an archive, by its name."""
    return path.name.lower().endswith(TAR_SUFFIXES)


def is_image(name: str) -> bool:
    """Whether a name found in a folder or archive counts as an image's."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def tar_images(path: Path) -> Iterator[tuple[str, bytes | ImageError]]:
    """The images of an archive in its order: `ARCHIVE/MEMBER`, and the file's bytes or why there are none.

    An archive that cannot be opened, or breaks off, gives one more entry, its own name and the reason.
    """
    try:
        with _stream(path) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                archive.members = []  # type: ignore[attr-defined]  # else it remembers every member
                name = os.path.basename(member.name)
                if not member.isfile() or name.startswith(".") or not is_image(name):
                    continue
                yield f"{path}/{member.name}", _content(archive, member, path)
        if not _is_ended(path):
            yield str(path), _damaged(path, EOFError("it has no end mark"))
    except (OSError, EOFError, tarfile.TarError, ValueError, zlib.error) as error:
        yield str(path), _damaged(path, error)


def _stream(path: Path) -> IO[bytes]:
    """Tars may be packed whatever their name; Python's own gzip notices when a file breaks off."""
    with path.open("rb") as start:
        packed = start.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], gzip.open(path)) if packed else path.open("rb")


def _is_ended(path: Path) -> bool:
    """Whether a tar ends in zeros as the format has it: cut between two members it looks whole otherwise."""
    with _stream(path) as stream:
        if isinstance(stream, gzip.GzipFile):
            return True  # its own checksum stands at the end
        stream.seek(-min(512, path.stat().st_size), os.SEEK_END)
        return not stream.read().strip(b"\0")


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> bytes | ImageError:
    if member.size > MAX_FILE_BYTES:
        return ImageError(
            f"{path}/{member.name}: {member.size:,} bytes are too many for a line image.",
            "Crop the text lines out of it.",
        )
    stream = archive.extractfile(member)
    data = stream.read() if stream is not None else b""
    if len(data) < member.size:
        raise EOFError(f"{member.name} is cut short")
    return data


def _damaged(path: Path, error: Exception) -> ImageError:
    if isinstance(error, FileNotFoundError):
        return ImageError(f"{path}: no such file.", "Check the path.")
    reason = (getattr(error, "strerror", None) or str(error) or type(error).__name__).split("\n")[0]
    return ImageError(
        f"{path}: the archive cannot be read to its end: {reason}.",
        "Copy it again; the images before the damage are read.",
    )
