"""Readings as text: TSV (path, text, confidence), JSONL with everything, CSV with a heading."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Literal

from vocr_cli.core.errors import DataError
from vocr_cli.core.inference.outputs.partial import give_name, partial_name, prepare_folder, write_errors
from vocr_cli.core.inference.prepare import LineResult
from vocr_cli.core.machine.files.output_place import final_path, is_stream, open_stream
from vocr_cli.core.text import one_row, readable

TextFormat = Literal["tsv", "jsonl", "csv"]
CSV_HEADING = "path,text,confidence,flags\n"


def format_result(result: LineResult, output_format: TextFormat) -> str:
    r"""Formats one line of output, its newline included; "" for an unreadable line in TSV and CSV.

    TSV's first two columns are an annotation file, so it holds read lines only; JSONL names the others, their
    text null. Tabs, line breaks and other control characters are written as escapes: `\t`, `\n`, `\x1b`.
    """
    path = readable(result.path)
    if output_format == "jsonl":
        return json.dumps(_record(path, result), ensure_ascii=False, allow_nan=False) + "\n"
    reading = result.reading
    if reading is None:
        return ""
    if output_format == "tsv":
        return f"{one_row(path)}\t{one_row(reading.text)}\t{reading.confidence:.4f}\n"
    import csv
    import io

    row = io.StringIO()
    csv.writer(row, lineterminator="\n").writerow(
        [path, one_row(reading.text), f"{reading.confidence:.4f}", " ".join(reading.flags)]
    )
    return row.getvalue()


def _record(path: str, result: LineResult) -> dict[str, object]:
    if result.reading is None:
        assert result.error is not None
        return {"path": path, "text": None, "error": result.error.problem}
    reading = result.reading
    record: dict[str, object] = {
        "path": path,
        "text": reading.text,
        "confidence": round(reading.confidence, 6),
        "min_confidence": round(reading.min_confidence, 6),
        "char_confidences": [round(value, 6) for value in reading.char_confidences],
        "flags": list(reading.flags),
        "width_px": result.width_px,
        "height_px": result.height_px,
    }
    if reading.alternatives:
        record["alternatives"] = [
            {"text": text, "score": round(score, 6) if math.isfinite(score) else None}
            for text, score in reading.alternatives
        ]
    return record


class StreamFile:
    """A device, a pipe or an open descriptor that text is written to as it comes.

    Raises:
        DataError: It cannot be written to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with write_errors(path):
            self._stream = open_stream(path)

    def write(self, text: str) -> None:
        """Writes text as UTF-8."""
        with write_errors(self.path):
            self._stream.write(text.encode("utf-8", "replace"))

    def sync(self) -> int:
        """Hands over what was written; nothing is there to go on with."""
        with write_errors(self.path):
            self._stream.flush()
        return 0

    def finish(self) -> None:
        """Hands over the rest."""
        self.close()

    def close(self) -> None:
        """Stops writing."""
        with write_errors(self.path):
            self._stream.close()


class PartialFile:
    """A text file that appears under its name only when `finish` was called; `.partial` until then.

    Args:
        path: The name it will have.
        keep_bytes: What an interrupted run left in `.partial` is kept so far; the rest is cut off.

    Raises:
        DataError: The file cannot be written; what was written so far stays in `.partial`.
    """

    def __init__(self, path: Path, keep_bytes: int = 0) -> None:
        path = final_path(path)
        self.path, self.partial = path, partial_name(path)
        with write_errors(path):
            prepare_folder(path)
            if keep_bytes and (not self.partial.is_file() or self.partial.stat().st_size < keep_bytes):
                raise DataError(
                    f"{self.partial} is not what the interrupted run left, {keep_bytes:,} bytes.",
                    "--overwrite in place of --resume reads everything again.",
                )
            self._stream = self.partial.open("r+b" if keep_bytes else "wb")
            self._stream.truncate(keep_bytes)
            self._stream.seek(keep_bytes)

    def write(self, text: str) -> None:
        """Writes text as UTF-8."""
        with write_errors(self.path):
            self._stream.write(text.encode("utf-8", "replace"))

    def sync(self) -> int:
        """Has all that was written on the disk; the file's bytes."""
        with write_errors(self.path):
            self._stream.flush()
            os.fsync(self._stream.fileno())
        return self._stream.tell()

    def finish(self) -> None:
        """Gives the file its name."""
        self.close()
        give_name(self.path)

    def close(self) -> None:
        """Stops writing; what was written stays in `.partial`."""
        with write_errors(self.path):
            self._stream.close()


def open_output(path: Path, keep_bytes: int = 0) -> PartialFile | StreamFile:
    """Opens what readings are written to: a file that appears at the end, or what takes them as they come.

    Args:
        path: As the user gave it.
        keep_bytes: As for `PartialFile`.

    Raises:
        DataError: It cannot be written.
    """
    return StreamFile(path) if is_stream(path) else PartialFile(path, keep_bytes)
