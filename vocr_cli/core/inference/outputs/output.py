"""Readings on their way into a file that a killed run can go on with; the columns are in `text_files.py`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

from vocr_cli.core.errors import DataError
from vocr_cli.core.inference.inputs.sources import LineInput
from vocr_cli.core.inference.outputs.batch_log import BatchLog, batch_log_file
from vocr_cli.core.inference.outputs.journal import Journal, Progress
from vocr_cli.core.inference.outputs.parquet import ParquetResults
from vocr_cli.core.inference.outputs.partial import partial_name, prepare_folder, write_errors
from vocr_cli.core.inference.outputs.text_files import (
    CSV_HEADING,
    PartialFile,
    StreamFile,
    TextFormat,
    format_result,
    open_output,
)
from vocr_cli.core.inference.prepare import LineResult
from vocr_cli.core.machine.files.output_place import final_path, is_stream
from vocr_cli.core.text import one_row

_SINGLE_STEP = 16  # lines: a run whose lines share no batches may go on at each multiple
_NOTED_EVERY_S = 1.0

OutputFormat = Literal[TextFormat, "parquet"]


class Output:
    """Takes results in the order of the inputs.

    At the end of each section the files are flushed to the disk, then the journal notes how long they are and
    how many inputs they answer. A run that resumes cuts off what came after, so nothing is lost or repeated.
    Within a section, `log` keeps the batches that were read; where lines share no batches, the journal notes
    every second or so how far the run has come, and there is no log.

    Args:
        out: The output file; None: the results go elsewhere and are only counted.
        output_format: Its format.
        errors: The list of unreadable inputs: path, tab, reason.
        run: What a resumed run must share with the interrupted one; None: it cannot be resumed.
        section: Lines of a section, as `section_lines` gives them.
        reads_singly: Whether a run may go on at any line.
        log_at_once: As for `BatchLog`.
        resume: Whether to go on where an interrupted run was.

    Attributes:
        tally: What went through, those of the interrupted run included.
        resumed: Lines that are in the file from an interrupted run.
        taken_over: Lines that an interrupted run has read, those in `log` included.
        log: Takes the batches of a section, and gives those that an interrupted run has read; None: there is
            none.

    Raises:
        DataError: A file cannot be written, or nothing that fits can be resumed.
    """

    def __init__(
        self,
        out: Path | None,
        output_format: OutputFormat,
        errors: Path | None,
        run: Mapping[str, object] | None,
        *,
        section: int = 1 << 14,
        reads_singly: bool = False,
        log_at_once: bool = False,
        resume: bool = False,
    ) -> None:
        self.out, self._section = out, section
        self._step = _SINGLE_STEP if reads_singly else section
        self._noted_s = time.monotonic()
        self.log: BatchLog | None = None
        self._digests: dict[int, str] = {}  # after so many inputs, at the ends of sections
        self._journal: Journal | None = None
        resumable = output_format != "parquet" and out is not None and not is_stream(out)
        if resumable and out is not None and run is not None:
            from hashlib import blake2b  # loads OpenSSL, which readings on stdout do not need

            self._paths = blake2b(digest_size=16)
            self._journal = Journal(out, {**run, "format": output_format, "errors": str(errors or "")})
        self._done = self._journal.load() if self._journal and resume else Progress()
        self.tally, self.resumed = self._done.tally, self._done.tally.lines
        self.taken_over = self.resumed
        self._text: PartialFile | StreamFile | None = None
        self._table: ParquetResults | None = None
        self._errors: PartialFile | StreamFile | None = None
        if self._done.complete:
            self._only_rename(errors)
            return
        if self._journal:
            assert out is not None
            with write_errors(out):
                prepare_folder(out)
            self._journal.save(self._done)  # first: whatever lies in .partial is no longer counted on
            if not reads_singly:
                with write_errors(out):
                    file = batch_log_file(out)
                    self.log = BatchLog(file, self.resumed, resume=resume, at_once=log_at_once)
                    self.taken_over += self.log.lines
        if errors is not None:
            self._errors = open_output(errors, self._done.errors_bytes)
        if output_format == "parquet":
            assert out is not None
            self._table = ParquetResults(out)
        else:
            self._text_format: TextFormat = output_format
            if out is not None:
                self._text = open_output(out, self._done.out_bytes)
                if output_format == "csv" and not self._done.out_bytes:
                    self._text.write(CSV_HEADING)

    @property
    def resumable(self) -> bool:
        """Whether a later run can go on where this one stops."""
        return self._journal is not None

    @property
    def complete(self) -> bool:
        """Whether the interrupted run had read everything, and nothing is left to do."""
        return self._done.complete

    def inputs(self, lines: Iterable[LineInput]) -> Iterator[LineInput]:
        """Gives the lines that are still to be read.

        Raises:
            DataError: The lines that were read before do not come first.
        """
        number = 0
        for number, line in enumerate(lines, 1):
            if self._journal is not None:
                self._paths.update(line.path.encode("utf-8", "surrogateescape") + b"\0")
                if number % self._step == 0 or number == self.resumed:
                    self._digests[number] = self._paths.hexdigest()
            if number > self.resumed:
                yield line
            elif number == self.resumed and self._digests.get(number) != self._done.paths:
                raise self._other_inputs()
        if number < self.resumed:
            raise self._other_inputs()

    def add(self, result: LineResult) -> None:
        """Writes one result."""
        self.tally.count(result)
        if self._text is not None:
            self._text.write(format_result(result, self._text_format))
        if self._table is not None:
            self._table.add(result)
        if self._errors is not None and result.error is not None:
            reason = one_row(" ".join(result.error.problem.split()))
            self._errors.write(f"{one_row(result.path)}\t{reason}\n")
        if self.tally.lines % self._step == 0:
            digest = self._digests.pop(self.tally.lines, "")
            if self._step == self._section or time.monotonic() - self._noted_s > _NOTED_EVERY_S:
                self._note_progress(digest)

    def finish(self) -> None:
        """Gives the files their names."""
        self._note_progress("", complete=True)
        if self.log is not None:
            self.log.remove()
        for file in (self._text, self._table, self._errors):
            if file is not None:
                file.finish()
        if self._journal is not None:
            self._journal.remove()

    def close(self) -> None:
        """Stops writing; what was written stays in FILE.partial."""
        for file in (self._text, self._table, self._errors, self.log):
            if file is not None:
                file.close()

    def _note_progress(self, paths: str, complete: bool = False) -> None:
        if self._journal is None or self._text is None:
            return
        errors_bytes = self._errors.sync() if self._errors is not None else 0
        self._journal.save(Progress(self.tally, self._text.sync(), errors_bytes, paths, complete))
        self._noted_s = time.monotonic()
        if self.log is not None:
            self.log.drop_before(self.tally.lines)

    def _only_rename(self, errors: Path | None) -> None:
        """Gives their names to files that an interrupted run had completed."""
        assert self.out is not None and self._journal is not None
        batch_log_file(self.out).unlink(missing_ok=True)
        for path, size in ((self.out, self._done.out_bytes), (errors, self._done.errors_bytes)):
            if path is not None and partial_name(final_path(path)).exists():
                PartialFile(path, size).finish()
        self._journal.remove()

    def _other_inputs(self) -> DataError:
        return DataError(
            f"The inputs are not those that the interrupted run read: its first {self.resumed:,} differ.",
            "Give the same files in the same order; --overwrite in place of --resume reads everything again.",
        )
