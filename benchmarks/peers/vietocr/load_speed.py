"""Loading against VietOCR's: opening and bucketing, and lines/s from one loader process, in turns.

    .venv/bin/python benchmarks/peers/vietocr/load_speed.py FOLDER [ANNOTATIONS] [--samples 200000]
        [--lines 4000] [--batch 32] [--workers 1] [--rounds 3] [--threads 2] [--encoding jpeg]
        [--strength 0.5] [--json FILE]

FOLDER is what run.sh made; ANNOTATIONS are lines to load, FOLDER/data/lines/train.txt by default. From them a
raw and a pre-scaled database are built, and one of --samples lines, for which a few images are repeated.
VietOCR reads the same databases. That both loaders give the same pixels is checked on --checked lines.

Opening: a new process each time, from the call to the order of the first epoch; imports do not count.
Loading: VietOCR's batches hold --batch lines of one width, and its rare widths are dropped; vocr's hold as
many at most, and all lines come. vocr's batches arrive as uint8 and are made float, and augmented, by the
training process, which the time includes; VietOCR augments line by line in its loader. Its ImgAugTransformV2
changes a line 1.3 times on average, vocr 3.0 times --strength: by default what `vocr train` starts at. Both
are held to --threads processors.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import PIL
import torch
from answers import Answering

from vocr_cli.core.bench.inputs import choose_model
from vocr_cli.core.bench.measure import Spread, describe_machine, pinned, spread
from vocr_cli.core.config.tree import AugmentConfig, BatchConfig, Config, DataConfig, SourceConfig
from vocr_cli.core.data.build.build import BuildSettings, build_databases
from vocr_cli.core.data.lmdb.store import LineStore, LineWriter
from vocr_cli.core.data.loader.batch import Batch
from vocr_cli.core.data.loader.dataset import StoredSource
from vocr_cli.core.data.loader.order import START_POSITION
from vocr_cli.core.data.loader.stream import BatchStream
from vocr_cli.core.data.readers.open_source import open_source
from vocr_cli.core.machine.memory import keep_heap
from vocr_cli.core.training.augment.batch import BatchAugmenter
from vocr_cli.core.training.sources import open_run_lines
from vocr_cli.terminal import console

HERE = Path(__file__).resolve().parent
REPEATED = 500
ALLOWED_SHARE = 0.05


class Loader(Answering):
    """VietOCR's DataLoader in a process of its environment; see loads.py."""

    def __init__(self, python: Path, database: Path, options: argparse.Namespace, kind: str) -> None:
        command = [python, "-W", "ignore", HERE / "loads.py", "serve", database, options.lines,
                   options.batch, options.workers, kind]  # fmt: skip
        super().__init__([str(part) for part in command])

    def rate(self) -> float:
        """Lines/s of a pass."""
        answer = self.request("")
        return float(answer["lines"] / answer["seconds"])


def run_config(database: Path, options: argparse.Namespace) -> Config:
    """A run of VietOCR's family on one database, batches as large as VietOCR's."""
    config = choose_model("vgg_transformer").config
    parts = {
        "data": DataConfig(train=(SourceConfig(lmdb=database),), workers=options.workers),
        "charset": config.charset.model_copy(update={"unknown": "skip-line"}),
        "batch": BatchConfig(pixels=10**9, max_lines=options.batch),
        "augment": config.augment.model_copy(update={"strength": options.strength}),
    }
    return config.model_copy(update=parts)


def source_of(config: Config) -> StoredSource:
    """The one source of a run."""
    (source,) = open_run_lines(config).train
    assert isinstance(source, StoredSource)
    return source


def our_feed(config: Config, augmented: bool) -> Generator[Batch]:
    """Batches from the trainer's loader, as float in 0..1, augmented or not, as the trainer has them."""
    augment = BatchAugmenter(config)
    for batch in BatchStream([source_of(config)], [1.0], [START_POSITION]).batches(
        config.data.workers, False
    ):
        images = batch.images.permute(0, 3, 1, 2).float().div_(255)
        if augmented:
            augment(images, batch, config.augment.strength)
        yield batch


def our_rate(feed: Iterator[Batch], options: argparse.Namespace) -> float:
    """Lines/s of a pass, behind the batches that were made ahead."""
    for _ in itertools.islice(feed, 5 * options.workers):
        pass
    start, seen = time.perf_counter(), 0
    while seen < options.lines:
        seen += len(next(feed).texts)
    return seen / (time.perf_counter() - start)


def build(folder: Path, annotations: Path, options: argparse.Namespace) -> tuple[Path, Path, Path]:
    """The raw, the pre-scaled and the large database; lines that VietOCR cannot encode are left out."""
    known = set(choose_model("vgg_transformer").config.charset.characters)
    rows = [row for row in annotations.read_text(encoding="utf-8").splitlines() if "\t" in row]
    rows = [row for row in rows if set(row.split("\t")[1]) <= known]
    listed = folder / "lines.txt"
    listed.write_text("".join(f"{annotations.parent.resolve() / row}\n" for row in rows), encoding="utf-8")
    raw, scaled, large = (folder / name for name in ("raw", "scaled", "large"))
    build_databases([open_source(listed)], raw, BuildSettings(), lambda count: None)
    fit = choose_model("vgg_transformer").config.image
    smaller = BuildSettings(fit=fit, encoding=options.encoding)
    build_databases([open_source(listed)], scaled, smaller, lambda count: None)
    with LineStore(raw) as store, LineWriter(large) as writer:
        few = [
            (store[number], int(store.widths[number]), int(store.heights[number]))
            for number in range(min(REPEATED, len(store)))
        ]
        for line, width, height in itertools.islice(itertools.cycle(few), options.samples):
            writer.add(line, width, height)
    return raw, scaled, large


def asked(command: list[Any]) -> Any:
    """The JSON that a process prints last."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def opening(python: Path, large: Path, options: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds to open and bucket, a new process each, in turns; the first of each is to warm up."""
    commands = {
        "vietocr": [python, "-W", "ignore", HERE / "loads.py", "open", large],
        "vocr": [sys.executable, __file__, large, "--one-open", "--batch", options.batch],
    }
    found: dict[str, list[float]] = {side: [] for side in commands}
    for number in range(options.rounds + 1):
        for side, command in commands.items():
            seconds = asked(command)["seconds"]
            if number:
                found[side].append(seconds)
    return found


def one_open(options: argparse.Namespace) -> dict[str, float]:
    """vocr's side of `opening`."""
    config = run_config(options.folder, options)
    start = time.perf_counter()
    source = source_of(config)
    plan = source.plan(0)
    return {"seconds": time.perf_counter() - start, "samples": len(source), "batches": len(plan)}


def same_pixels(python: Path, raw: Path, options: argparse.Namespace) -> dict[str, Any]:
    """How many of the first lines have the same pixels on both sides, and each side's Pillow.

    With one Pillow all must; another version resizes some lines otherwise, by a change of its own.
    """
    peer = asked([python, "-W", "ignore", HERE / "loads.py", "pixels", raw, options.checked])
    theirs = peer["digests"]
    source = source_of(run_config(raw, options))
    lines = (source.sample(number, as_planned=True).pixels for number in range(len(theirs)))
    ours = [hashlib.sha256(pixels.tobytes()).hexdigest() for pixels in lines]
    same = sum(one == other for one, other in zip(ours, theirs, strict=True))
    allowed = 0 if peer["pillow"] == PIL.__version__ else ALLOWED_SHARE * len(theirs)
    if len(theirs) - same > allowed:
        raise SystemExit(f"{len(theirs) - same} of {len(theirs)} lines have other pixels")
    versions = {"vietocr": peer["pillow"], "vocr": PIL.__version__}
    return {"checked": len(theirs), "same": same, "pillow": versions}


def loading(python: Path, raw: Path, scaled: Path, options: argparse.Namespace) -> dict[str, list[float]]:
    """Lines/s of each round; all ways in turns, the first round to warm up."""
    torch.set_num_threads(max(1, options.threads - options.workers))  # the loaders have the others
    keep_heap()  # as the trainer does
    kinds = ("plain", "augmented")
    with ExitStack() as stack:
        peers = {kind: stack.enter_context(Loader(python, raw, options, kind)) for kind in kinds}
        ways: dict[str, Callable[[], float]] = {}
        for kind in kinds:
            ways[f"vietocr, {kind}"] = peers[kind].rate
            for name, database in (("raw", raw), ("pre-scaled", scaled)):
                feed = our_feed(run_config(database, options), kind == "augmented")
                stack.callback(feed.close)  # its worker holds the peers' pipes open, so it goes first
                ways[f"vocr, {name}, {kind}"] = partial(our_rate, feed, options)
        found: dict[str, list[float]] = {way: [] for way in ways}
        for number in range(options.rounds + 1):
            console.note(f"round {number} of {options.rounds}" if number else "warming up")
            for way, rate in ways.items():
                value = rate()
                if number:
                    found[way].append(value)
    return found


def cells(name: str, measured: Spread, form: str, ratio: float) -> tuple[str, str, str, str]:
    """A row of a table."""
    span = f"{measured.low:{form}}–{measured.high:{form}}"
    return name, f"{measured.median:{form}}", span, f"{ratio:.2f}"


def show(opened: dict[str, list[float]], loaded: dict[str, list[float]], options: argparse.Namespace) -> None:
    """Two tables; ratios are of medians."""
    times = {side: spread(values) for side, values in opened.items()}
    console.table(
        f"Opening and bucketing {options.samples:,} lines",
        ("", "s", "range", "×"),
        [cells(side, own, ".3f", times["vietocr"].median / own.median) for side, own in times.items()],
    )
    rates = {way: spread(values) for way, values in loaded.items()}
    console.table(
        f"Lines/s from {options.workers} loader process(es), held to {options.threads} processor(s)",
        ("", "lines/s", "range", "×"),
        [
            cells(way, own, ",.0f", own.median / rates["vietocr, " + way.rsplit(", ", 1)[1]].median)
            for way, own in rates.items()
        ],
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("annotations", type=Path, nargs="?")
    parser.add_argument("--samples", type=int, default=200_000)
    parser.add_argument("--lines", type=int, default=4000, help="of a pass")
    parser.add_argument("--checked", type=int, default=300)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--encoding", default="jpeg", help="of the pre-scaled database: png, webp, jpeg")
    parser.add_argument("--strength", type=float, default=AugmentConfig().strength, help="of augmentation")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one-open", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one_open:
        print(json.dumps(one_open(options)))
        return
    python = options.folder / "venv" / "bin" / "python"
    annotations = options.annotations or options.folder / "data" / "lines" / "train.txt"
    with pinned(options.threads) as held, tempfile.TemporaryDirectory() as name:
        raw, scaled, large = build(Path(name), annotations, options)
        checked = same_pixels(python, raw, options)
        console.note("Same pixels: {same} of {checked}; Pillow: {pillow}".format_map(checked))
        opened = opening(python, large, options)
        loaded = loading(python, raw, scaled, options)
        sizes = {path.name: (path / "data.mdb").stat().st_size for path in (raw, scaled, large)}
    show(opened, loaded, options)
    if options.json is not None:
        settings = ("samples", "lines", "batch", "workers", "rounds", "threads", "encoding", "strength")
        document = {
            "machine": asdict(describe_machine()),
            "pinned": held,
            **{key: getattr(options, key) for key in settings},
            "pixels": checked,
            "database_bytes": sizes,
            "opening_s": opened,
            "lines_per_s": loaded,
        }
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
