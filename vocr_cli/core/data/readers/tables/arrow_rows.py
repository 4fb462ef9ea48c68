"""Parquet and Arrow files as tables, those of Hugging Face's repositories and `save_to_disk` among them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vocr_cli.core.data.readers.entries import stamp
from vocr_cli.core.data.readers.tables.parquet_groups import ParquetGroups, ParquetRow, short_reason
from vocr_cli.core.data.readers.tables.rows import Row
from vocr_cli.core.errors import DataError, DependencyError
from vocr_cli.core.machine.files.input_file import open_input, parse_json

if TYPE_CHECKING:
    import pyarrow

PARQUET = b"PAR1"
"""How Parquet begins."""

_ARROW_FILE = b"ARROW1"
ARROW_STREAM = b"\xff\xff\xff\xff"
"""How a stream of Arrow begins, as `datasets` writes it."""


class ArrowRows:
    """The rows of Parquet or Arrow files that have the same columns.

    Images are Hugging Face's struct of `bytes` and `path`, or binary, or paths. The names of a `ClassLabel`
    stand for its numbers.

    Args:
        path: A file, or the folder of the files.
        files: The files, in their order.

    Raises:
        DependencyError: pyarrow is not installed.
        DataError: A file is neither Parquet nor Arrow, or lacks columns of the first.
    """

    uses = frozenset[str]()

    def __init__(self, path: Path, files: Sequence[Path]) -> None:
        self.path = path
        self._files = [ParquetGroups(file) if _is_parquet(file) else _ArrowFile(file) for file in files]
        self.notes: list[str] = []
        self.layout = "Parquet" if isinstance(self._files[0], ParquetGroups) else "Arrow"
        schemas = [file.schema for file in self._files]
        self.names: Sequence[str] = list(dict.fromkeys(schemas[0].names))
        self._class_names = _class_names(schemas[0])
        for file, schema in zip(files, schemas, strict=True):
            if missing := set(self.names) - set(schema.names):
                raise DataError(
                    f"{file} has no column {', '.join(sorted(missing))}, which {files[0]} has.",
                    "Name files of one data set, or one of these.",
                )
        parquet = [file for file in self._files if isinstance(file, ParquetGroups)]
        self.lines = sum(map(len, parquet)) if len(parquet) == len(files) else None

    def read(self, names: Sequence[str]) -> Iterator[Row]:
        """Gives the rows of all files; a row that says why stands for those that cannot be read."""
        number = 0
        classes = [self._class_names.get(name, ()) for name in names]
        for file in self._files:
            place = file.path.relative_to(self.path) if file.path != self.path else Path(file.path.name)
            for index, row in _numbered(file, names):
                number += 1
                if row.fault:
                    yield Row(number, fault=f"{file.path.name}: {row.fault}")
                    continue
                cells = [_class_name(cell, known) for cell, known in zip(row.cells, classes, strict=True)]
                yield Row(number, cells, name=f"{place.as_posix()}, row {index}")

    def fingerprint(self) -> str:
        """A fingerprint of the files' names, sizes and times."""
        return f"{[stamp(file.path) for file in self._files]}"


def is_arrow(head: bytes) -> bool:
    """Whether a file that begins so holds Arrow's rows."""
    return head.startswith((_ARROW_FILE, ARROW_STREAM))


class _ArrowFile:
    """An Arrow file: its columns and rows.

    Args:
        path: The file.

    Raises:
        DependencyError: pyarrow is not installed.
        DataError: It cannot be read, or is no Arrow.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise DependencyError(
                "Reading Arrow needs pyarrow.", "Install it: pip install 'vocr-cli[parquet]'."
            ) from None
        try:
            open_input(path, pipes=False).close()  # pyarrow would wait for a pipe
            with _Opened(path) as reader:
                self.schema = reader.schema
        except Exception as error:  # on damaged files, pyarrow raises anything
            raise DataError(
                f"{path} is not Arrow, or is damaged: {short_reason(error)}.",
                "Copy it again, or leave it out.",
            ) from None

    def read(self, names: Sequence[str]) -> Iterator[ParquetRow]:
        """Yields the rows in order; where the file breaks off, one for the rest that says why."""
        try:
            with _Opened(self.path) as reader:
                count = getattr(reader, "num_record_batches", None)
                whole = iter(reader) if count is None else map(reader.get_batch, range(count))
                for batch in whole:
                    columns = [batch.column(batch.schema.names.index(name)) for name in names]
                    for row in range(batch.num_rows):
                        yield ParquetRow([column[row].as_py() for column in columns])
        except Exception as error:
            yield ParquetRow(fault=f"it cannot be read to its end: {short_reason(error)}")


def _numbered(file: ParquetGroups | _ArrowFile, names: Sequence[str]) -> Iterator[tuple[int, ParquetRow]]:
    """Gives the rows of a file, each with its number there, from 0, by which Ray's machines call it, too."""
    if isinstance(file, _ArrowFile):
        yield from enumerate(file.read(names))
        return
    start = 0
    for group, rows in enumerate(file.rows):
        yield from enumerate(file.read(names, [group]), start=start)
        start += rows


def _class_name(cell: Any, names: Sequence[str]) -> Any:
    """The name of a class by its number; any other cell as it is."""
    is_number = isinstance(cell, int) and not isinstance(cell, bool)
    return names[cell] if is_number and 0 <= cell < len(names) else cell


def _is_parquet(file: Path) -> bool:
    """Whether a file is Parquet by its ending, whatever it holds, or by its first bytes."""
    if file.suffix.lower() == ".parquet":
        return True
    try:
        with open_input(file, pipes=False) as stream:
            return stream.read(len(PARQUET)) == PARQUET
    except OSError:  # whoever opens it says why
        return False


class _Opened:
    """An Arrow file opened as what it is: a stream, as `datasets` writes it, or a file (Feather)."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __enter__(self) -> Any:
        import pyarrow

        self._source = pyarrow.OSFile(str(self._file))
        is_file = self._source.read(len(_ARROW_FILE)) == _ARROW_FILE
        self._source.seek(0)
        opener = pyarrow.ipc.open_file if is_file else pyarrow.ipc.open_stream
        return opener(self._source)

    def __exit__(self, *_: object) -> None:
        self._source.close()


def _class_names(schema: pyarrow.Schema) -> dict[str, list[str]]:
    """The names of the classes in columns of Hugging Face's `ClassLabel`."""
    try:
        described: Any = parse_json((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = described.get("info", {}).get("features", {})
        found = {
            name: feature["names"]
            for name, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (ValueError, AttributeError, KeyError):
        return {}
    return {name: names for name, names in found.items() if isinstance(names, list)}
