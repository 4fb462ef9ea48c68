"""What the same pixels take on a disk in different encodings, and how well a model reads them. N lines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from vocr_cli.core.config.image import ImageConfig
from vocr_cli.core.data.build.build import BuildSettings, build_databases
from vocr_cli.core.data.build.prepare import encode
from vocr_cli.core.data.images.open_image import open_line
from vocr_cli.core.data.lmdb.store import LineStore
from vocr_cli.core.data.readers.open_source import open_source
from vocr_cli.core.evaluation.metrics import Estimate, score
from vocr_cli.core.evaluation.paired import Difference, cer_difference
from vocr_cli.core.inference.recognizer import Recognizer

LOSSLESS: dict[str, Callable[[Image.Image], bytes]] = {
    "RGB PNG": lambda image: encode(image.convert("RGB"), "png"),
    "grey PNG": lambda image: encode(image.convert("L"), "png"),
}
OFFERED: dict[str, Callable[[Image.Image], bytes]] = {
    "JPEG": lambda image: encode(image, "jpeg"),
    "WebP": lambda image: encode(image, "webp"),
}
"""What `vocr build-lmdb --fit` stores, and with `--encoding webp`, which takes longer to decode."""


@dataclass(frozen=True, kw_only=True)
class EncodingRow:
    """One encoding.

    Attributes:
        name: One of `LOSSLESS` or `OFFERED`.
        lossless: Whether its pixels are those given.
        bytes_a_line: Mean size of an image's file.
        cer: Of the reading model on the decoded images.
        worse: By how much its CER is above that on the first encoding, line by line.
    """

    name: str
    lossless: bool
    bytes_a_line: float
    cer: Estimate
    worse: Difference


@dataclass(frozen=True, kw_only=True)
class DiskReport:
    """All encodings of the same pixels.

    Attributes:
        lines: N.
        reader: The model that read them.
        rows: Lossless ones, then what is offered, the default first.
    """

    lines: int
    reader: str
    rows: tuple[EncodingRow, ...]


def measure_encodings(
    data: Path, image: ImageConfig, reader: str, *, lines: int, threads: int, folder: Path
) -> DiskReport:
    """Encode the same pixels in each way, decode and read them.

    Args:
        data: A database of lines as they are.
        image: The size at which they are stored: that of a model.
        reader: A trained model.
        lines: N, at most.
        threads: Processors.
        folder: Where a database is made.

    Raises:
        VocrError: No line can be used, or there is no such model.
    """
    build_databases(
        [open_source(data)], folder / "lossless", BuildSettings(fit=image, encoding="png"), lambda done: None
    )
    recognizer = Recognizer.load(reader, "cpu", "auto", threads, language_model="none")
    with LineStore(folder / "lossless") as store:
        chosen = [store[index] for index in range(min(lines, len(store)))]
    images, labels = [open_line(line.image) for line in chosen], [line.text for line in chosen]
    rows: list[EncodingRow] = []
    first: list[str] = []
    for name, to_bytes in (LOSSLESS | OFFERED).items():
        files = [to_bytes(picture) for picture in images]
        texts = [reading.text for reading in recognizer.read([open_line(file) for file in files])]
        first = first or texts
        rows.append(
            EncodingRow(
                name=name,
                lossless=name in LOSSLESS,
                bytes_a_line=sum(map(len, files)) / len(files),
                cer=score(labels, texts).cer,
                worse=cer_difference(labels, first, texts),
            )
        )
    return DiskReport(lines=len(chosen), reader=reader, rows=tuple(rows))
