"""Tesseract: one process over a list of images, with the Vietnamese data that are installed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from vocr_cli.core.bench.contestants.peers.peer import LineFolder, Setting, first_texts, usual_environment
from vocr_cli.core.errors import DependencyError

MARGIN_PX = 10


class Tesseract:
    """Tesseract on single lines (`--psm 7`), with and without a margin, and with each Vietnamese model.

    Models are all whose name in `tesseract --list-langs` begins with "vie", in whatever case: `vie`;
    `Vietnamese` or `script/Vietnamese`, of Debian's tesseract-ocr-script-viet; and, say, `vie_best_int`,
    which is tessdata_best's after `combine_tessdata -c`. TESSDATA_PREFIX names another folder of models.
    """

    name = "tesseract"
    remedy = "Install tesseract: apt install tesseract-ocr tesseract-ocr-vie, or see tesseract-ocr.github.io."

    def is_installed(self) -> bool:
        """Return whether there is a Tesseract with Vietnamese data."""
        return shutil.which("tesseract") is not None and bool(_languages())

    def install(self, on_message: Callable[[str], None]) -> None:
        """Refuse: it is the system's to install.

        Raises:
            DependencyError: Always.
        """
        raise DependencyError("Tesseract is not installed, or has no Vietnamese data.", self.remedy)

    def version(self) -> str:
        """Return the first line of `tesseract --version`."""
        shown = subprocess.run(["tesseract", "--version"], capture_output=True, text=True)
        return (shown.stdout or shown.stderr).split("\n")[0].strip()

    def settings(self) -> Sequence[Setting]:
        """Return each model with a margin, then without."""
        return tuple(
            Setting(f"{language}, {f'{margin} px' if margin else 'no'} margin", margin, language)
            for margin in (MARGIN_PX, 0)
            for language in _languages()
        )

    def command(self, lines: LineFolder, out: Path, setting: Setting, threads: int) -> list[str]:
        """Return the command; Tesseract adds `.txt` to the name of what it writes."""
        return ["tesseract", str(lines.list_file), str(out), "-l", setting.language, "--psm", "7"]

    def environment(self, threads: int) -> Mapping[str, str]:
        """Return this process's variables, with Tesseract's limit of threads."""
        return {**usual_environment(), "OMP_THREAD_LIMIT": str(threads)}

    def texts(self, lines: LineFolder, out: Path) -> list[str]:
        """Return the pages of the output, one a line image, each on one line."""
        written = out.with_name(f"{out.name}.txt").read_text(encoding="utf-8", errors="replace")
        return first_texts([" ".join(page.split()) for page in written.split("\f")], len(lines.names))


def _languages() -> list[str]:
    """Return the Vietnamese models, `vie` first."""
    listed = subprocess.run(["tesseract", "--list-langs"], capture_output=True, text=True).stdout.split("\n")
    names = [name.strip() for name in listed[1:]]  # the first line says where they are
    found = [name for name in names if name.rpartition("/")[2].lower().startswith("vie")]
    return sorted(found, key=lambda name: (name != "vie", name))
