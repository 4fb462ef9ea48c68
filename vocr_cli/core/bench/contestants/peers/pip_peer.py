"""A peer from PyPI, in a virtual environment of its own under the user's cache folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vocr_cli.core.bench.contestants.peers.peer import LineFolder, Setting, first_texts, usual_environment
from vocr_cli.core.errors import DependencyError
from vocr_cli.core.machine.cache_folder import cache_folder

SCRIPTS = Path(__file__).parent / "scripts"


@dataclass(frozen=True, kw_only=True)
class PipPeer:
    """A recogniser in Python that a script of ours runs, in the peer's interpreter.

    Attributes:
        name: Of the peer, and of its package.
        release: Version of the package.
        needs: Further packages, with their versions.
        script: Takes a list of images, the file to write, and threads; it writes one text a line.
        setting: What a report says of how it is run.
    """

    name: str
    release: str
    needs: tuple[str, ...]
    script: str
    setting: str

    @property
    def folder(self) -> Path:
        """Its virtual environment."""
        return cache_folder() / "peers" / f"{self.name}-{self.release}"

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def remedy(self) -> str:
        """How it is installed."""
        return f"Add --install to have {self.name} {self.release} put into {self.folder}."

    @property
    def _mark(self) -> Path:
        """A file that is there once the installation is complete."""
        return self.folder / "complete"

    def is_installed(self) -> bool:
        """Return whether an installation was completed."""
        return self._mark.is_file()

    def install(self, on_message: Callable[[str], None]) -> None:
        """Make the environment anew, and install the packages in it with pip.

        Raises:
            DependencyError: That failed; pip's last line is given.
        """
        on_message(f"installing {self.name} {self.release} into {self.folder}")
        shutil.rmtree(self.folder, ignore_errors=True)
        packages = [f"{self.name}=={self.release}", *self.needs]
        pip = [str(self.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        for command in ([sys.executable, "-m", "venv", str(self.folder)], [*pip, *packages]):
            done = subprocess.run(command, capture_output=True, text=True, errors="replace")
            if done.returncode:
                last = (done.stderr or done.stdout).strip().split("\n")[-1]
                raise DependencyError(
                    f"{self.name} {self.release} could not be installed: {last}",
                    "See that PyPI can be reached and that Python has its venv module.",
                )
        self._mark.write_text("\n".join(packages) + "\n", encoding="utf-8")

    def version(self) -> str:
        """Return name and version."""
        return f"{self.name} {self.release}"

    def settings(self) -> Sequence[Setting]:
        """Return the one that there is."""
        return (Setting(self.setting),)

    def command(self, lines: LineFolder, out: Path, setting: Setting, threads: int) -> list[str]:
        """Return the command; -I keeps this process's packages away from the peer's."""
        return [
            str(self.python),
            "-I",
            str(SCRIPTS / self.script),
            str(lines.list_file),
            str(out),
            str(threads),
        ]

    def environment(self, threads: int) -> Mapping[str, str]:
        """Return this process's variables, with the limit of threads of libraries on OpenMP."""
        return {**usual_environment(), "OMP_NUM_THREADS": str(threads)}

    def texts(self, lines: LineFolder, out: Path) -> list[str]:
        """Return the lines that the script wrote."""
        return first_texts(out.read_text(encoding="utf-8").split("\n"), len(lines.names))
