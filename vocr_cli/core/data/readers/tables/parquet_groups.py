"""Parquet files, opened and read so that damage is an error of ours, and costs no rows but its own.

pyarrow raises errors of many kinds on damaged files, some of them of Python's own. Needs pyarrow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vocr_cli.core.errors import DataError, DependencyError, reason_of
from vocr_cli.core.machine.files.input_file import open_input

_BATCH_BYTES = 64 << 20
_BATCH_ROWS = 256


class ParquetRow(NamedTuple):
    """A row: its cells in the order that was asked for, or why they cannot be read."""

    cells: Sequence[Any] = ()
    fault: str = ""


class ParquetGroups:
    """A Parquet file: its columns and rows, read row group by row group.

    Args:
        path: The file.

    Attributes:
        schema: pyarrow's.
        rows: Of each row group, how many rows it has.

    Raises:
        DependencyError: pyarrow is not installed.
        DataError: It cannot be read, or is no Parquet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            import pyarrow.parquet as parquet
        except ImportError:
            raise DependencyError(
                "Reading Parquet needs pyarrow.", "Install it: pip install 'vocr-cli[parquet]'."
            ) from None
        try:
            open_input(path, pipes=False).close()  # pyarrow would wait for a pipe
            self._open = lambda: parquet.ParquetFile(path)
            with self._open() as opened:
                self.schema = opened.schema_arrow
                self.names = list(self.schema.names)
                metadata = opened.metadata
                groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
                self.rows = [group.num_rows for group in groups]
                self._bytes = [group.total_byte_size for group in groups]
        except Exception as error:
            raise DataError(
                f"{path} is not Parquet, or is damaged: {short_reason(error)}.",
                "Copy it again, or leave it out.",
            ) from None

    def __len__(self) -> int:
        """How many rows there are."""
        return sum(self.rows)

    def read(self, columns: Sequence[str], groups: Sequence[int] | None = None) -> Iterator[ParquetRow]:
        """Yields the rows of the groups, in order; of a damaged group, one for the rest that says why.

        Args:
            columns: Their names.
            groups: Indices; None: all.
        """
        for group in range(len(self.rows)) if groups is None else groups:
            done = 0
            try:
                with self._open() as opened:
                    batches = opened.iter_batches(
                        self._batch_rows(group), row_groups=[group], columns=list(columns)
                    )
                    for batch in batches:
                        cells = [batch.column(batch.schema.names.index(name)) for name in columns]
                        for row in range(batch.num_rows):
                            yield ParquetRow([column[row].as_py() for column in cells])
                            done += 1
            except Exception as error:
                left = self.rows[group] - done
                yield ParquetRow(
                    fault=f"{left:,} rows of row group {group} cannot be read: {short_reason(error)}"
                )

    def _batch_rows(self, group: int) -> int:
        """So many rows at once that they fit in memory."""
        row_bytes = self._bytes[group] // max(self.rows[group], 1)
        return max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(row_bytes, 1)))


def short_reason(error: Exception) -> str:
    """What pyarrow says, for a sentence: its first line, where that is long its beginning."""
    text = reason_of(error).split("\n")[0]
    return text if len(text) <= 200 else f"{text[:200]}…"
