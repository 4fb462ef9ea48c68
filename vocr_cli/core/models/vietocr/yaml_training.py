"""What a VietOCR YAML says about a training run, as vocr's settings."""

from __future__ import annotations

from typing import Any

from vocr_cli.core.errors import ConfigError
from vocr_cli.core.models.vietocr.constants import VIETOCR_IMAGE

_ONECYCLE_END = 4e-6  # of the peak: where torch's OneCycleLR, which VietOCR uses, ends


def training_settings(
    tree: dict[str, Any], sections: dict[str, Any], origin: str, notes: list[str]
) -> dict[str, Any]:
    """The sections of a training run, the rest being VietOCR's constants, which are vocr's defaults.

    Args:
        tree: The file laid over `base.yml`, its sections dictionaries.
        sections: Those of the file alone.
        origin: Names the file in errors.
        notes: What has no counterpart is added here.

    Raises:
        ConfigError: A value is no number.
    """
    trainer, dataset = tree["trainer"], tree["dataset"]
    lines = number(trainer, "batch_size", 32, origin)
    steps = number(trainer, "iters", 100_000, origin)
    height = number(dataset, "image_height", VIETOCR_IMAGE.height_px, origin)
    widest = number(dataset, "image_max_width", VIETOCR_IMAGE.max_width_px, origin)
    _note_left_aside(sections, notes)
    return {
        "data": {"workers": number(tree["dataloader"], "num_workers", 3, origin)},
        "augment": {
            "strength": 0.5 if tree["aug"].get("image_aug", True) else 0.0,
            "masked_share": 0.05 if tree["aug"].get("masked_language_model", True) else 0.0,
        },
        "batch": {
            "max_lines": lines,
            "pixels": lines * height * widest,
            "bucket_px": VIETOCR_IMAGE.width_multiple_px,
        },
        **_rate(tree, steps, origin, notes),
        "train": {"max_steps": steps, "log_every_steps": number(trainer, "print_every", 200, origin)},
        "validate": {
            "every_steps": number(trainer, "valid_every", 4_000, origin),
            "max_lines": number(trainer, "metrics", 0, origin),
        },
    }


def _note_left_aside(sections: dict[str, Any], notes: list[str]) -> None:
    """Names the keys of the file that have no counterpart in a run."""
    trainer, cnn = sections.get("trainer"), sections.get("cnn")
    if isinstance(cnn, dict) and cnn.get("pretrained"):
        notes.append(
            "Left aside: `cnn.pretrained`; a backbone starts from random weights or those of a model."
        )
    paths = [key for key in ("export", "checkpoint", "log") if isinstance(trainer, dict) and trainer.get(key)]
    if paths:
        keys = ", ".join(f"`trainer.{key}`" for key in paths)
        notes.append(f"Left aside: {keys}; a run writes everything to its own folder, --out.")


def _rate(tree: dict[str, Any], steps: float, origin: str, notes: list[str]) -> dict[str, Any]:
    """OneCycle; the older rise and fall (Vaswani et al., 2017) as the OneCycle of the same peak."""
    optimizer = tree["optimizer"]
    lr, share = number(optimizer, "max_lr", 3e-4, origin), number(optimizer, "pct_start", 0.1, origin)
    if "n_warmup_steps" in optimizer:
        warm = max(number(optimizer, "n_warmup_steps", 4_000, origin), 1)
        width = number(tree["transformer"], "d_model", 512, origin)
        if "init_lr" in optimizer:
            lr = float(f"{number(optimizer, 'init_lr', 1, origin) * (width * warm) ** -0.5:.3g}")
        share = min(max(warm / max(steps, 1), 0.001), 0.5)
        notes.append(f"Old warm-up schedule: taken as OneCycle, whose peak is {lr:g} after {warm:g} steps.")
    return {
        "optim": {"lr": lr},
        "schedule": {"name": "onecycle", "onecycle_peak_share": share, "final_lr_share": _ONECYCLE_END},
    }


def number(section: dict[str, Any], key: str, default: float, origin: str) -> float:
    """A number of a section, whole ones as int: YAML reads `1e-3` as text, some files end it with a comma.

    Raises:
        ConfigError: The value is no number.
    """
    value = section.get(key)
    if value is None:
        return default
    try:
        parsed = float(value.strip(" ,") if isinstance(value, str) else value)
        return int(parsed) if parsed.is_integer() else parsed
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(f"{origin}: `{key}: {value}` is no number.", "Write a number.") from None
