"""What each LMDB setting is worth to a reader: lines/s and bytes from the disk, cold and warm.

    python benchmarks/lmdb_settings.py DATABASE [--lines 20000] [--rounds 3] [--pixels 400000] [--json FILE]

DATABASE is one of `vocr build-lmdb`. Records of images and labels are fetched, nothing is decoded, so that
only LMDB and the disk are timed. "cold": the system was told to drop the file from its memory before the
round (`posix_fadvise`; where it does not obey, bytes from the disk show it). Orders: "stored", as the lines
lie; "random"; "bucketed", the batches of an epoch as `vocr train` plans them; "bucketed, sorted", the same
batches with the lines of each fetched in the order of their numbers. Rounds alternate between the settings;
medians are shown, the JSON has every round.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import lmdb
import numpy as np

from vocr_cli.core.bench.measure import describe_machine
from vocr_cli.core.config.tree import BatchConfig, ImageConfig
from vocr_cli.core.data.images.fit import planned_widths
from vocr_cli.core.data.lmdb.environments import data_file, read_settings
from vocr_cli.core.data.lmdb.layout import Layout, line_key
from vocr_cli.core.data.lmdb.store import LineStore
from vocr_cli.core.data.loader.batching import plan_epoch
from vocr_cli.core.machine.hardware import read_hardware
from vocr_cli.terminal import console

ONE_READ = "a transaction a line"


@dataclass(frozen=True)
class Measured:
    """A setting, an order and a state of the system's memory: lines/s of each round, MB from the disk."""

    setting: str
    order: str
    cold: bool
    lines_per_s: list[float]
    disk_mb: list[float | None]


def settings(default: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The default, and what differs from it in one respect."""
    return {
        "default": {},
        f"readahead {'off' if default['readahead'] else 'on'}": {"readahead": not default["readahead"]},
        "meminit off": {"meminit": False},
        "lock on": {"lock": True},
        "lock on, 1,000 readers": {"lock": True, "max_readers": 1000},
        "map of 1 TB": {"map_size": 1 << 40},
        ONE_READ: {},
    }


def orders(file: Path, count: int, pixels: int) -> tuple[Layout, dict[str, np.ndarray]]:
    """The layout, and line numbers in each order: the same lines, drawn evenly from the whole."""
    with LineStore(file) as store:
        lines = np.unique(np.linspace(0, len(store) - 1, min(count, len(store))).astype(np.int64))
        widths = planned_widths(store.widths[lines], store.heights[lines], ImageConfig())
        layout = store.layout
    plan = plan_epoch(widths, ImageConfig().height_px, BatchConfig(pixels=pixels), (0, 0))
    return layout, {
        "stored": lines,
        "random": lines[np.random.default_rng(0).permutation(len(lines))],
        "bucketed": lines[np.concatenate(list(plan))],
        "bucketed, sorted": lines[np.concatenate([np.sort(batch) for batch in plan])],
    }


def forget(file: Path) -> None:
    """Tells the system to drop the file from its memory."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def disk_bytes() -> int | None:
    """Read from disks by this process so far; None where the system does not tell."""
    try:
        found = re.search(r"^read_bytes: (\d+)", Path("/proc/self/io").read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) if found else None


def fetch(file: Path, keys: list[tuple[bytes, bytes]], options: dict[str, Any], one_read: bool) -> float:
    """Opens the file and touches each byte of the records; seconds."""
    start = time.perf_counter()
    with lmdb.open(str(file), **options) as environment:
        if one_read:
            for pair in keys:
                with environment.begin(buffers=True) as transaction:
                    touch(transaction.get, pair)
        else:
            with environment.begin(buffers=True) as transaction:
                for pair in keys:
                    touch(transaction.get, pair)
    return time.perf_counter() - start


def touch(get: Callable[[bytes], Any], keys: tuple[bytes, bytes]) -> None:
    """Copies the records, as a reader does: mapped pages are only read when they are looked at."""
    for key in keys:
        bytes(get(key))


def measure(file: Path, options: argparse.Namespace) -> list[Measured]:
    """All settings in turns, for each order and state."""
    default = read_settings(file.stat().st_size, read_hardware(torch_facts=False).available_bytes)
    layout, rows = orders(file, options.lines, options.pixels)
    found: list[Measured] = []
    for order, lines in rows.items():
        keys = [(line_key("image", line, layout), line_key("label", line, layout)) for line in lines.tolist()]
        for cold in (True, False):
            row = {name: Measured(name, order, cold, [], []) for name in settings(default)}
            for _ in range(options.rounds):
                for name, changed in settings(default).items():
                    if cold:
                        forget(file)
                    before = disk_bytes()
                    seconds = fetch(file, keys, default | changed, name == ONE_READ)
                    after = disk_bytes()
                    row[name].lines_per_s.append(len(keys) / seconds)
                    row[name].disk_mb.append(
                        None if before is None or after is None else (after - before) / 1e6
                    )
            found += row.values()
            console.note(f"{order}, {'cold' if cold else 'warm'}: done")
    Path(f"{file}-lock").unlink(missing_ok=True)  # "lock on" makes one
    return found


def show(found: list[Measured], file: Path) -> None:
    """A table a state: settings by orders, lines/s, and MB from the disk."""
    names = list(dict.fromkeys(one.order for one in found))
    for cold in (True, False):
        rows = []
        for setting in dict.fromkeys(one.setting for one in found):
            own = {one.order: one for one in found if one.setting == setting and one.cold == cold}
            rows.append((setting, *(cell(own[name]) for name in names)))
        state = "cold" if cold else "warm"
        console.table(f"{file}, {state}: lines/s (MB from the disk)", ("setting", *names), rows)


def cell(one: Measured) -> str:
    """Medians over the rounds."""
    disk = [value for value in one.disk_mb if value is not None]
    return f"{median(one.lines_per_s):,.0f}" + (f" ({median(disk):,.0f})" if disk else "")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("database", type=Path)
    parser.add_argument("--lines", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pixels", type=int, default=400_000, help="of a batch, in the bucketed orders")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    file = data_file(options.database)
    found = measure(file, options)
    show(found, file)
    if options.json is not None:
        hardware = read_hardware(torch_facts=False)
        document = {
            "machine": asdict(describe_machine()),
            "file_bytes": file.stat().st_size,
            "available_bytes": hardware.available_bytes,
            "default": read_settings(file.stat().st_size, hardware.available_bytes),
            "lines": options.lines,
            "rounds": options.rounds,
            "measured": [asdict(one) for one in found],
        }
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
