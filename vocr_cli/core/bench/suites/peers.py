"""`vocr bench infer --against`: whole processes that read the same lines, in turns. N lines."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from vocr_cli.core.bench.contestants.peers.peer import Contestant, LineFolder, Setting
from vocr_cli.core.bench.contestants.peers.whole_process import ProcessRun, run_whole
from vocr_cli.core.bench.measure import OnMessage, Spread, alternate, spread
from vocr_cli.core.evaluation.metrics import Estimate, score

ROUNDS = 3
CHOOSING_LINES = 200
"""Lines on which the best of a contestant's settings is chosen, at most."""


@dataclass(frozen=True, kw_only=True)
class TriedSetting:
    """A setting, and its CER on the lines that it was tried on; None: they are not labelled."""

    name: str
    cer: float | None


@dataclass(frozen=True, kw_only=True)
class ContestantResult:
    """One contestant, in its best setting.

    Attributes:
        name: vocr's or the peer's.
        version: Its version.
        setting: How it was run.
        tried: All settings that this one was chosen from.
        lines: N.
        lines_per_s: Of whole processes: from start to end, model loading included.
        cpu_s_per_line: Processor seconds of whole processes, user's and system's, over N.
        start_s: Seconds of a whole process that reads one image.
        start_cpu_s: Its processor seconds.
        peak_memory_mb: Peak resident memory of the largest process.
        steady_lines_per_s: (N - 1) lines over what N lines took longer than one; None: they did not.
        steady_cpu_s_per_line: Processor seconds that N lines took more than one, over (N - 1).
        cer: On all N lines; None: they are not labelled.
    """

    name: str
    version: str
    setting: str
    tried: tuple[TriedSetting, ...]
    lines: int
    lines_per_s: Spread
    cpu_s_per_line: Spread
    start_s: Spread
    start_cpu_s: Spread
    peak_memory_mb: float
    steady_lines_per_s: float | None
    steady_cpu_s_per_line: float | None
    cer: Estimate | None


@dataclass(frozen=True, kw_only=True)
class PeersReport:
    """All contestants.

    Attributes:
        lines: N.
        rounds: Rounds; each is a process over N lines and one over a single line, of each contestant.
        choosing_lines: Lines that settings were chosen on, in the pass before the rounds.
        contestants: vocr first.
    """

    lines: int
    rounds: int
    choosing_lines: int
    contestants: tuple[ContestantResult, ...]


@dataclass(frozen=True)
class _Pass:
    """A process over all lines, one over the first, and the N texts."""

    all: ProcessRun
    one: ProcessRun
    texts: list[str]


class _Folders:
    """Folders of the same images, with one margin or another, and of the first of them; each is made once."""

    def __init__(self, images: Sequence[Image.Image], root: Path) -> None:
        self._images, self._root = images, root
        self._made: dict[tuple[int, int], LineFolder] = {}

    def first(self, count: int, margin_px: int) -> LineFolder:
        key = (count, margin_px)
        if key not in self._made:
            self._made[key] = self._make(count, margin_px)
        return self._made[key]

    def _make(self, count: int, margin_px: int) -> LineFolder:
        path = self._root / f"{count}-lines-{margin_px}-px"
        path.mkdir()
        names = tuple(f"{index:06d}.png" for index in range(count))
        if count == len(self._images):
            for name, image in zip(names, self._images, strict=True):
                with_margin(image, margin_px).save(path / name, compress_level=1)
        else:
            whole = self.first(len(self._images), margin_px)
            for name in names:
                shutil.copyfile(whole.path / name, path / name)
        list_file = path.with_suffix(".txt")
        list_file.write_text("".join(f"{path / name}\n" for name in names), encoding="utf-8")
        return LineFolder(path, names, list_file)


@dataclass(frozen=True)
class _Runner:
    """Runs contestants in a scratch folder."""

    folders: _Folders
    scratch: Path
    threads: int

    def read(self, contestant: Contestant, setting: Setting, count: int) -> tuple[ProcessRun, list[str]]:
        """Run one process over the first `count` lines."""
        lines = self.folders.first(count, setting.margin_px)
        with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            out = Path(folder) / "texts"
            command = contestant.command(lines, out, setting, self.threads)
            environment = contestant.environment(self.threads)
            run = run_whole(contestant.name, command, environment, Path(folder))
            return run, contestant.texts(lines, out)


def compare_peers(
    contestants: Sequence[Contestant],
    images: Sequence[Image.Image],
    labels: Sequence[str | None],
    threads: int,
    on_message: OnMessage = lambda message: None,
) -> PeersReport:
    """Have each contestant read the same N lines, in whole processes and in turns.

    The lines are written as PNG beforehand, with the margin that a setting asks for. A first pass over at
    most `CHOOSING_LINES` lines chooses each contestant's setting with the lowest CER (its first, where lines
    are not labelled), and fills the system's file cache; it does not count.

    Args:
        contestants: vocr and the peers.
        images: N lines.
        labels: Their texts.
        threads: Processors, for each alike; this process is already held to them.
        on_message: Called with what is being done.

    Raises:
        VocrError: A contestant failed; its own last words are given.
    """
    choosing_lines = min(CHOOSING_LINES, len(images))
    with tempfile.TemporaryDirectory() as folder:
        runner = _Runner(_Folders(images, Path(folder)), Path(folder), threads)
        chosen = []
        for contestant in contestants:
            on_message(f"warming up {contestant.name}")
            chosen.append(_choose(runner, contestant, labels[:choosing_lines]))
        measurements = [
            lambda one=contestant, its=setting: _pass(runner, one, its, len(images))
            for contestant, (setting, _) in zip(contestants, chosen, strict=True)
        ]
        measured = alternate(measurements, ROUNDS, on_message, "whole processes, ")
        results = tuple(
            _result(contestant, *choice, passes, labels)
            for contestant, choice, passes in zip(contestants, chosen, measured, strict=True)
        )
    return PeersReport(lines=len(images), rounds=ROUNDS, choosing_lines=choosing_lines, contestants=results)


def cer_of(labels: Sequence[str | None], texts: Sequence[str]) -> Estimate | None:
    """Return the CER, both sides in NFC; None where a label is missing."""
    known = [label for label in labels if label is not None]
    return score(known, texts).cer if len(known) == len(labels) else None


def with_margin(image: Image.Image, margin_px: int) -> Image.Image:
    """Return the line with `margin_px` of its ground, the median colour of its border, on every side."""
    if not margin_px:
        return image
    pixels = np.asarray(image.convert("RGB"))  # (H, W, 3)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    red, green, blue = (int(value) for value in np.median(border, axis=0))
    larger = Image.new("RGB", (image.width + 2 * margin_px, image.height + 2 * margin_px), (red, green, blue))
    larger.paste(image, (margin_px, margin_px))
    return larger if np.ptp(pixels, axis=2).any() else larger.convert("L")


def _choose(
    runner: _Runner, contestant: Contestant, labels: Sequence[str | None]
) -> tuple[Setting, tuple[TriedSetting, ...]]:
    """Return the setting with the lowest CER, and all that were tried."""
    settings = contestant.settings()
    tried = []
    for setting in settings:
        _, texts = runner.read(contestant, setting, len(labels))
        cer = cer_of(labels, texts)
        tried.append(TriedSetting(name=setting.name, cer=None if cer is None else cer.value))
    rates = [0.0 if one.cer is None else one.cer for one in tried]
    return settings[rates.index(min(rates))], tuple(tried)


def _pass(runner: _Runner, contestant: Contestant, setting: Setting, count: int) -> _Pass:
    one, _ = runner.read(contestant, setting, 1)
    whole, texts = runner.read(contestant, setting, count)
    return _Pass(whole, one, texts)


def _result(
    contestant: Contestant,
    setting: Setting,
    tried: tuple[TriedSetting, ...],
    passes: Sequence[_Pass],
    labels: Sequence[str | None],
) -> ContestantResult:
    count = len(labels)
    longer = median(one.all.seconds for one in passes) - median(one.one.seconds for one in passes)
    more_cpu = median(one.all.cpu_s for one in passes) - median(one.one.cpu_s for one in passes)
    return ContestantResult(
        name=contestant.name,
        version=contestant.version(),
        setting=setting.name,
        tried=tried,
        lines=count,
        lines_per_s=spread([count / one.all.seconds for one in passes]),
        cpu_s_per_line=spread([one.all.cpu_s / count for one in passes]),
        start_s=spread([one.one.seconds for one in passes]),
        start_cpu_s=spread([one.one.cpu_s for one in passes]),
        peak_memory_mb=max(one.all.peak_mb for one in passes),
        steady_lines_per_s=(count - 1) / longer if count > 1 and longer > 0 else None,
        steady_cpu_s_per_line=more_cpu / (count - 1) if count > 1 and more_cpu > 0 else None,
        cer=cer_of(labels, passes[-1].texts),
    )
