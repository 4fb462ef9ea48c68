"""How busy a GPU is while something runs."""

from __future__ import annotations

import subprocess
from statistics import mean
from types import TracebackType
from typing import Self

from vocr_cli.core.errors import DependencyError

_COMMAND = (
    "nvidia-smi", "--id=0", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--loop-ms=100",
)  # fmt: skip


class GpuUtilization:
    """Asks NVIDIA's tool, which comes with the driver, ten times a second while the block runs.

    Attributes:
        fraction: Mean fraction of the time in which the first GPU ran anything, known when the block has
            ended.

    Raises:
        DependencyError: The tool is missing or tells nothing.
    """

    fraction = 0.0

    def __enter__(self) -> Self:
        try:
            self._process = subprocess.Popen(_COMMAND, stdout=subprocess.PIPE, text=True)
        except OSError:
            raise _silent() from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        output, _ = self._process.communicate()
        fractions = [int(row) / 100 for row in output.split() if row.isdigit()]
        if fractions:
            self.fraction = mean(fractions)
        elif kind is None:
            raise _silent()


def _silent() -> DependencyError:
    return DependencyError(
        "nvidia-smi does not say how busy the GPU is.", "Install it with the driver, or pass --device cpu."
    )
