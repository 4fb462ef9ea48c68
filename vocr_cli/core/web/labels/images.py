"""Images of lines as the page shows them and as copies are kept."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from io import BytesIO

from PIL import Image

from vocr_cli.core.data.images.open_image import open_line
from vocr_cli.core.inference.inputs.sources import LineInput

_SIGNATURES = ((b"\x89PNG\r\n\x1a\n", "image/png", ".png"), (b"\xff\xd8\xff", "image/jpeg", ".jpg"))
_PASSED_BYTES = 4 << 20
_SHOWN_PX = 8000
_DIGEST_BYTES = 16


@dataclass(frozen=True)
class LineImage:
    """The image of a line: its bytes as they are stored, and their digest, hexadecimal."""

    name: str
    data: bytes
    digest: str

    @classmethod
    def load(cls, line: LineInput) -> LineImage:
        """Fetches a line's image.

        Raises:
            VocrError: It cannot be read.
        """
        name, data = line.encoded()
        return cls(name, data, blake2b(data, digest_size=_DIGEST_BYTES).hexdigest())

    def open(self, rotated: bool = False) -> Image.Image:
        """The picture, mode RGB or L, upside down if `rotated`.

        Raises:
            ImageError: It cannot be decoded.
        """
        image = open_line(self.data, self.name)
        return image.transpose(Image.Transpose.ROTATE_180) if rotated else image

    def shown(self) -> tuple[bytes, str]:
        """Bytes that every browser shows, and their media type; large pictures made smaller.

        PNG and JPEG pass as they are: browsers turn them upright by their EXIF as `open_line` does. Whatever
        else a file holds is decoded, and never passed on.

        Raises:
            ImageError: It cannot be decoded.
        """
        for signature, kind, _ in _SIGNATURES:
            if self.data.startswith(signature) and len(self.data) <= _PASSED_BYTES:
                return self.data, kind
        image = self.open()
        if max(image.size) > _SHOWN_PX:
            image.thumbnail((_SHOWN_PX, _SHOWN_PX))
        return _png(image), "image/png"

    def copied(self, rotated: bool) -> tuple[bytes, str]:
        """Bytes for a copy, and the ending of its name; as stored unless turned or of an unusual kind.

        Raises:
            ImageError: It cannot be decoded.
        """
        for signature, _, suffix in _SIGNATURES:
            if self.data.startswith(signature) and not rotated:
                return self.data, suffix
        return _png(self.open(rotated)), ".png"


def _png(image: Image.Image) -> bytes:
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
