"""Errors that a user can mend: each says what is wrong and what to do about it."""

_MOST_CHARACTERS = 2_000

EXIT_INTERRUPTED = 130
"""What a command exits with after Ctrl-C: 128 + SIGINT, as shells report it."""


class VocrError(Exception):
    """A problem with a remedy.

    Both parts are positional and kept in `args`, so that the error survives pickling out of a worker
    process, and torch's habit of raising a worker's error anew with a single argument.

    What a file or a user wrote may be part of it; of a long one, the middle is left out.

    Args:
        problem: What is wrong, naming the file, line or value.
        fix: What the user can do about it.
    """

    def __init__(self, problem: str, fix: str = "") -> None:
        problem, fix = _shortened(problem), _shortened(fix)
        super().__init__(problem, fix)
        self.problem = problem
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.problem}\n{self.fix}" if self.fix else self.problem


class ConfigError(VocrError):
    """A setting is missing, misspelt or out of range."""


class DataError(VocrError):
    """An annotation, a label or a database cannot be used."""


class DocumentError(DataError):
    """A document cannot be written because of what it holds; others can."""


class ImageError(VocrError):
    """An image cannot be read as a text line."""


class ModelError(VocrError):
    """A model file cannot be used."""


class FontError(VocrError):
    """There is no font, or one cannot draw Vietnamese."""


class DependencyError(VocrError):
    """An optional package or program is not installed."""


def _shortened(text: str) -> str:
    half = _MOST_CHARACTERS // 2
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:half]} … {text[-half:]}"


def reason_of(error: Exception) -> str:
    """What a library or the system says, for a sentence that names the file itself and ends it itself."""
    if isinstance(error, FileExistsError | NotADirectoryError):
        return "a file stands where a folder is needed"
    if isinstance(error, IsADirectoryError):
        return "it is a folder"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text.strip().rstrip(".: ") or type(error).__name__
