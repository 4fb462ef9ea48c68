"""Ten million lines opened, planned and begun: seconds to the first batch, and the memory that it takes.

    python benchmarks/ten_million.py [--lines 10000000] [--family ctc] [--rounds 3] [--json FILE]

The database holds one packed index for so many lines, of made-up widths and label lengths, the record of
their characters, and the images and labels of its first and last line. The other images are made when they
are asked for. Each round is a new process that has imported all and then opens the run as `vocr train`
does, plans an epoch, decodes and pads its first batch. Memory is what the process has for itself
("private") beyond what it had before; the index as it lies in the file is mapped and belongs to the
system's cache.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any, Self

import lmdb
import numpy as np
from PIL import Image, ImageDraw

from vocr_cli.core.bench.measure import describe_machine
from vocr_cli.core.config.tree import parse_config
from vocr_cli.core.data.lmdb.layout import (
    CHARACTERS_KEY,
    COUNT_KEY,
    INDEX_KEY,
    LineIndex,
    StoredLine,
    line_key,
    pack_characters,
)
from vocr_cli.core.data.lmdb.store import LineStore
from vocr_cli.core.data.loader.batch import collate
from vocr_cli.core.data.loader.dataset import StoredSource, padding_px
from vocr_cli.core.text import VIETNAMESE_CHARSET
from vocr_cli.core.training.sources import open_run_lines
from vocr_cli.terminal import console

HEIGHT = 48
WATCH_S = 0.002


def build(folder: Path, count: int) -> None:
    """A database that says of `count` lines how large they are and how long their labels."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.gamma(6, 6, count), 1, 120).astype(np.int32)
    widths = np.maximum(24, (lengths * 11 * rng.normal(1, 0.15, count))).astype(np.int32)
    index = LineIndex(widths, np.full(count, HEIGHT, np.int32), lengths)
    environment = lmdb.open(str(folder), map_size=16 * count + (1 << 26), lock=False)
    with environment, environment.begin(write=True) as transaction:
        for number in (0, count - 1):
            transaction.put(line_key("image", number, "vietocr"), drawn(int(widths[number])))
            transaction.put(line_key("label", number, "vietocr"), "Đường Nguyễn Huệ".encode())
        transaction.put(COUNT_KEY, str(count).encode())
        transaction.put(INDEX_KEY, index.pack())
        transaction.put(CHARACTERS_KEY, pack_characters(set(VIETNAMESE_CHARSET), count))


def drawn(width: int) -> bytes:
    """An image of a line of that width, PNG."""
    image = Image.new("L", (width, HEIGHT), 255)
    ImageDraw.Draw(image).line([(4, HEIGHT - 8), (width - 4, 8)], fill=0, width=3)
    stream = BytesIO()
    image.save(stream, "PNG", compress_level=1)
    return stream.getvalue()


class Drawing(LineStore):
    """The database, with images for all lines."""

    def __getitem__(self, number: Any) -> Any:
        """A line whose image is made now."""
        return StoredLine(drawn(int(self.widths[number])), "Đường Nguyễn Huệ", f"{number}.png")


class Private:
    """Watches the memory that is this process's own: what it had at first, and the most since, in bytes."""

    def __init__(self) -> None:
        self.before = self.most = self.now()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    @staticmethod
    def now() -> int:
        """Resident pages, those of files left out."""
        _, resident, shared, *_ = map(int, Path("/proc/self/statm").read_text().split())
        return (resident - shared) * os.sysconf("SC_PAGE_SIZE")

    def _watch(self) -> None:
        while not self._done.wait(WATCH_S):
            self.most = max(self.most, self.now())


def one_round(folder: Path, family: str) -> dict[str, float]:
    """Seconds of each part, and memory in MB."""
    tree = {"model": {"family": family}, "data": {"train": [{"lmdb": str(folder)}], "workers": 0}}
    config = parse_config(tree, "ten_million")
    with Private() as memory:
        start, cpu = time.perf_counter(), time.process_time()
        (source,) = open_run_lines(config).train
        assert isinstance(source, StoredSource)
        opened = time.perf_counter()
        index = memory.now() - memory.before
        most_open = memory.most - memory.before
        planned_from = memory.most = memory.now()
        plan = source.plan(0)
        planned = time.perf_counter()
        most_plan, kept_plan = memory.most - planned_from, memory.now() - planned_from
        source.store = Drawing(folder)
        source.store._index = LineStore._sizes(source.store)
        reading = time.perf_counter()  # the images are made up: their store is not what is timed
        samples = [source.sample(number, as_planned=True) for number in plan[0].tolist()]
        batch = collate(samples, padding_px(config))
        end, cpu = time.perf_counter(), time.process_time() - cpu
    return {
        "open_s": opened - start,
        "plan_s": planned - opened,
        "batch_s": end - reading,
        "first_batch_s": planned - start + end - reading,
        "cpu_s": cpu,
        "index_mb": index / 1e6,
        "opening_peak_mb": most_open / 1e6,
        "plan_mb": kept_plan / 1e6,
        "plan_peak_mb": most_plan / 1e6,
        "batches": len(plan),
        "batch_lines": len(batch.texts),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", type=int, default=10_000_000)
    parser.add_argument("--family", default="ctc", choices=("ctc", "vietocr"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(one_round(options.one, options.family)))
        return
    with tempfile.TemporaryDirectory() as name:
        build(Path(name), options.lines)
        command = [sys.executable, __file__, "--one", name, "--family", options.family]
        rounds = [
            json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            for _ in range(options.rounds)
        ]
    found = {key: median(each[key] for each in rounds) for key in rounds[0]}
    console.table(
        f"{options.lines:,} lines, family {options.family}: medians of {options.rounds} processes",
        ("", "value"),
        [
            ("open, s", f"{found['open_s']:.2f}"),
            ("plan an epoch, s", f"{found['plan_s']:.2f}"),
            ("decode and pad a batch, s", f"{found['batch_s']:.3f}"),
            ("open to first batch, s", f"{found['first_batch_s']:.2f}"),
            ("the same in CPU seconds", f"{found['cpu_s']:.2f}"),
            ("index and widths, MB", f"{found['index_mb']:.0f}"),
            ("most while opening, MB", f"{found['opening_peak_mb']:.0f}"),
            ("the plan, MB", f"{found['plan_mb']:.0f}"),
            ("most while planning, MB", f"{found['plan_peak_mb']:.0f}"),
        ],
    )
    if options.json is not None:
        document = {"machine": str(describe_machine()), "lines": options.lines, "family": options.family}
        options.json.write_text(json.dumps(document | {"rounds": rounds}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
