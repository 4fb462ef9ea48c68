"""VietOCR's readings, scores and timings. Runs in the peer's environment.

    readings.py WEIGHTS CONFIG FOLDER OUT.json     every way it reads the images of a folder, as JSON
    readings.py WEIGHTS CONFIG --serve             answers compare.py's requests, one JSON object a line

A request: {"ask": "predict" | "predict_batch" | "beam" | "score", "images": [path, ...], ...}; the methods of
`Peer` say what else each takes. Images are decoded before the clock starts; resizing and all that follows is
timed.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import peer  # noqa: F401
import torch
from PIL import Image
from vietocr.tool import predictor, translate
from vietocr.tool.config import Cfg

SOS, EOS = 1, 2
BEAM_STEPS = 128
DEFAULT_STEPS = 129
"""VietOCR looks whether it has reached 128 before each step."""


class Peer:
    """VietOCR's Predictor, with its images in memory."""

    def __init__(self, weights: str, config: str) -> None:
        settings = Cfg.load_config_from_file(config)
        settings["weights"], settings["device"] = weights, "cpu"
        self.predictor = predictor.Predictor(settings)
        self.images: dict[str, Image.Image] = {}
        self._translate = predictor.translate

    def load(self, paths: list[str]) -> list[Image.Image]:
        for path in paths:
            if path not in self.images:
                with Image.open(path) as image:
                    self.images[path] = image.convert("RGB")
        return [self.images[path] for path in paths]

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """What the method named by `ask` gives, and the seconds it took."""
        images = self.load(request["images"])
        steps = request.get("steps", DEFAULT_STEPS)
        # One step more than it is told, see DEFAULT_STEPS.
        predictor.translate = lambda image, model: self._translate(image, model, max_seq_length=steps - 1)
        work = {
            "predict": self.predict,
            "predict_batch": self.predict_batch,
            "beam": self.beam,
            "score": self.score,
        }
        start = time.perf_counter()
        found = work[request["ask"]](images, request)
        return {"seconds": time.perf_counter() - start, **found}

    def predict(self, images: list[Image.Image], request: dict[str, Any]) -> dict[str, Any]:
        """Line by line."""
        found = [self.predictor.predict(image, return_prob=True) for image in images]
        return {"texts": [text for text, _ in found], "probabilities": [float(prob) for _, prob in found]}

    def predict_batch(self, images: list[Image.Image], request: dict[str, Any]) -> dict[str, Any]:
        """In slices of `size`, all at once where it is not given."""
        size = request.get("size") or len(images)
        texts, probabilities = [], []
        for start in range(0, len(images), size):
            read, sure = self.predictor.predict_batch(images[start : start + size], return_prob=True)
            texts += read
            probabilities += map(float, sure)
        return {"texts": texts, "probabilities": probabilities}

    def beam(self, images: list[Image.Image], request: dict[str, Any]) -> dict[str, Any]:
        """With its beam of four, as `predict` does under `predictor.beamsearch`."""
        config = self.predictor.config
        config["predictor"]["beamsearch"] = True
        try:
            return {"texts": [self.predictor.predict(image) for image in images]}
        finally:
            config["predictor"]["beamsearch"] = False

    def score(self, images: list[Image.Image], request: dict[str, Any]) -> dict[str, Any]:
        """Σ log p of `texts`, their ends included, by VietOCR's model with all of a text given at once.

        The measure for both sides' beams. A text as long as its beam allows did not end: it is scored
        without the end.
        """
        model, vocab = self.predictor.model.eval(), self.predictor.vocab
        dataset = self.predictor.config["dataset"]
        size = (dataset["image_height"], dataset["image_min_width"], dataset["image_max_width"])
        sums, steps = [], []
        for image, text in zip(images, request["texts"], strict=True):
            classes = [vocab.c2i[char] for char in text] + [EOS] * (len(text) < BEAM_STEPS - 1)
            given = torch.tensor([SOS, *classes[:-1]])[:, None]  # (L, 1)
            with torch.no_grad():
                padding = torch.zeros(given.T.shape, dtype=torch.bool)
                logits = model(translate.process_input(image, *size), given, padding)
            chosen = logits[0].log_softmax(-1).gather(1, torch.tensor(classes)[:, None])
            sums.append(float(chosen.double().sum()))
            steps.append(len(classes))
        return {"sums": sums, "steps": steps}


def serve(side: Peer) -> None:
    """Answers on stdout what comes in on stdin; what VietOCR prints goes to stderr."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with contextlib.redirect_stdout(sys.stderr):
        out.write(json.dumps(facts()) + "\n")
        out.flush()
        for row in sys.stdin:
            out.write(json.dumps(side.answer(json.loads(row))) + "\n")
            out.flush()


def facts() -> dict[str, Any]:
    from importlib.metadata import version

    return {
        "vietocr": version("vietocr"),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
    }


def write_all(side: Peer, folder: Path, out: Path) -> None:
    """predict, predict_batch in three sizes, and the beam with its scores."""
    images = sorted(str(path) for path in folder.rglob("*.png"))
    side.answer({"ask": "predict", "images": images[:3]})  # warm-up
    result: dict[str, Any] = {"facts": facts(), "images": images}
    result["predict"] = side.answer({"ask": "predict", "images": images})
    for size in (7, 16, 32):
        result[f"predict_batch_{size}"] = side.answer(
            {"ask": "predict_batch", "images": images, "size": size}
        )
    if side.predictor.config["seq_modeling"] != "convseq2seq":  # for which VietOCR's beam has no code
        result["beam"] = side.answer({"ask": "beam", "images": images})
        scores = side.answer({"ask": "score", "images": images, "texts": result["beam"]["texts"]})
        result["beam"] |= {"sums": scores["sums"], "steps": scores["steps"]}
    out.write_text(json.dumps(result, ensure_ascii=False, indent=1), encoding="utf-8")


def main() -> None:
    if len(sys.argv) == 4 and sys.argv[3] == "--serve":
        serve(Peer(*sys.argv[1:3]))
    elif len(sys.argv) == 5:
        write_all(Peer(*sys.argv[1:3]), Path(sys.argv[3]), Path(sys.argv[4]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
