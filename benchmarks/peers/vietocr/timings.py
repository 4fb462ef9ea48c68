"""What reading costs on both sides: the parts `speed` and `lengths` of compare.py."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image
from sides import Ours, Peer, Result, by_width, precisions, ratio, test_lines

BATCH = 16
LENGTHS = (15, 25, 35, 45, 60)
PX_A_CHARACTER = 8.5
CURVE_LENGTHS, CURVE_BATCHES = (20, 60, 120), (1, 4, 16)


def speed(folder: Path, model: str, options: argparse.Namespace) -> Result:
    """The trained model on test lines, and the full-size one on as many characters as each width holds."""
    count = options.lines or 300
    trained = timed(folder, model, [(None, test_lines(folder, count))], options)
    groups = [(length, made_up(folder, length, count // len(LENGTHS))) for length in LENGTHS]
    return {
        "model": model,
        "trained": trained,
        "full_size": timed(folder, f"full_{model}", groups, options),
        "faults": 0,
    }


Contestant = Callable[[list[str], int | None], float]


def timed(
    folder: Path, model: str, groups: list[tuple[int | None, list[str]]], options: argparse.Namespace
) -> Result:
    """Seconds of every way to read: each group of lines by one after the other, in several rounds."""
    weights = folder / "weights" / f"{model}.pth"
    sides = {name: Ours(weights, name, options.threads) for name in precisions(weights)}
    groups = [(steps, by_width(images, sides["fp32"].recognizer)) for steps, images in groups]
    with Peer(folder, model, options.threads) as peer:
        ways: dict[str, Contestant] = {
            "VietOCR predict": lambda images, steps: asked(peer, "predict", images, steps),
            f"VietOCR predict_batch {BATCH}": lambda images, steps: asked(
                peer, "predict_batch", images, steps, BATCH
            ),
            "VietOCR predict_batch all": lambda images, steps: asked(peer, "predict_batch", images, steps),
        }
        for name, side in sides.items():
            ways[f"vocr {name} singly"] = lambda images, steps, side=side: side.read(images, 1, steps)[0]
            ways[f"vocr {name}"] = lambda images, steps, side=side: side.read(images, None, steps)[0]
        ways = chosen(ways, options.ways)
        for way in ways.values():  # warm-up: every width once
            for steps, images in groups:
                way(images[:: max(1, len(images) // 10)], steps)
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(options.rounds):
            order = list(ways)[turn:] + list(ways)[:turn]
            spent = dict.fromkeys(ways, 0.0)
            for steps, images in groups:
                for name in order:
                    spent[name] += ways[name](images, steps)
            for name in ways:
                seconds[name].append(spent[name])
    lines = sum(len(images) for _, images in groups)
    return {
        "lines": lines,
        "rounds": options.rounds,
        "ms_a_line": {name: 1000 * median(spent) / lines for name, spent in seconds.items()},
        "times_as_fast": {
            f"{ours} / {theirs}": ratio(seconds[theirs], seconds[ours])
            for theirs in ways
            for ours in ways
            if theirs.startswith("VietOCR") and ours.startswith("vocr")
        },
        "seconds": seconds,
    }


def chosen(ways: dict[str, Contestant], names: str) -> dict[str, Contestant]:
    """Those of the ways that are named, in their order; all where none is.

    Raises:
        SystemExit: There is no such way.
    """
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if unknown := [name for name in wanted if name not in ways]:
        raise SystemExit(f"No way to read is called {unknown[0]!r}. Remedy: name some of {', '.join(ways)}.")
    return {name: way for name, way in ways.items() if not wanted or name in wanted}


def asked(peer: Peer, what: str, images: list[str], steps: int | None, size: int | None = None) -> float:
    more = {name: value for name, value in (("steps", steps), ("size", size)) if value is not None}
    return float(peer.ask(what, images, **more)["seconds"])


def made_up(folder: Path, length: int, count: int, spread_px: int = 20) -> list[str]:
    """Images of noise, as wide as lines of that many characters, within the 512 px of both sides."""
    place = folder / "data" / "made-up"
    place.mkdir(parents=True, exist_ok=True)
    dice = np.random.default_rng(length)
    paths = []
    for number in range(count):
        width = min(512, round(length * PX_A_CHARACTER + dice.integers(-spread_px, spread_px + 1)))
        coarse = dice.integers(0, 256, (8, max(2, width // 4), 3), dtype=np.uint8)
        path = place / f"{length}-{spread_px}-{number:03d}.png"
        Image.fromarray(coarse).resize((width, 32)).save(path)
        paths.append(str(path))
    return paths


def lengths(folder: Path, model: str, options: argparse.Namespace) -> Result:
    """Milliseconds a line against its characters and the batch, full-size model, both sides in turns."""
    ours = Ours(folder / "weights" / f"full_{model}.pth", "fp32", options.threads)
    points: list[Result] = []
    with Peer(folder, f"full_{model}", options.threads) as peer:
        for length in CURVE_LENGTHS:
            images = made_up(folder, length, max(CURVE_BATCHES), spread_px=0)
            for batch in CURVE_BATCHES:
                lines = images[: max(batch, options.lines or 4)]
                what = "predict" if batch == 1 else "predict_batch"
                ways = {
                    "VietOCR": lambda: asked(peer, what, lines, length, batch),  # noqa: B023
                    "vocr": lambda: ours.read(lines, batch, length)[0],  # noqa: B023
                }
                spent: dict[str, list[float]] = {side: [] for side in ways}
                for turn in range(options.rounds + 1):
                    for side, way in ways.items():
                        seconds = way()
                        if turn:  # the first is the warm-up
                            spent[side].append(1000 * seconds / len(lines))
                points += [
                    {
                        "side": side,
                        "characters": length,
                        "batch": batch,
                        "lines": len(lines),
                        "ms_a_line": values,
                    }
                    for side, values in spent.items()
                ]
    return {"model": model, "points": points, "faults": 0}
