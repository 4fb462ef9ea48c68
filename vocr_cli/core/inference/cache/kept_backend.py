"""Which way of reading a cache's readings come from, so that later runs take the same and find them."""

from __future__ import annotations

import json
from pathlib import Path

from vocr_cli.core.inference.backends.backend import Backend
from vocr_cli.core.machine.atomic_write import atomic_write

_FILE = "backends.json"


def kept_backend(folder: Path, model: str) -> Backend | None:
    """Looks up what a model was read with when this cache was begun; None: it was not, or nobody knows.

    Args:
        folder: The cache's.
        model: Digest of the model's file.
    """
    try:
        return Backend.parse(_read(folder)[model])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def keep_backend(folder: Path, model: str, backend: Backend) -> None:
    """Notes what a model is read with; that a folder cannot be written is for the cache to say."""
    kept = _read(folder)
    if kept.get(model) == str(backend):
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(folder / _FILE) as temporary:
            temporary.write_text(json.dumps({**kept, model: str(backend)}, indent=1) + "\n", encoding="utf-8")
    except OSError:
        return


def _read(folder: Path) -> dict[str, str]:
    try:
        kept = json.loads((folder / _FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}
