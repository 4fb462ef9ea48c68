"""The folder for what is kept between runs and may be lost."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """VOCR_CACHE_DIR, or the system's folder for what a user's programs may lose.

    Raises:
        RuntimeError: The user has no home folder.
    """
    if named := os.environ.get("VOCR_CACHE_DIR"):
        return Path(named)
    if sys.platform == "win32" and "LOCALAPPDATA" in os.environ:
        return Path(os.environ["LOCALAPPDATA"]) / "vocr"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vocr"
