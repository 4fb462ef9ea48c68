"""Reads some of the lines with the weights that a run is to start from: how much is there to be learned?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image

from vocr_cli.core.autoconf.facts import DataFacts
from vocr_cli.core.data.lmdb.store import LineStore
from vocr_cli.core.errors import ImageError
from vocr_cli.core.evaluation.metrics import score
from vocr_cli.core.text import clean

if TYPE_CHECKING:
    from vocr_cli.core.machine.precision import DeviceName

MOST_LINES = 200


def read_start(
    model: str, data: DataFacts, device: DeviceName, on_done: Callable[[int], None]
) -> float | None:
    """The CER of weights on lines to learn, the held-back ones where there are any.

    Args:
        model: An embedded model or a model file.
        data: The lines; at most 200 are read, drawn evenly.
        device: What to read on.
        on_done: Called with the number of lines read since the last call.

    Returns:
        None: No line can be read.

    Raises:
        ModelError: The weights cannot be read with.
    """
    from vocr_cli.core.inference.recognizer import Recognizer

    recognizer = Recognizer.load(model, device, language_model="none")
    labels: list[str] = []
    texts: list[str] = []
    for label, image in _lines(data):
        try:
            texts.append(recognizer.read([Image.open(BytesIO(image))])[0].text)
        except (ImageError, OSError):
            continue
        labels.append(label)
        on_done(1)
    return score(labels, texts).cer.value if any(labels) else None


def _lines(data: DataFacts) -> Iterator[tuple[str, bytes]]:
    """Labels and encoded images, evenly drawn."""
    databases = data.valid or data.sources
    stride = max(sum(count for _, count in databases) // MOST_LINES, 1)
    for path, count in databases:
        with LineStore(path) as store:
            for index in range(0, count, stride):
                yield clean(store.text(index)), store[index].image
