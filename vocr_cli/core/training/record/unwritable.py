"""Files of a run that cannot be written, for want of space as a rule: the run ends, and can go on later."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vocr_cli.core.errors import ModelError, reason_of
from vocr_cli.core.models.files import UNWRITABLE
from vocr_cli.core.training.resume import resume_command


def unwritable(path: Path, error: Exception, folder: Path) -> ModelError:
    """Returns the error of a file that a run cannot write.

    Args:
        path: The file.
        error: What the system or a library said.
        folder: The run folder.
    """
    return ModelError(
        f"{path} cannot be written: {reason_of(error)}.",
        f"{UNWRITABLE} Then go on: {resume_command(folder)}",
    )


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what goes wrong in the block with a file of a run folder into an error with a remedy.

    Raises:
        ModelError: The file cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise unwritable(path, error, path.parent) from None
