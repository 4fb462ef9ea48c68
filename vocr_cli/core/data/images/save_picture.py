"""Pictures for people, written as all files are."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from vocr_cli.core.errors import DataError, reason_of
from vocr_cli.core.machine.atomic_write import atomic_write


def save_picture(picture: Image.Image, path: Path) -> None:
    """Writes a picture in the format that the ending of its name says, PNG by default.

    Raises:
        DataError: It cannot be written.
    """
    Image.init()
    kind = Image.EXTENSION.get(path.suffix.lower(), "PNG")
    try:
        with atomic_write(path) as temporary:
            picture.save(temporary, kind)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"{path} cannot be written: {reason_of(error)}.", "Name a .png in a folder you may write to."
        ) from None
