"""The keys of VietOCR's YAML files: which there are, which file has them, which say nothing to vocr.

Known are the keys that any version of VietOCR reads, and those that it hands on to torch's `OneCycleLR` and
`DataLoader`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from vocr_cli.core.config.foreign import program_of
from vocr_cli.core.config.tree import SECTIONS as OUR_SECTIONS

SEQUENCES = {
    "transformer": {
        "d_model": "d_model",
        "nhead": "heads",
        "num_encoder_layers": "encoder_layers",
        "num_decoder_layers": "decoder_layers",
        "dim_feedforward": "feed_forward",
        "max_seq_length": "positions",
        "pos_dropout": "position_dropout",
        "trans_dropout": "dropout",
    },
    "seq2seq": {
        "encoder_hidden": "encoder_hidden",
        "decoder_hidden": "decoder_hidden",
        "decoder_embedded": "embedding",
        "dropout": "dropout",
    },
    "convseq2seq": {
        "emb_dim": "embedding",
        "hid_dim": "hidden",
        "enc_layers": "encoder_layers",
        "dec_layers": "decoder_layers",
        "enc_kernel_size": "encoder_kernel",
        "dec_kernel_size": "decoder_kernel",
        "enc_max_length": "encoder_positions",
        "dec_max_length": "decoder_positions",
        "dropout": "dropout",
    },
}
"""VietOCR's names of sizes and ours, by sequence model."""

_SEQUENCE_EXTRAS = {"seq2seq": {"img_channel"}, "convseq2seq": {"pad_idx", "device"}}
"""Keys of `transformer` that are no setting of ours, by sequence model."""

_SCALARS = {"vocab", "device", "seq_modeling", "quiet", "weights", "backbone"}

OLD_CNN_NAMES = {
    "pooling_stride_size": "ss",
    "stride_size": "ss",
    "pooling_kernel_size": "ks",
    "kernel_size": "ks",
}
"""What the oldest files call the strides and sizes of the pools."""

DATA_PATHS = ("data_root", "train_annotation", "valid_annotation")
"""Keys of `dataset`, in the oldest files of `trainer`."""

_SECTION_KEYS: dict[str, set[str]] = {
    "cnn": {"ss", "ks", "hidden", "dropout", "pretrained", "backbone", *OLD_CNN_NAMES},
    "optimizer": {
        "max_lr", "pct_start", "div_factor", "final_div_factor", "anneal_strategy", "three_phase",
        "cycle_momentum", "base_momentum", "max_momentum", "last_epoch", "epochs", "steps_per_epoch",
        "init_lr", "n_warmup_steps",
    },
    "trainer": {
        "batch_size", "iters", "print_every", "valid_every", "metrics", "export", "checkpoint", "log",
        "epochs", "visualize_every", "finetune_backbone", *DATA_PATHS,
    },
    "dataset": {"name", "image_height", "image_min_width", "image_max_width", *DATA_PATHS},
    "dataloader": {
        "num_workers", "pin_memory", "prefetch_factor", "persistent_workers", "timeout",
        "pin_memory_device", "multiprocessing_context",
    },
    "aug": {"image_aug", "masked_language_model"},
    "predictor": {"beamsearch"},
    "pretrain": {"id", "id_or_url", "md5", "cached"},
}  # fmt: skip

SECTIONS = {*_SCALARS, "transformer", *_SECTION_KEYS}
"""The keys at the top."""

MAPPINGS = ("transformer", "optimizer", "trainer", "dataset", "dataloader", "aug", "predictor", "cnn")
"""The sections that are mappings in every file."""

_TELLING = {
    "cnn": {"ss", "ks", *OLD_CNN_NAMES},
    "transformer": {
        "pos_dropout", "trans_dropout", "encoder_hidden", "decoder_embedded", "img_channel", "enc_max_length",
        "dec_max_length", "enc_kernel_size", "dec_kernel_size",
    },
    "optimizer": {"init_lr", "n_warmup_steps"},
    "trainer": {"iters", "print_every", "valid_every", *DATA_PATHS},
    "dataset": {"image_height", "image_min_width", "image_max_width", *DATA_PATHS},
    "aug": {"image_aug", "masked_language_model"},
    "predictor": {"beamsearch"},
    "pretrain": {"id_or_url"},
}  # fmt: skip
"""Keys that hardly any other program's config has."""

_WITHOUT_COUNTERPART = {
    "device": "--device chooses", "quiet": "--quiet does that", "dataset.name": "",
    "dataloader.pin_memory": "",
    "dataloader.prefetch_factor": "", "dataloader.persistent_workers": "", "dataloader.timeout": "",
    "dataloader.pin_memory_device": "", "dataloader.multiprocessing_context": "",
    "trainer.export": "a run writes to its own folder, --out", "trainer.checkpoint": "", "trainer.log": "",
    "trainer.visualize_every": "--preview-batch shows lines", "trainer.finetune_backbone": "",
    "optimizer.anneal_strategy": "the rate follows a cosine", "optimizer.three_phase": "",
    "optimizer.cycle_momentum": "", "optimizer.base_momentum": "", "optimizer.max_momentum": "",
    "optimizer.last_epoch": "", "optimizer.epochs": "", "optimizer.steps_per_epoch": "",
}  # fmt: skip
"""Known keys without effect on a run here, and what does that instead."""


def is_vietocr(tree: Mapping[str, Any]) -> bool:
    """Whether a YAML mapping is a VietOCR config, rather than one of ours or another program's.

    It is one where it has a key that only VietOCR's files have, or no other than VietOCR's sections.
    """
    ours = OUR_SECTIONS & tree.keys()
    known = SECTIONS & tree.keys()
    if not known or len(ours) >= len(known) or program_of(tree):
        return False
    if "seq_modeling" in tree or _looks_like_characters(tree.get("vocab")):
        return True
    for section, telling in _TELLING.items():
        inner = tree.get(section)
        if isinstance(inner, Mapping) and telling & {*inner, *(_nearest(key, telling) for key in inner)}:
            return True
    sections = [value for value in tree.values() if isinstance(value, Mapping) and value]
    known_inside = any(
        set(inner) & _keys_of(section, "")
        for section, inner in tree.items()
        if isinstance(inner, Mapping) and section in SECTIONS
    )
    return known == tree.keys() and (known_inside or not sections)


def unknown_keys(sections: Mapping[str, Any], sequence: str) -> list[str]:
    """The keys of a file that VietOCR does not know, at any depth, each with the nearest known one.

    Args:
        sections: What the file has, as it has it.
        sequence: Its `seq_modeling`, on which the keys of `transformer` depend.
    """
    found = [_shown(str(key), "", SECTIONS - sections.keys()) for key in sections if key not in SECTIONS]
    for section, inner in sections.items():
        if section in SECTIONS and isinstance(inner, Mapping):
            known = _keys_of(section, sequence)
            found += [
                _shown(str(key), f"{section}.", known - set(inner)) for key in inner if key not in known
            ]
    return found


def left_aside(sections: Mapping[str, Any]) -> str:
    """A note on the keys of a file that have no counterpart here; empty: there are none."""
    names, instead = [], []
    for key, note in _WITHOUT_COUNTERPART.items():
        section, _, inner = key.partition(".")
        holder = sections.get(section) if inner else sections
        if isinstance(holder, Mapping) and holder.get(inner or section) is not None:
            names.append(f"`{key}`")
            instead += [note] if note else []
    if not names:
        return ""
    return (
        f"Left aside, without counterpart: {', '.join(names)}"
        + "".join(f"; {note}" for note in instead)
        + "."
    )


def missing_keys(sections: Mapping[str, Any]) -> list[str]:
    """The keys that sections of a file lack though VietOCR ends without them; it lays sections whole."""
    needed = {
        "trainer": ("batch_size", "iters", "print_every", "valid_every"),
        "dataset": ("image_height", "image_min_width", "image_max_width"),
        "aug": ("image_aug", "masked_language_model"),
        "predictor": ("beamsearch",),
    }
    return [
        f"{section}.{key}"
        for section, keys in needed.items()
        if isinstance(inner := sections.get(section), Mapping)
        for key in keys
        if key not in inner
    ]


def _keys_of(section: str, sequence: str) -> set[str]:
    """The known keys of a section; those of `transformer` depend on the sequence model, "" is any."""
    if section != "transformer":
        return _SECTION_KEYS.get(section, set())
    names = [sequence] if sequence in SEQUENCES else list(SEQUENCES)
    return {key for name in names for key in (*SEQUENCES[name], *_SEQUENCE_EXTRAS.get(name, ()))}


def _shown(key: str, prefix: str, candidates: Collection[str]) -> str:
    """An unknown key, and which one that the file lacks may have been meant."""
    near = _nearest(key, candidates)
    if near is None:
        elsewhere = next(_homes(key), "")
        hint = f" (did you mean `{elsewhere}`?)" if elsewhere and elsewhere != prefix + key else ""
    else:
        hint = f" (did you mean `{near}`?)"
    return f"`{prefix}{key}`{hint}"


def _homes(key: str) -> Iterator[str]:
    """Where a key would be known."""
    yield from (f"{section}.{key}" for section, keys in _SECTION_KEYS.items() if key in keys)
    yield from (f"transformer.{key}" for sizes in SEQUENCES.values() if key in sizes)


def _nearest(key: Any, candidates: Collection[str]) -> str | None:
    return next(iter(difflib.get_close_matches(str(key), candidates, n=1, cutoff=0.75)), None)


def _looks_like_characters(vocab: Any) -> bool:
    """Whether a value of `vocab` can be what VietOCR has there, rather than the name of a file."""
    if isinstance(vocab, list):
        return all(isinstance(char, str) and len(char) == 1 for char in vocab)
    return isinstance(vocab, str) and not re.fullmatch(r"\S+\.\w{2,5}", vocab)


def absent_sections(sections: Mapping[str, Any]) -> list[str]:
    """The sections that a file leaves out and that say what is computed, in Markdown's code marks.

    A file of VietOCR's that is not whole was laid over its `base.yml`, whose dropouts and sizes may differ.
    """
    return [f"`{name}`" for name in ("cnn", "transformer", "aug") if name not in sections]
