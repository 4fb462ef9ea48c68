"""Ways of reading: a number format, and the program that computes in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast, get_args

from vocr_cli.core.inference.engines.onnx import RuntimeName as OnnxRuntimeName
from vocr_cli.core.machine.precision import PrecisionName

RuntimeName = Literal["torch"] | OnnxRuntimeName
"""Programs that run models."""


@dataclass(frozen=True)
class Backend:
    """A number format, and the program that computes in it; written as `int8 onnxruntime`."""

    precision: PrecisionName
    runtime: RuntimeName

    def __str__(self) -> str:
        return f"{self.precision} {self.runtime}"

    @classmethod
    def parse(cls, name: str) -> Backend:
        """Reads what `str` wrote.

        Raises:
            ValueError: There is no such precision or runtime.
        """
        precision, _, runtime = name.partition(" ")
        if precision not in get_args(PrecisionName) or runtime not in ("torch", *get_args(OnnxRuntimeName)):
            raise ValueError(f"no way of reading: {name!r}")
        return cls(cast(PrecisionName, precision), cast(RuntimeName, runtime))
