"""Parquet and Arrow files as tables, those of Hugging Face's repositories and `save_to_disk` among them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vocr_cli.core.data.readers.entries import stamp
from vocr_cli.core.data.readers.tables.rows import Row
from vocr_cli.core.errors import DataError, DependencyError, reason_of

if TYPE_CHECKING:
    import pyarrow

_BATCH_ROWS = 64
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
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError:
            raise DependencyError(
                "Reading Parquet and Arrow needs pyarrow.", "Install it: pip install 'vocr-cli[parquet]'."
            ) from None
        self.path, self._files = path, files
        self.notes: list[str] = []
        self.layout = "Parquet" if _is_parquet(files[0]) else "Arrow"
        schemas = [_schema(file) for file in files]
        self.names: Sequence[str] = list(dict.fromkeys(schemas[0].names))
        self._class_names = _class_names(schemas[0])
        for file, schema in zip(files, schemas, strict=True):
            if missing := set(self.names) - set(schema.names):
                raise DataError(
                    f"{file} has no column {', '.join(sorted(missing))}, which {files[0]} has.",
                    "Name files of one data set, or one of these.",
                )
        counts = [_row_count(file) for file in files]
        self.lines = None if None in counts else sum(count for count in counts if count is not None)

    def read(self, names: Sequence[str]) -> Iterator[Row]:
        """Gives the rows of all files; where one breaks off, a row that says so stands for its rest."""
        number = 0
        for file in self._files:
            here, place = 0, file.relative_to(self.path) if file != self.path else Path(file.name)
            try:
                for batch in _batches(file, names):
                    columns = [self._cells(batch, name) for name in names]
                    for cells in zip(*columns, strict=True):
                        number += 1
                        yield Row(number, cells, name=f"{place.as_posix()}, row {here}")
                        here += 1
            except Exception as error:  # on damaged files, pyarrow raises anything
                number += 1
                yield Row(number, fault=f"{file.name} cannot be read to its end: {reason_of(error)}")

    def fingerprint(self) -> str:
        """A fingerprint of the files' names, sizes and times."""
        return f"{[stamp(file) for file in self._files]}"

    def _cells(self, batch: pyarrow.RecordBatch, name: str) -> list[Any]:
        cells = batch.column(batch.schema.names.index(name)).to_pylist()
        classes = self._class_names.get(name)
        if not classes:
            return list(cells)
        return [
            classes[cell] if isinstance(cell, int) and 0 <= cell < len(classes) else cell for cell in cells
        ]


def is_arrow(head: bytes) -> bool:
    """Whether a file that begins so holds Arrow's rows."""
    return head.startswith((_ARROW_FILE, ARROW_STREAM))


def _is_parquet(file: Path) -> bool:
    """Whether a file is Parquet by its ending, whatever it holds, or by its first bytes."""
    if file.suffix.lower() == ".parquet":
        return True
    with file.open("rb") as stream:
        return stream.read(len(PARQUET)) == PARQUET


def _schema(file: Path) -> pyarrow.Schema:
    try:
        if _is_parquet(file):
            from pyarrow import parquet

            with parquet.ParquetFile(file) as opened:
                return opened.schema_arrow
        with _Opened(file) as reader:
            return reader.schema
    except Exception as error:  # on damaged files, pyarrow raises anything
        kind = "Parquet" if _is_parquet(file) else "Arrow"
        raise DataError(
            f"{file} is not {kind}, or damaged: {reason_of(error)}.", "Copy it again, or leave it out."
        ) from None


def _row_count(file: Path) -> int | None:
    """How many rows a file says it has; None: only reading tells."""
    if not _is_parquet(file):
        return None
    from pyarrow import parquet

    return int(parquet.read_metadata(file).num_rows)


def _batches(file: Path, names: Sequence[str]) -> Iterator[pyarrow.RecordBatch]:
    if _is_parquet(file):
        from pyarrow import parquet

        with parquet.ParquetFile(file) as opened:
            yield from opened.iter_batches(_BATCH_ROWS, columns=list(names))
        return
    with _Opened(file) as reader:
        count = getattr(reader, "num_record_batches", None)
        whole = iter(reader) if count is None else map(reader.get_batch, range(count))
        for batch in whole:
            for start in range(0, batch.num_rows, _BATCH_ROWS):
                yield batch.slice(start, _BATCH_ROWS)


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
        described = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = described.get("info", {}).get("features", {})
        found = {
            name: feature["names"]
            for name, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (ValueError, AttributeError, KeyError, RecursionError):
        return {}
    return {name: names for name, names in found.items() if isinstance(names, list)}
