"""PNG, WebP or JPEG for pre-scaled lines: bytes a line, time to decode one, and the CER of a model on them.

    python benchmarks/encodings.py [ANNOTATIONS] [--model vi-small] [--height PX] [--limit N] [--json FILE]

Each image is scaled and encoded as `vocr build-lmdb --fit MODEL` does, or with --height as that option does,
with some other qualities beside the defaults, then decoded and read. "as they are" are the files untouched.
Decoding is timed with one thread, as the loader decodes, the encodings in turns: the whole set of each once
to warm up and `--rounds` times more; the median counts.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from statistics import median

from PIL import Image

from vocr_cli import Recognizer
from vocr_cli.core.bench.measure import describe_machine
from vocr_cli.core.data.build.prepare import Storage, encode, resized
from vocr_cli.core.data.images.open_image import open_line
from vocr_cli.core.data.readers.labelled import load_labelled
from vocr_cli.core.evaluation.metrics import score
from vocr_cli.core.inference.inputs.sources import LineInput

_LINES_PER_READ = 256


@dataclass(frozen=True)
class Row:
    """What one encoding costs and what it does to the readings."""

    encoding: str
    bytes_mean: float
    decode_us: float
    cer: float
    cer_low: float
    cer_high: float


def saved(kind: str, **options: object) -> Callable[[Image.Image], bytes]:
    def save(image: Image.Image) -> bytes:
        buffer = BytesIO()
        image.save(buffer, kind, **options)
        return buffer.getvalue()

    return save


ENCODINGS: dict[str, Callable[[Image.Image], bytes]] = {
    "png (default)": lambda image: encode(image, "png"),
    "png, level 9": saved("PNG", compress_level=9),
    "webp (default)": lambda image: encode(image, "webp"),
    "webp, lossless": saved("WEBP", lossless=True, quality=50),
    "webp, quality 75": saved("WEBP", quality=75),
    "jpeg, quality 92": saved("JPEG", quality=92, subsampling=0),
    "jpeg, quality 85": saved("JPEG", quality=85, subsampling=0, optimize=True),
    "jpeg, fixed codes": saved("JPEG", quality=80, subsampling=0),
    "jpeg (default)": lambda image: encode(image, "jpeg"),
    "jpeg, quality 75": saved("JPEG", quality=75),
}


def decode_us(sets: Sequence[Sequence[bytes]], rounds: int) -> list[float]:
    """Mean time to decode a line of each set, the median over rounds that take the sets in turns."""
    times: list[list[float]] = [[] for _ in sets]
    for _ in range(rounds + 1):
        for contents, taken in zip(sets, times, strict=True):
            start = time.perf_counter()
            for content in contents:
                open_line(content)
            taken.append((time.perf_counter() - start) / len(contents) * 1e6)
    return [median(taken[1:]) for taken in times]


def read(contents: Sequence[bytes], model: Recognizer) -> list[str]:
    """What the model reads in encoded lines."""
    texts: list[str] = []
    for start in range(0, len(contents), _LINES_PER_READ):
        images = [open_line(content) for content in contents[start : start + _LINES_PER_READ]]
        texts += [reading.text for reading in model.read(images)]
    return texts


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    examples = Path(__file__).parent.parent / "examples" / "lines"
    parser.add_argument("annotations", type=Path, nargs="?", default=examples / "labels.tsv")
    parser.add_argument("--height", type=int)
    parser.add_argument("--model", default="vi-small")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    lines = load_labelled(options.annotations, options.limit).lines
    labels = [line.label for line in lines]
    files = [LineInput(line.name, line.image).encoded()[1] for line in lines]
    model = Recognizer.load(options.model)
    storage = Storage(height_px=options.height) if options.height else Storage(fit=model.image)
    opened = [open_line(content) for content in files]
    small = [resized(image, storage) or image for image in opened]
    size = f"scaled to {options.height} px" if options.height else "at the model's size"
    print(f"{describe_machine()}\n{len(lines)} lines, {size}, {options.model}")
    encoded = {"as they are": files}
    encoded |= {name: [save(image) for image in small] for name, save in ENCODINGS.items()}
    times = decode_us([*encoded.values()], options.rounds)
    rows = []
    for (name, contents), decode in zip(encoded.items(), times, strict=True):
        cer = score(labels, read(contents, model)).cer
        size_mean = sum(map(len, contents)) / len(contents)
        rows.append(Row(name, size_mean, decode, cer.value, cer.low, cer.high))
    for found in rows:
        print(
            f"{found.encoding:18}{found.bytes_mean:8,.0f} bytes  {found.decode_us:6.0f} µs"
            f"  CER {found.cer:.4f} ({found.cer_low:.4f} to {found.cer_high:.4f})"
        )
    if options.json is not None:
        document = {"machine": str(describe_machine()), "lines": len(lines), "rounds": options.rounds}
        document |= {
            "height_px": options.height or model.image.height_px,
            "rows": [asdict(found) for found in rows],
        }
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
