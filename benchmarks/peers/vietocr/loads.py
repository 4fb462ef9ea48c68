"""VietOCR's own OCRDataset, ClusterRandomSampler and DataLoader, timed. Runs in the peer's environment.

    loads.py open DATABASE            one line of JSON: seconds to open and to bucket, samples, batches
    loads.py pixels DATABASE COUNT    the SHA-256 of each of the first samples' pixels, and Pillow's version
    loads.py serve DATABASE LINES BATCH WORKERS plain|augmented
                                      for each row on stdin: seconds for so many lines from the DataLoader

A process opens one database: VietOCR never closes it, and lmdb opens none twice. VietOCR prints to stdout, so
answers are the rows that begin with a brace.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import peer  # noqa: F401
import PIL
import torch
from torch.utils.data import DataLoader
from train import VOCAB
from vietocr.loader.aug import ImgAugTransformV2
from vietocr.loader.dataloader import ClusterRandomSampler, Collator, OCRDataset
from vietocr.model.vocab import Vocab


def opened(database: str, transform: Any = None) -> OCRDataset:
    """The data set with the sizes of VietOCR's `base.yml`."""
    return OCRDataset(
        lmdb_path=database, root_dir="", annotation_path="", vocab=Vocab(VOCAB), image_height=32,
        image_min_width=32, image_max_width=512, transform=transform,
    )  # fmt: skip


def open_and_bucket(database: str, batch: int = 32) -> dict[str, float]:
    """Seconds until the order of an epoch is known."""
    start = time.perf_counter()
    dataset = opened(database)
    indexed = time.perf_counter()
    order = list(ClusterRandomSampler(dataset, batch))
    end = time.perf_counter()
    return {
        "seconds": end - start,
        "open_s": indexed - start,
        "samples": len(dataset),
        "batches": len(order) / batch,
    }


def digests(database: str, count: int) -> list[str]:
    """Of (H, W, 3) uint8 pixels; VietOCR's own are float in 0..1, channels first."""
    dataset = opened(database)
    found = []
    for number in range(min(count, len(dataset))):
        pixels = np.rint(dataset[number]["img"].transpose(1, 2, 0) * 255).astype(np.uint8)
        found.append(hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest())
    return found


def batches(dataset: OCRDataset, batch: int, workers: int) -> Iterator[dict[str, Any]]:
    """Epoch after epoch, as VietOCR's Trainer makes its loader."""
    while True:
        yield from DataLoader(
            dataset, batch_size=batch, sampler=ClusterRandomSampler(dataset, batch),
            collate_fn=Collator(True), shuffle=False, drop_last=False, num_workers=workers,
        )  # fmt: skip


def serve(database: str, lines: int, batch: int, workers: int, augmented: bool) -> None:
    """Passes on request, each behind the batches that were made ahead."""
    torch.set_num_threads(1)
    feed = batches(opened(database, ImgAugTransformV2() if augmented else None), batch, workers)
    next(feed)
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        for _ in itertools.islice(feed, 2 * workers):
            pass
        start, seen = time.perf_counter(), 0
        while seen < lines:
            seen += len(next(feed)["filenames"])
        print(json.dumps({"seconds": time.perf_counter() - start, "lines": seen}), flush=True)


def main() -> None:
    what, database, *more = sys.argv[1:]
    if what == "open":
        print(json.dumps(open_and_bucket(database)))
    elif what == "pixels":
        print(json.dumps({"pillow": PIL.__version__, "digests": digests(database, int(more[0]))}))
    else:
        serve(database, int(more[0]), int(more[1]), int(more[2]), more[3] == "augmented")


if __name__ == "__main__":
    main()
