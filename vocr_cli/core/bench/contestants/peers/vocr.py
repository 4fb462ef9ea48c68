"""`vocr infer` as it is by default, in the interpreter that measures."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vocr_cli import __version__
from vocr_cli.core.bench.contestants.peers.peer import LineFolder, Setting, usual_environment


@dataclass(frozen=True)
class Vocr:
    """`vocr infer FOLDER --out FILE`.

    Attributes:
        model: An embedded model's name or a model file.
        device: auto, cpu or cuda.
    """

    model: str
    device: str
    name = "vocr"

    def version(self) -> str:
        """Return vocr's version and the model."""
        return f"vocr {__version__}, {Path(self.model).name}"

    def settings(self) -> Sequence[Setting]:
        """Return the defaults alone."""
        return (Setting("default options"),)

    def command(self, lines: LineFolder, out: Path, setting: Setting, threads: int) -> list[str]:
        """Return the command; how many threads it takes follows from the processors it is held to."""
        options = ["--model", self.model, "--device", self.device, "--out", str(out)]
        return [sys.executable, "-m", "vocr_cli", "infer", str(lines.path), *options]

    def environment(self, threads: int) -> Mapping[str, str]:
        """Return this process's variables."""
        return usual_environment()

    def texts(self, lines: LineFolder, out: Path) -> list[str]:
        """Return the second column of the TSV, by the names of the first."""
        rows = (row.split("\t") for row in out.read_text(encoding="utf-8").splitlines())
        by_name = {Path(row[0]).name: row[1] for row in rows}
        return [by_name.get(name, "") for name in lines.names]
