"""Whose a YAML file is that is no config of ours: told by the keys that other programs write."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from vocr_cli.core.errors import ConfigError

_SHOWN = 4


@dataclass(frozen=True)
class _Signature:
    """The keys of a program's configs; dots part a section from a key inside it.

    Attributes:
        program: Its name.
        all_of: Keys that are all there.
        any_of: Keys of which `least` are there.
        least: How many.
    """

    program: str
    all_of: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    least: int = 1


_SIGNATURES = (
    _Signature(
        "PaddleOCR or OpenOCR",
        ("Global",),
        ("Architecture", "Optimizer", "Loss", "PostProcess", "Metric", "Train", "Eval"),
    ),
    _Signature("ABINet", ("global",), ("training", "dataset", "model")),
    _Signature(
        "PARSeq",
        any_of=("charset_train", "model.charset_train", "model._convert_", "model.max_label_length",
                "data.charset_train", "data.max_label_length"),
    ),
    _Signature("a Hydra application such as PARSeq", any_of=("hydra", "defaults", "_target_")),
    _Signature(
        "EasyOCR's trainer",
        any_of=("imgH", "imgW", "Transformation", "FeatureExtraction", "SequenceModeling", "Prediction",
                "lang_char", "select_data", "batch_ratio", "valInterval", "network_params", "lang_list"),
        least=2,
    ),
    _Signature(
        "Detectron2 or a program built like it",
        any_of=("MODEL", "SOLVER", "DATASETS", "DATASET", "INPUT", "DATALOADER", "TRAIN", "TEST", "_BASE_"),
        least=2,
    ),
    _Signature(
        "MMOCR or another OpenMMLab project",
        any_of=("_base_", "default_scope", "default_hooks", "train_dataloader", "val_dataloader",
                "test_dataloader", "train_cfg", "param_scheduler", "optim_wrapper", "train_pipeline",
                "test_pipeline", "checkpoint_config", "log_config", "env_cfg", "Collections"),
        least=2,
    ),
    _Signature("Ultralytics YOLO", ("nc",), ("names", "backbone", "head", "train", "val", "depth_multiple")),
    _Signature("Ultralytics YOLO", ("names",), ("train", "val", "path")),
    _Signature("Ultralytics YOLO", any_of=("imgsz", "mosaic", "mixup", "copy_paste", "degrees"), least=2),
    _Signature(
        "PyTorch Lightning",
        any_of=("seed_everything", "trainer.accelerator", "trainer.max_epochs", "model.class_path",
                "data.class_path"),
    ),
    _Signature("kraken", any_of=("train.training_data", "train.format_type", "segtrain", "ketos")),
    _Signature("Hugging Face Accelerate", ("distributed_type",), ("compute_environment", "machine_rank")),
)  # fmt: skip


def program_of(tree: Mapping[str, Any]) -> str:
    """The program whose config a YAML mapping is, as far as its keys tell; empty: they do not."""
    keys = set(tree)
    for section, inner in tree.items():
        if isinstance(inner, Mapping):
            keys |= {f"{section}.{key}" for key in inner}
    for signature in _SIGNATURES:
        found = sum(key in keys for key in signature.any_of)
        if found >= signature.least and keys.issuperset(signature.all_of):
            return signature.program
    return ""


def refuse_foreign(tree: Mapping[str, Any], origin: str, known: Collection[str]) -> None:
    """Refuses a YAML mapping that another program wrote, which none of our settings could explain.

    Args:
        tree: The mapping.
        origin: Names the file in the error.
        known: The sections that are expected; a key like one of them is taken for a misspelling.

    Raises:
        ConfigError: It is another program's.
    """
    program = program_of(tree)
    names = [str(key) for key in tree]
    ours = any(name in known or difflib.get_close_matches(name, known, n=1, cutoff=0.7) for name in names)
    if not program and (ours or not names):
        return
    shown = ", ".join(f"`{name}`" for name in names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    whose = f"a config of {program}" if program else "the config of another program"
    raise ConfigError(
        f"{origin} is {whose}: {shown} {'are' if len(names) > 1 else 'is'} neither vocr's nor VietOCR's.",
        "Name a config of vocr's, which `vocr autoconf --data DATA --out FILE` writes, or one of VietOCR's, "
        "with sections such as `vocab:` and `cnn:`.",
    )
