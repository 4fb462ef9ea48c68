"""What a VietOCR YAML says about a training run, as vocr's settings."""

from __future__ import annotations

from typing import Any

from vocr_cli.core.models.vietocr.constants import VIETOCR_IMAGE
from vocr_cli.core.models.vietocr.yaml_rules.known_keys import left_aside
from vocr_cli.core.models.vietocr.yaml_rules.refusals import number

_DIV_FACTOR, _FINAL_DIV_FACTOR = 25, 1e4  # of torch's OneCycleLR, which VietOCR uses
_LEAST_PIXELS = 1_000


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
    lines = number(tree, "trainer.batch_size", 32, origin)
    steps = number(tree, "trainer.iters", 100_000, origin)
    height = number(tree, "dataset.image_height", VIETOCR_IMAGE.height_px, origin)
    widest = number(tree, "dataset.image_max_width", VIETOCR_IMAGE.max_width_px, origin)
    _note_left_aside(sections, notes)
    return {
        "data": {"workers": number(tree, "dataloader.num_workers", 3, origin)},
        "augment": {
            "strength": 0.5 if tree["aug"].get("image_aug", True) else 0.0,
            "masked_share": 0.05 if tree["aug"].get("masked_language_model", True) else 0.0,
        },
        "batch": {
            "max_lines": lines,
            "pixels": max(lines * height * widest, _LEAST_PIXELS),
            "bucket_px": VIETOCR_IMAGE.width_multiple_px,
        },
        **_rate(tree, steps, origin, notes),
        "train": {"max_steps": steps, "log_every_steps": number(tree, "trainer.print_every", 200, origin)},
        "validate": {
            "every_steps": number(tree, "trainer.valid_every", 4_000, origin),
            "max_lines": number(tree, "trainer.metrics", 0, origin),
        },
    }


def _note_left_aside(sections: dict[str, Any], notes: list[str]) -> None:
    """Names the keys of the file that have no counterpart in a run."""
    cnn = sections.get("cnn")
    if isinstance(cnn, dict) and cnn.get("pretrained"):
        notes.append(
            "Left aside: `cnn.pretrained`; a backbone starts from random weights or those of a model."
        )
    if aside := left_aside(sections):
        notes.append(aside)


def _rate(tree: dict[str, Any], steps: float, origin: str, notes: list[str]) -> dict[str, Any]:
    """OneCycle; the older rise and fall (Vaswani et al., 2017) as the OneCycle of the same peak."""
    optimizer = tree["optimizer"]
    lr = number(tree, "optimizer.max_lr", 3e-4, origin)
    share = number(tree, "optimizer.pct_start", 0.1, origin)
    start = number(tree, "optimizer.div_factor", _DIV_FACTOR, origin)
    end = number(tree, "optimizer.final_div_factor", _FINAL_DIV_FACTOR, origin)
    if start != _DIV_FACTOR:
        notes.append(
            f"Left aside: `optimizer.div_factor: {start:g}`; the rate starts at 1/{_DIV_FACTOR} of its peak."
        )
    if "n_warmup_steps" in optimizer:
        warm = max(number(tree, "optimizer.n_warmup_steps", 4_000, origin), 1)
        width = number(tree, "transformer.d_model", 512, origin)
        if "init_lr" in optimizer:
            lr = float(f"{number(tree, 'optimizer.init_lr', 1, origin) * (width * warm) ** -0.5:.3g}")
        share = min(max(warm / max(steps, 1), 0.001), 0.5)
        notes.append(f"Old warm-up schedule: taken as OneCycle, whose peak is {lr:g} after {warm:g} steps.")
    return {
        "optim": {"lr": lr},
        "schedule": {
            "name": "onecycle",
            "onecycle_peak_share": share,
            "final_lr_share": 1 / (start * end) if start > 0 and end > 0 else -1,  # which is refused by name
        },
    }
