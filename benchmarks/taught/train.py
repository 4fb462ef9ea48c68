"""Trains VietOCR's vgg_transformer from random weights until it reads short lines, on two cores.

    .venv/bin/python benchmarks/taught/train.py FOLDER --text TEXT... --fonts FONT...
        [--lines 40000] [--column-steps 520] [--writing-steps 1200] [--rate 5e-4]

Labels alone teach such a model little for hours. Here vi-small, which reads in columns of 4 px as the VGG
does, tells what stands in which column: first the backbone learns a class for each column (frame-level
distillation, Takashima et al., 2018); then, on its frozen features, encoder and decoder learn to write, and
are shown on the way which columns each character stands in (guided attention, Tachibana et al., 2018), what
the encoder is to keep of a column, and the next character behind each layer (Lee et al., deeply-supervised
nets, 2015). These three fade out. Lines have one to four words and are clean; those that vi-small misreads
are left out of training. What int8 costs such a model can then be judged.

Written: FOLDER/train.lmdb and FOLDER/valid.lmdb (600 lines, from other paragraphs), FOLDER/columns.pt and
writing.pt, from which a stage that was stopped goes on, and FOLDER/vgg_transformer.safetensors, which
`vocr train --init` takes.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from lines import Line, cut_phrases, render, spans, taught_lines
from torch import Tensor, nn

from vocr_cli.core.config.families import TransformerConfig, VietocrConfig
from vocr_cli.core.models.files import ModelFile, save_model
from vocr_cli.core.models.vietocr.constants import EOS, PAD, SOS, VIETOCR_CHARACTERS, VIETOCR_IMAGE
from vocr_cli.core.models.vietocr.language_transformer import (
    Attention,
    DecoderLayer,
    LanguageTransformer,
    Transformer,
)
from vocr_cli.core.models.vietocr.recognizer import VietocrRecognizer
from vocr_cli.core.text import Charset

SPECIALS, MASK = 4, 3
GUIDED_LAYERS, GUIDED_HEADS, DEEP_LAYERS = range(1, 4), 4, range(1, 5)
BLANK_WEIGHT = 0.25  # most columns are blank


def batches(keys: Sequence[int], size: int) -> Iterator[list[int]]:
    """Indices of lines of one key, without end, shuffled."""
    groups = defaultdict[int, list[int]](list)
    for index, key in enumerate(keys):
        groups[key].append(index)
    while True:
        epoch = []
        for group in groups.values():
            random.shuffle(group)
            epoch += [group[start : start + size] for start in range(0, len(group), size)]
        random.shuffle(epoch)
        yield from epoch


def column_loss(logits: Tensor, columns: Tensor) -> Tensor:
    """Cross entropy of (B, T, C) logits to the teacher's (B, T) classes."""
    losses = F.cross_entropy(logits.float().flatten(0, 1), columns.flatten(), reduction="none")
    weights = torch.where(columns.flatten() > 0, 1.0, BLANK_WEIGHT)
    return (losses * weights).sum() / weights.sum()


def as_input(lines: Sequence[Line]) -> Tensor:
    """(B, 3, H, W) float of lines of one width."""
    images = torch.stack([line.pixels for line in lines]).float()[:, None].expand(-1, 3, -1, -1) / 255
    return images.contiguous(memory_format=torch.channels_last)


def both_rows(features: Tensor) -> Tensor:
    """(2 T, B, D), a column from top to bottom, to (B, T, 2 D)."""
    return features.transpose(0, 1).unflatten(1, (-1, 2)).flatten(2)


class Steps:
    """A stage's steps: AdamW, warm-up, a constant rate, then a linear end; stored every 100 steps.

    Args:
        modules: What is trained, by name.
        rate: Of learning, at most.
        count: Steps.
        warmup: Of them.
        decayed: Fraction of the steps whose rate falls.
        clip: Norm that gradients are cut to.
        file: To go on from.
    """

    def __init__(
        self,
        modules: nn.ModuleDict,
        rate: float,
        count: int,
        warmup: int,
        decayed: float,
        clip: float,
        file: Path,
    ) -> None:
        self.modules, self.rate, self.count, self.file = modules, rate, count, file
        self.warmup, self.decayed, self.clip, self.done = warmup, decayed, clip, 0
        self.optimizer = torch.optim.AdamW(
            modules.parameters(), lr=rate, weight_decay=0.01, betas=(0.9, 0.98), fused=True
        )
        self.start = time.perf_counter()
        if file.exists():
            stored = torch.load(file, weights_only=True)
            modules.load_state_dict(stored["modules"])
            self.optimizer.load_state_dict(stored["optimizer"])
            self.done = stored["done"]

    def take(self, total: Tensor, **shown: float) -> None:
        """One step down the gradient of `total`."""
        falling = min(1.0, (self.count - self.done) / (self.decayed * self.count))
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * min(1.0, (self.done + 1) / self.warmup) * (0.98 * falling + 0.02)
        self.optimizer.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(self.modules.parameters(), self.clip)
        self.optimizer.step()
        self.done += 1
        if self.done % 20 == 0:
            figures = " ".join(f"{name} {value:.3f}" for name, value in shown.items())
            print(
                f"{self.file.stem} {self.done} {figures} {time.perf_counter() - self.start:.0f} s", flush=True
            )
        if self.done % 100 == 0 or self.done == self.count:
            state = {"modules": self.modules.state_dict(), "optimizer": self.optimizer.state_dict()}
            torch.save(state | {"done": self.done}, self.file)


def teach_columns(model: VietocrRecognizer, lines: Sequence[Line], steps: int, file: Path) -> None:
    """The backbone learns the class of each column."""
    classes = 1 + max(int(line.columns.max()) for line in lines)
    modules = nn.ModuleDict({"cnn": model.cnn, "head": nn.Linear(2 * model.config.hidden, classes)})
    run = Steps(modules, rate=1e-3, count=steps, warmup=50, decayed=0.3, clip=5.0, file=file)
    drawn = batches([line.pixels.shape[1] for line in lines], 64)
    model.train()
    while run.done < steps:
        part = [lines[index] for index in next(drawn)]
        with torch.autocast("cpu", torch.bfloat16):
            logits = modules["head"](both_rows(model.features(as_input(part))))
        loss = column_loss(logits, torch.stack([line.columns for line in part]))
        run.take(loss, loss=float(loss.detach()))


class Shown:
    """What is caught of a forward pass: attention of some heads, the memory, the layers' outputs."""

    def __init__(self, transformer: Transformer) -> None:
        self.attention: list[Tensor] = []
        self.layers: list[Tensor] = []
        self.memory: list[Tensor] = []
        transformer.encoder.register_forward_hook(lambda module, given, out: self.memory.append(out))
        for index, layer in enumerate(transformer.decoder.layers):
            assert isinstance(layer, DecoderLayer)
            if index in DEEP_LAYERS:
                layer.register_forward_hook(lambda module, given, out: self.layers.append(out))
            if index in GUIDED_LAYERS:
                layer.multihead_attn.register_forward_hook(self._attend)

    def clear(self) -> None:
        """Forgets the pass before."""
        for caught in (self.attention, self.layers, self.memory):
            caught.clear()

    def _attend(self, module: Attention, given: tuple[Tensor, Tensor], out: Tensor) -> None:
        x, memory = given
        width = x.shape[2]
        weights, biases = module.in_proj_weight, module.in_proj_bias
        queries = F.linear(x, weights[:width], biases[:width]).unflatten(2, (module.heads, -1))
        keys = F.linear(memory, weights[width : 2 * width], biases[width : 2 * width]).unflatten(
            2, (module.heads, -1)
        )
        scores = torch.einsum("lbnd,sbnd->bnls", queries[:, :, :GUIDED_HEADS], keys[:, :, :GUIDED_HEADS])
        self.attention.append((scores.float() / (width // module.heads) ** 0.5).softmax(-1))


def teach_writing(
    model: VietocrRecognizer, lines: Sequence[Line], steps: int, rate: float, file: Path
) -> None:
    """Encoder and decoder learn to write from the features of a backbone that stays."""
    features = features_of(model, lines)
    transformer, index = model.transformer, {char: SPECIALS + i for i, char in enumerate(VIETOCR_CHARACTERS)}
    assert isinstance(transformer, LanguageTransformer)
    shown, classes = Shown(transformer.transformer), 1 + max(int(line.columns.max()) for line in lines)
    modules = nn.ModuleDict({"transformer": transformer, "head": nn.Linear(2 * model.config.hidden, classes)})
    run = Steps(modules, rate=rate, count=steps, warmup=80, decayed=0.4, clip=1.0, file=file)
    drawn = batches([len(one) for one in features], 64)
    model.train()
    while run.done < steps:
        chosen = next(drawn)
        part = [lines[number] for number in chosen]
        longest = max(len(line.text) for line in part)
        targets = torch.full((len(part), longest + 1), PAD)
        visible = torch.zeros(len(part), longest + 1, 2 * len(part[0].columns))
        for row, line in enumerate(part):
            targets[row, : len(line.text) + 1] = torch.tensor([*(index[char] for char in line.text), EOS])
            for place, (first, last) in enumerate(spans(line.columns)):
                visible[row, place, max(0, 2 * (first - 1)) : 2 * (last + 2)] = 1
        tokens = F.pad(targets[:, :-1], (1, 0), value=SOS)
        tokens[(tokens >= SPECIALS) & (torch.rand(tokens.shape) < 0.1)] = MASK
        shown.clear()
        given = torch.stack([features[number] for number in chosen], 1).float()  # (S, B, D)
        with torch.autocast("cpu", torch.bfloat16):
            logits = transformer(given, tokens)
            deep = [transformer.fc(out.transpose(0, 1)) for out in shown.layers]
            column_logits = modules["head"](both_rows(shown.memory[0]))
        says = visible.any(-1)  # (B, L): the end stands nowhere
        masses = [(one * visible[:, None]).sum(-1).clamp(min=1e-6).log() for one in shown.attention]
        guide = -torch.stack(
            [(mass * says[:, None]).sum() / (says.sum() * mass.shape[1]) for mass in masses]
        ).mean()
        loss = token_loss(logits, targets, 0.02)
        helped = torch.stack([token_loss(one, targets) for one in deep]).mean()
        helped = helped + column_loss(column_logits, torch.stack([line.columns for line in part])) + guide
        run.take(
            loss + max(0.0, 1 - run.done / (0.7 * steps)) * helped,
            loss=float(loss.detach()),
            attention=float(guide.detach()),
        )


def token_loss(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross entropy of (B, L, C) logits to (B, L) tokens, padding left out."""
    return F.cross_entropy(
        logits.float().flatten(0, 1), targets.flatten(), ignore_index=PAD, label_smoothing=smoothing
    )


def scale_features(model: VietocrRecognizer, lines: Sequence[Line]) -> None:
    """Scales the backbone's last layer so that the features of lines of one width have a spread of 1 / √D.

    VietOCR multiplies them by the root of D before it adds positions of at most 1, which they would drown.
    """
    with torch.autocast("cpu", torch.bfloat16):
        spread = float(model.features(as_input(lines)).float().std())
    last: nn.Conv2d = model.cnn.model.last_conv_1x1  # type: ignore[assignment]
    for values in (last.weight, last.bias):
        assert values is not None
        values.mul_(model.config.hidden**-0.5 / spread)


def features_of(model: VietocrRecognizer, lines: Sequence[Line]) -> list[Tensor]:
    """(S, D) of each line, in half precision; the backbone is scaled first."""
    model.eval()
    found: list[Tensor | None] = [None] * len(lines)
    by_width = defaultdict[int, list[int]](list)
    for number, line in enumerate(lines):
        by_width[line.pixels.shape[1]].append(number)
    with torch.no_grad():
        scale_features(model, [lines[number] for number in next(iter(by_width.values()))[:64]])
        # Another context: autocast keeps the weights that it has rounded, whatever becomes of them.
        with torch.autocast("cpu", torch.bfloat16):
            for group in by_width.values():
                for start in range(0, len(group), 64):
                    part = group[start : start + 64]
                    maps = model.features(as_input([lines[number] for number in part]))
                    for number, one in zip(part, maps.transpose(0, 1), strict=True):
                        found[number] = one.half().clone()
    return [one for one in found if one is not None]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--text", type=Path, nargs="+", required=True)
    parser.add_argument("--fonts", nargs="+", required=True)
    parser.add_argument("--lines", type=int, default=40_000)
    parser.add_argument("--column-steps", type=int, default=520)
    parser.add_argument("--writing-steps", type=int, default=1200)
    parser.add_argument("--rate", type=float, default=5e-4, help="of learning, while it writes")
    options = parser.parse_args()
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    random.seed(0)
    torch.manual_seed(0)
    torch.set_flush_denormal(True)
    if not (folder / "train.txt").exists():
        cut_phrases(options.text, folder)
    render(folder, "valid", 600, 2, options.fonts)
    lines = taught_lines(render(folder, "train", options.lines, 1, options.fonts))
    print(f"{len(lines)} lines that vi-small reads as labelled", flush=True)

    config = VietocrConfig(
        feature_dropout=0.1, transformer=TransformerConfig(dropout=0.0, position_dropout=0.0)
    )
    model = VietocrRecognizer(config, VIETOCR_IMAGE, SPECIALS + len(VIETOCR_CHARACTERS))
    model.cnn.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert isinstance(model.transformer, LanguageTransformer)
    nn.init.normal_(model.transformer.embed_tgt.weight, 0, config.hidden**-0.5)
    teach_columns(model, lines, options.column_steps, folder / "columns.pt")
    teach_writing(model, lines, options.writing_steps, options.rate, folder / "writing.pt")
    plain = VietocrConfig()  # with VietOCR's dropout, for training that goes on
    charset = Charset(VIETOCR_CHARACTERS)
    save_model(folder / "vgg_transformer.safetensors", ModelFile(model, plain, VIETOCR_IMAGE, charset))


if __name__ == "__main__":
    main()
