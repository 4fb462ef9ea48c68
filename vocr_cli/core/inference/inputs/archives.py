"""Line images inside tar archives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vocr_cli.core.data.images.file_kinds import is_image_name
from vocr_cli.core.data.readers.tar_members import tar_members
from vocr_cli.core.errors import ImageError


def tar_images(path: Path) -> Iterator[tuple[str, bytes | ImageError]]:
    """The images of an archive in its order: `ARCHIVE/MEMBER`, and the file's bytes or why there are none.

    An archive that cannot be opened, or breaks off, gives one more entry, its own name and the reason.
    """
    try:
        for name, content in tar_members(path, is_image_name):
            if is_image_name(name):
                yield f"{path}/{name}", content
    except ImageError as damaged:
        yield str(path), damaged
