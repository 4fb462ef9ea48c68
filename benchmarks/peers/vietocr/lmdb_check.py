"""VietOCR's own OCRDataset reads an LMDB built by `vocr build-lmdb`. Runs in the peer's environment.

    lmdb_check.py DATABASE IMAGES LABELS      IMAGES: the folder that paths start at; LABELS: path, tab, text

Every sample must give the image file's pixels and the label's text, the last one included; else exit code 1.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import peer  # noqa: F401
from PIL import Image
from train import VOCAB
from vietocr.loader.dataloader import OCRDataset
from vietocr.model.vocab import Vocab
from vietocr.tool.translate import process_image


def main() -> None:
    database, images, labels = sys.argv[1:4]
    expected = dict(
        row.split("\t")[:2] for row in Path(labels).read_text(encoding="utf-8").splitlines() if row.strip()
    )
    vocab = Vocab(VOCAB)
    dataset = OCRDataset(lmdb_path=database, root_dir=images, annotation_path="", vocab=vocab)
    faults, seen, unknown = [], set(), 0
    for number in range(len(dataset)):
        _, label, path = dataset.read_buffer(number)
        seen.add(path)
        if label != expected.get(path):
            faults.append(f"{number}: label {label!r}, expected {expected.get(path)!r}")
        if not set(label) <= set(VOCAB):  # VietOCR cannot encode it, from whatever database
            unknown += 1
            continue
        sample = dataset[number]
        with Image.open(Path(images) / path) as image:
            pixels = process_image(image.convert("RGB"), 32, 32, 512)
        if not np.array_equal(sample["img"], pixels):
            faults.append(f"{number}: other pixels than {path}")
        if vocab.decode(sample["word"]) != label:
            faults.append(f"{number}: encodes as {sample['word']}")
    beyond = dataset.txn.get(b"image-%09d" % len(dataset)) is not None
    lost = sorted(set(expected) - seen)
    print(
        f"{len(dataset)} samples read by VietOCR's OCRDataset ({unknown} of them with characters it lacks); "
        f"{len(lost)} of {len(expected)} labels not found; {'some' if beyond else 'none'} behind its count; "
        f"{len(faults)} faults"
    )
    for fault in [*faults[:20], *(f"not in the database: {path}" for path in lost[:20])]:
        print(fault)
    sys.exit(bool(faults or lost or beyond))


if __name__ == "__main__":
    main()
