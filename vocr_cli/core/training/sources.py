"""The lines of a run: opened, their characters and lengths checked, what cannot be used named."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vocr_cli.core.config.tree import Config, LabelsConfig, SourceConfig
from vocr_cli.core.data.lmdb.store import LineStore
from vocr_cli.core.data.loader.dataset import RenderedSource, StoredSource
from vocr_cli.core.data.loader.lines import Lines, ListedLines, is_listed, open_lines
from vocr_cli.core.data.loader.overlong import overlong_lines
from vocr_cli.core.data.progress import OnProgress, ignore_progress
from vocr_cli.core.data.readers.labelled import BadLine, nothing_usable
from vocr_cli.core.data.readers.source_options import SourceOptions, parse_columns, parse_separator
from vocr_cli.core.errors import ConfigError, DataError
from vocr_cli.core.machine.hardware import usable_processors
from vocr_cli.core.synth.source import LineSource
from vocr_cli.core.text import Charset, charset_fault, clean
from vocr_cli.core.training.record.bad_lines import BAD_LINES

_NAMED = 8


@dataclass(frozen=True)
class RunLines:
    """What a run trains on and is validated on.

    Attributes:
        charset: The config's, extended where it says so.
        train: As `data.train` has them.
        valid: As `data.valid` has them.
        bad: Sources, and their lines that were left out.
        notes: What is worth knowing of it.
    """

    charset: Charset
    train: list[StoredSource | RenderedSource]
    valid: list[StoredSource]
    bad: list[tuple[Path, list[BadLine]]]
    notes: list[str]

    def close(self) -> None:
        """Lets go of every database in this process; use opens it again."""
        for source in (*self.train, *self.valid):
            if isinstance(source, StoredSource) and isinstance(source.store, LineStore):
                source.store.close()


def open_run_lines(config: Config, progress: OnProgress = ignore_progress) -> RunLines:
    """Opens all sources of a run.

    Args:
        config: The resolved settings.
        progress: Called with the number of image sizes read since the last call.

    Raises:
        ConfigError: What stands for unknown characters is unknown itself.
        DataError: A source is missing, damaged or empty, or labels hold characters that the charset lacks.
        FontError: No font covers Vietnamese.
    """
    opened: dict[tuple[Path, SourceOptions], Lines] = {}

    def lines(path: Path, options: SourceOptions) -> Lines:
        if (path, options) not in opened:
            opened[path, options] = open_lines(path, options, progress)
        return opened[path, options]

    train = [_open_stored(source, lines) for source in config.data.train]
    to_validate = label_options(config.data.valid_labels, config.data.valid_images, ("validation",))
    valid = [lines(path, to_validate if is_listed(path) else SourceOptions()) for path in config.data.valid]
    listed = [store for store in opened.values() if isinstance(store, ListedLines)]
    notes = list(dict.fromkeys(note for store in listed for note in store.notes))
    trained = {id(store) for store in train}
    overlong = {id(store): overlong_lines(store, config) for store in train if store is not None}
    bad = [(store.path, _bad(store, overlong.get(id(store), {}))) for store in opened.values()]
    notes += [_bad_note(path, lines) for path, lines in bad if lines]
    charset = _run_charset(config, [store for store in opened.values() if id(store) in trained], notes)
    chosen = {
        id(store): _usable(store, charset, config, notes, overlong.get(id(store)))
        for store in opened.values()
    }
    notes += _validation_notes(valid, charset, config)
    in_training = sum(len(store) for store in train if store is not None)
    sources: list[StoredSource | RenderedSource] = []
    for number, (source, store) in enumerate(zip(config.data.train, train, strict=True)):
        if store is not None:
            seed = config.train.seed + number
            cache = config.data.cache_mb * 1_000_000 * len(store) // in_training
            sources.append(
                StoredSource(store, config, charset, seed, numbers=chosen[id(store)], cache_bytes=cache)
            )
            continue
        assert source.synth is not None
        rendered = LineSource(source.synth, charset, config.image.channels)
        if rendered.fonts.unmatched:
            notes.append(f"No font family matches {', '.join(rendered.fonts.unmatched)}.")
        sources.append(RenderedSource(rendered, config, charset))
    checked = [StoredSource(store, config, charset, 0) for store in valid]
    notes = list(dict.fromkeys(notes))
    return RunLines(charset, sources, checked, [(path, lines) for path, lines in bad if lines], notes)


def loader_workers(config: Config, notes: list[str]) -> int:
    """Returns how many processes load: more than there are processors take turns only, and memory."""
    processors = usable_processors()
    if config.data.workers > processors:
        notes.append(f"data.workers is {config.data.workers}: {processors} load, as many as processors.")
    return min(config.data.workers, processors)


def label_options(labels: LabelsConfig, images: Path | None, usual_splits: tuple[str, ...]) -> SourceOptions:
    """Returns how labelled lines are read, by the settings of a run.

    Raises:
        ConfigError: The columns are not written as they should be.
    """
    return SourceOptions(
        images=images,
        columns=parse_columns(labels.columns),
        separator=parse_separator(labels.separator),
        header=labels.header,
        split=labels.split,
        usual_splits=usual_splits,
    )


def _open_stored(source: SourceConfig, open_with: Callable[[Path, SourceOptions], Lines]) -> Lines | None:
    """Opens a training source; None: its lines are rendered."""
    if source.annotations is not None:
        return open_with(source.annotations, label_options(source.labels, source.images, ("train",)))
    return None if source.lmdb is None else open_with(source.lmdb, SourceOptions())


def _bad(store: Lines, overlong: Mapping[int, BadLine]) -> list[BadLine]:
    """Returns all lines of a source that cannot be used, in its order."""
    known = store.bad if isinstance(store, ListedLines) else []
    return sorted([*known, *overlong.values()], key=lambda line: (line.source, line.number))


def _bad_note(path: Path, bad: list[BadLine]) -> str:
    first = "; ".join(f"line {line.number}: {line.reason.rstrip('.')}" for line in bad[:_NAMED])
    more = f"; and {len(bad) - _NAMED:,} more" if len(bad) > _NAMED else ""
    count = f"{len(bad):,} {'line' if len(bad) == 1 else 'lines'}"
    return f"{path}: {count} left out, listed in {BAD_LINES}. {first}{more}"


def _labels(store: Lines) -> Iterator[tuple[str, str]]:
    return ((store.line_name(number), clean(store.text(number))) for number in range(len(store)))


def _run_charset(config: Config, stores: list[Lines], notes: list[str]) -> Charset:
    """Returns the charset of the config, checked against the labels of the stored lines to train on."""
    charset, settings = Charset(config.charset.characters), config.charset
    if fault := charset_fault(charset.characters):
        raise DataError(f"{fault[0].upper()}{fault[1:]}.", "Take it out of the charset: no line shows it.")
    if settings.unknown == "replace" and not all(char in charset for char in clean(settings.replacement)):
        raise ConfigError(
            f"`charset.replacement` is {settings.replacement!r}, which the charset lacks.",
            "Name characters of the charset, as --set charset.replacement='?', or none, so that they go.",
        )
    foreign = [store for store in stores if not _covered(store, charset)]
    unknown = charset.unknown(label for store in foreign for label in _labels(store))
    if not unknown:
        return charset
    listed = "; ".join(map(str, unknown[:_NAMED])) + (
        f"; and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
    )
    if settings.unknown == "error":
        raise DataError(
            f"Labels hold characters that the charset lacks: {listed}.",
            "Set charset.unknown to extend, replace or skip-line, or correct the labels.",
        )
    notes.append(f"Characters outside the charset ({settings.unknown}): {listed}")
    return charset.extended([entry.char for entry in unknown]) if settings.unknown == "extend" else charset


def _covered(store: Lines, charset: Charset) -> bool:
    """Tells, without reading the labels, whether none holds a character that the charset lacks."""
    return all(char in charset for char in store.characters)


def _validation_notes(valid: list[Lines], charset: Charset, config: Config) -> Iterator[str]:
    """Says what counts against the model that it cannot read right.

    Raises:
        DataError: It can read no line of a source right, and `charset.unknown` does not say that this may be.
    """
    for store in {id(store): store for store in valid}.values():
        if not _covered(store, charset):
            foreign = (any(char not in charset for char in label) for _, label in _labels(store))
            if config.charset.unknown == "error" and all(foreign):
                listed = "; ".join(map(str, charset.unknown(_labels(store))[:_NAMED]))
                raise DataError(
                    f"{store.path}: every label holds characters that the charset lacks: {listed}.",
                    "Name other lines with --valid, or put the characters into `charset.characters`.",
                )
            yield f"{store.path}: in validation, such characters count as they are read, as in `vocr eval`."
        if isinstance(store, ListedLines) and store.unopened:
            count = f"{len(store.unopened):,} {'line' if len(store.unopened) == 1 else 'lines'}"
            yield f"{store.path}: in validation, {count} without a readable image count as read empty."


def _usable(
    store: Lines, charset: Charset, config: Config, notes: list[str], overlong: Mapping[int, BadLine] | None
) -> np.ndarray | None:
    """(n,) int64 numbers of the lines that the policy for unknown characters leaves; None: all.

    What training leaves out for that goes to `notes`; validation leaves out nothing. `overlong` has the lines
    whose labels are too long to train on, and is None for lines that are not to be trained on.

    Raises:
        DataError: It leaves none to train on, or a label is longer than the model has positions.
    """
    settings, limit, trained = config.charset, config.model.max_characters, overlong is not None
    overlong = overlong or {}
    short = limit is None or int(store.label_lengths.max()) <= limit
    if _covered(store, charset) and short and not overlong:
        return None
    numbers = []
    for number, (place, label) in enumerate(_labels(store)):
        if number in overlong:
            continue
        text = charset.apply(label, settings.unknown, settings.replacement) if trained else label
        if text is None:
            continue
        if limit is not None and len(text) > limit:
            raise DataError(
                f"The label of {place} has {len(text):,} characters; the model writes at most {limit:,}.",
                "Cut the line in two, or raise the model's decoder positions.",
            )
        numbers.append(number)
    if len(overlong) == len(store):
        raise nothing_usable(store.path, list(overlong.values()))
    if trained and not numbers:
        raise DataError(
            f"{store.path}: every label holds characters that the charset lacks.",
            "Set charset.unknown to extend, or correct `charset.characters`.",
        )
    if trained and (left := len(store) - len(overlong) - len(numbers)):
        notes.append(f"{store.path}: {left:,} of {len(store):,} lines left out for such characters.")
    return np.array(numbers)
