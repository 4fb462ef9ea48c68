"""What every command prints with. Results go to stdout; progress, notes and errors to stderr.

rich is loaded when something is drawn with it: plain notes, and work that is done at once, go without.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from vocr_cli.core.errors import VocrError

_BAR_S, _PLAIN_LINE_S = 0.1, 10.0  # between two looks at long work, on a terminal and off it
_BAR_AFTER_S = 0.5  # shorter work shows no bar
_LEAST_RATE = 0.5  # units a second; fewer would be shown as none
_RATED_S = 1.0  # what took less is too short for a speed that means anything

_hushed = _verbose = _stdout_is_a_document = False


def begin(*, quiet: bool = False, verbose: bool = False, document_on_stdout: bool = False) -> None:
    """Sets what a command shows.

    Args:
        quiet: Errors and results alone.
        verbose: Details, too, and where in the program an error arose.
        document_on_stdout: What is shown for people goes to stderr: a program reads stdout.
    """
    global _hushed, _verbose, _stdout_is_a_document
    _hushed, _verbose, _stdout_is_a_document = quiet, verbose, document_on_stdout
    out.cache_clear()
    err.cache_clear()


@cache
def out() -> Console:
    """Rich's console for results: stdout, or where a document goes there, stderr."""
    from rich.console import Console

    if _stdout_is_a_document:
        return err()
    return Console(highlight=False, soft_wrap=True, emoji=False)


@cache
def err() -> Console:
    """Rich's console for stderr."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True, emoji=False, quiet=_hushed)


def error(problem: VocrError) -> None:
    """Shows what is wrong and what to do about it, hushed or not."""
    from rich.markup import escape

    err().quiet = False
    if _verbose:
        import traceback

        err().print("".join(traceback.format_exception(problem)), markup=False)
    err().print(f"[bold red]Error:[/] {escape(problem.problem)}")
    if problem.fix:
        err().print(f"[bold]Remedy:[/] {escape(problem.fix)}")


def hush() -> None:
    """Leaves progress, notes and warnings to another process, which shows the same ones."""
    global _hushed
    _hushed = True
    err.cache_clear()


def note(text: str) -> None:
    """Something worth knowing, on stderr."""
    if _hushed:
        return
    if err.cache_info().currsize:  # there may be a bar, which rich keeps below the text
        err().print(text, markup=False)
    else:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def notes(texts: Iterable[str]) -> None:
    """Says several things worth knowing."""
    for text in texts:
        note(text)


def detail(text: str) -> None:
    """Something that only --verbose shows, on stderr."""
    if _verbose:
        note(text)


def is_verbose() -> bool:
    """Whether details are shown."""
    return _verbose


def unusable_input(text: str) -> None:
    """What could not be read or used, on stderr; --quiet shows it, too, for it is missing in the result."""
    if err.cache_info().currsize and not _hushed:
        err().print(text, markup=False)
    else:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def warning(text: str) -> None:
    """Something that may be wrong, on stderr."""
    from rich.markup import escape

    err().print(f"[yellow]Warning:[/] {escape(text)}")


def result(text: str) -> None:
    """Plain text that a command was asked for, on stdout."""
    out().print(text, markup=False)


def document(text: str) -> None:
    """A document for a program, on stdout as it is: UTF-8 whatever the locale."""
    reading(text)
    flush_readings()


def reading(row: str) -> None:
    """One row of readings, its newline included, on stdout as it is: UTF-8 whatever the locale."""
    from io import TextIOWrapper

    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.encoding.lower() not in ("utf-8", "utf8"):
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    sys.stdout.write(row)


def flush_readings() -> None:
    """Hands over what is buffered for stdout."""
    sys.stdout.flush()


def drop_readings() -> None:
    """Whoever read stdout has gone: what is still buffered goes nowhere, without complaint at exit."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def facts(title: str, rows: Iterable[tuple[str, str]]) -> None:
    """Names and values, one a line; further lines of a value stand below its first.

    A terminal shows long values in several lines, but for commands, which are there to be copied.
    """
    from rich.markup import escape

    shown = list(rows)
    width = max((len(name) for name, _ in shown), default=0)
    room = max(out().width - width - 4, 20) if out().is_terminal else sys.maxsize
    out().print(f"[bold]{escape(title)}[/]")
    for name, value in shown:
        first, *others = (part for line in value.split("\n") for part in _broken(line, room))
        out().print(f"  [dim]{escape(name):{width}}[/]  {escape(first)}")
        for other in others:
            out().print(" " * (width + 4) + escape(other))


def _broken(line: str, room: int) -> list[str]:
    """A line in pieces of at most so many columns, words and commands whole."""
    import textwrap

    if line.startswith("vocr "):
        return [line]
    return textwrap.wrap(line, room, break_long_words=False, break_on_hyphens=False) or [""]


def table(
    title: str,
    columns: Iterable[str],
    rows: Iterable[Iterable[object]],
    *,
    text_columns: int = 1,
    to_stderr: bool = False,
) -> None:
    """A table of results; the first `text_columns` are left-aligned, the others right."""
    from vocr_cli.terminal.result_table import result_table

    screen, cells = err() if to_stderr else out(), [[str(cell) for cell in row] for row in rows]
    width = screen.width
    screen.print(result_table(title, list(columns), cells, text_columns=text_columns, width=width))


class Counter:
    """Progress of long work: a bar on a terminal, a plain line every few seconds elsewhere."""

    def __init__(self, label: str, total: int | None, unit: str) -> None:
        import time

        self._label, self._total, self._unit = label, total, unit
        self._done = self._at_first = 0
        self._clock = time.monotonic
        self._began = self._last_shown = time.monotonic()
        self._bar: Progress | None = None
        self._shows_bar = sys.stderr.isatty() and not _hushed

    def advance(self, count: int = 1, also: str = "") -> None:
        """Counts `count` more units as done; `also` is shown after them.

        Speed is that since the first came: neither start-up nor what a resumed run finds done is in it.
        """
        now = self._clock()
        if not self._done:
            self._began, self._at_first = now, count
        self._done += count
        if now - self._last_shown < self._pause_s:
            return  # to draw each line of millions would take longer than some are read in
        self._last_shown = now
        if self._shows_bar and self._bar is None:
            self._start_bar()
        passed_s = now - self._began
        rate = (self._done - self._at_first) / passed_s if passed_s >= _RATED_S else 0.0
        speed = f"{_shown(rate)} {self._unit}/s" if rate else ""
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, rate=", ".join(filter(None, (also, speed))))
            return
        left = f", {(self._total - self._done) / rate:,.0f} s left" if self._total and rate else ""
        of = f" of {self._total:,}" if self._total else ""
        also = f", {also}" if also else ""
        rated = f", {_shown(rate)}/s" if rate else ""
        note(f"{self._label}: {self._done:,}{of} {self._unit}{also}{rated}{left}")

    def expect(self, total: int) -> None:
        """Sets how many units there will be, where it was not known before."""
        self._total = total
        if self._bar is not None:
            self._bar.update(self._task, total=total)

    @property
    def _pause_s(self) -> float:
        """Seconds between two looks."""
        if not self._shows_bar:
            return _PLAIN_LINE_S
        return _BAR_AFTER_S if self._bar is None else _BAR_S

    def _start_bar(self) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )  # fmt: skip

        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"), TimeElapsedColumn(), TimeRemainingColumn(),
            console=err(), transient=True,
        )  # fmt: skip
        self._task = self._bar.add_task(self._label, total=self._total, rate="")
        self._bar.start()

    def close(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.stop()


def _shown(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"


def speed(count: int, seconds: float) -> str:
    """What work took and how fast it was, to follow a count; nothing of what was soon done, or not at all."""
    if not count or seconds < _RATED_S:
        return ""
    rate = f", {count / seconds:,.0f}/s" if count / seconds >= _LEAST_RATE else ""
    return f" in {seconds:,.1f} s{rate}"


@contextmanager
def progress(label: str, total: int | None, unit: str = "lines") -> Iterator[Counter]:
    """Shows progress while the block runs; `total` None: unknown."""
    counter = Counter(label, total, unit)
    try:
        yield counter
    finally:
        counter.close()
