"""What the name of a language model stands for. Loads neither numpy nor the model."""

from __future__ import annotations

from pathlib import Path

from vocr_cli.core.errors import ModelError

EMBEDDED = "vi"
"""Name of the language model that comes with the package."""

EMBEDDED_FILE = Path(__file__).parents[2] / "assets" / f"{EMBEDDED}.lm"


def find_language_model(name: str) -> Path:
    """Finds the file of a language model.

    Args:
        name: That of the embedded one, or a path.

    Raises:
        ModelError: There is no such file.
    """
    path = EMBEDDED_FILE if name == EMBEDDED else Path(name)
    if not path.is_file():
        raise ModelError(
            f"No language model {name}.",
            f"Name the embedded one, {EMBEDDED}, or a file that `vocr lm` wrote.",
        )
    return path
