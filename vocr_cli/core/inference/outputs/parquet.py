"""Readings as one Parquet file, in the order of the inputs. Needs pyarrow."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from vocr_cli.core.errors import DependencyError
from vocr_cli.core.inference.outputs.partial import give_name, partial_name, prepare_folder, write_errors
from vocr_cli.core.inference.prepare import LineResult
from vocr_cli.core.machine.files.output_place import final_path, is_stream, open_stream
from vocr_cli.core.text import readable

_GROUP_LINES = 16_384


def need_pyarrow() -> None:
    """Checks that Parquet can be read and written.

    Raises:
        DependencyError: pyarrow is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise DependencyError(
            "Parquet needs pyarrow.", "Install it: pip install 'vocr-cli[parquet]'."
        ) from None


class ParquetResults:
    """A Parquet file that appears under its name only when `finish` was called; `.partial` until then.

    Raises:
        DependencyError: pyarrow is not installed.
        DataError: The file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        need_pyarrow()
        import pyarrow
        from pyarrow import parquet

        self._stack = ExitStack()
        if is_stream(path):  # the end of such a file is written last, and stands for all of it
            self.path, self.partial = path, Path(self._stack.enter_context(_scratch_file()))
        else:
            self.path = final_path(path)
            self.partial = partial_name(self.path)
        self._rows: list[dict[str, Any]] = []
        self._to_table = pyarrow.Table.from_pylist
        text, number = pyarrow.string(), pyarrow.float64()
        self._schema = pyarrow.schema(
            {
                "path": text,
                "text": text,
                "confidence": number,
                "char_confidences": pyarrow.list_(number),
                "flags": pyarrow.list_(text),
                "width_px": pyarrow.int32(),
                "height_px": pyarrow.int32(),
                "error": text,
            }
        )
        with write_errors(path):
            prepare_folder(self.path)
            self._writer = parquet.ParquetWriter(self.partial, self._schema, compression="zstd")

    def add(self, result: LineResult) -> None:
        """Writes one result; of an unreadable line, path and error."""
        row: dict[str, Any] = {"path": readable(result.path)}
        if result.error is not None:
            row["error"] = result.error.problem
        elif result.reading is not None:
            reading = result.reading
            row |= {
                "text": reading.text,
                "confidence": reading.confidence,
                "char_confidences": list(reading.char_confidences),
                "flags": list(reading.flags),
                "width_px": result.width_px,
                "height_px": result.height_px,
            }
        self._rows.append(row)
        if len(self._rows) >= _GROUP_LINES:
            self._flush()

    def finish(self) -> None:
        """Gives the file its name."""
        self._flush()
        self._writer.close()
        if is_stream(self.path):
            with write_errors(self.path), self.partial.open("rb") as source, open_stream(self.path) as stream:
                shutil.copyfileobj(source, stream)
        else:
            give_name(self.path)
        self._stack.close()

    def close(self) -> None:
        """Stops writing; what was written stays in `.partial`."""
        self._writer.close()
        self._stack.close()

    def _flush(self) -> None:
        with write_errors(self.path):
            if self._rows:
                self._writer.write_table(self._to_table(self._rows, schema=self._schema))
        self._rows = []


@contextmanager
def _scratch_file() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="vocr-") as folder:
        yield os.path.join(folder, "readings.parquet")
