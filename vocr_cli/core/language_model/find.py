"""What the name of a language model stands for. Loads neither numpy nor the model."""

from __future__ import annotations

from pathlib import Path

from vocr_cli.core.errors import ModelError, reason_of

EMBEDDED = "vi"
"""Name of the language model that comes with the package."""

LANGUAGE_MODEL_KEY = "language_model"
"""Of what a model file says of itself: the name of the embedded language model, where the model is read with
it by default."""

MAGIC = b"vocr-lm "
"""What the file of a language model begins with; the version of its format follows."""

EMBEDDED_FILE = Path(__file__).parents[2] / "assets" / f"{EMBEDDED}.lm"


def find_language_model(name: str) -> Path:
    """Finds the file of a language model.

    Args:
        name: That of the embedded one, or a path.

    Raises:
        ModelError: There is no such file, or it is something else.
    """
    path = EMBEDDED_FILE if name == EMBEDDED else Path(name)
    if not path.is_file():
        raise ModelError(
            f"No language model {name}.",
            f"Name the embedded one, {EMBEDDED}, or a file that `vocr lm` wrote.",
        )
    if not is_language_model(path):
        raise ModelError(f"{path} is no language model of vocr's.", "Give a file that `vocr lm` wrote.")
    return path


def is_language_model(path: Path) -> bool:
    """Whether a file begins as language models do.

    Raises:
        ModelError: It cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {reason_of(error)}.", "Check the path.") from None
