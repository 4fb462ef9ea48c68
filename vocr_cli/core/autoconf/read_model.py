"""What a plan starts from: the settings that a model's name or file fixes, and how well its weights read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image

from vocr_cli.core.autoconf.facts import DataFacts
from vocr_cli.core.autoconf.model_size import CTC_SIZES
from vocr_cli.core.config.tree import Config
from vocr_cli.core.data.lmdb.store import LineStore
from vocr_cli.core.errors import ImageError, ModelError
from vocr_cli.core.evaluation.metrics import score
from vocr_cli.core.models.description import config_of
from vocr_cli.core.models.spec import is_config
from vocr_cli.core.models.vietocr.yaml_config import named_configs
from vocr_cli.core.text import clean

if TYPE_CHECKING:
    from vocr_cli.core.machine.precision import DeviceName

_MOST_READ = 200


def architecture_config(name_or_path: str) -> Config:
    """Return the config of a new model: what a config or a model file gives, else the defaults.

    Args:
        name_or_path: A config, ours or VietOCR's, as a YAML file or by VietOCR's name; an embedded model, or
            a model file.

    Raises:
        ModelError: None of these.
        ConfigError: The YAML cannot be used.
    """
    try:
        return config_of(name_or_path)
    except ModelError as error:
        names = ", ".join((*CTC_SIZES, *named_configs()))
        fix = f"{error.fix} Or --model {names}, for a model from scratch."
        raise ModelError(error.problem, fix) from None


def weights_config(name_or_path: str) -> Config:
    """Return the model, image settings and charset of a model file, all else as by default.

    Args:
        name_or_path: An embedded model or a model file, of VietOCR too.

    Raises:
        ModelError: No such model, or it cannot be understood.
    """
    if is_config(name_or_path):
        raise ModelError(
            f"{name_or_path} is a config, not weights to start from.",
            "Name an embedded model or a model file; a config goes to --model.",
        )
    return config_of(name_or_path)


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
    for label, image in _labelled_lines(data):
        try:
            texts.append(recognizer.read([Image.open(BytesIO(image))])[0].text)
        except (ImageError, OSError):
            continue
        labels.append(label)
        on_done(1)
    return score(labels, texts).cer.value if any(labels) else None


def _labelled_lines(data: DataFacts) -> Iterator[tuple[str, bytes]]:
    """Labels and encoded images, evenly drawn."""
    databases = data.valid or data.sources
    stride = max(sum(count for _, count in databases) // _MOST_READ, 1)
    for path, count in databases:
        with LineStore(path) as store:
            for index in range(0, count, stride):
                yield clean(store.text(index)), store[index].image
