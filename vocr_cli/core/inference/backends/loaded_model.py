"""What loading a model gives."""

from __future__ import annotations

from dataclasses import dataclass

from vocr_cli.core.config.image import ImageConfig
from vocr_cli.core.inference.engines.base import Engine
from vocr_cli.core.text import Charset


@dataclass(frozen=True)
class LoadedModel:
    """An engine, and what it takes to use it.

    Attributes:
        notes: What was supposed of the model, where its file does not tell.
    """

    engine: Engine
    image: ImageConfig
    charset: Charset
    name: str
    notes: tuple[str, ...] = ()
