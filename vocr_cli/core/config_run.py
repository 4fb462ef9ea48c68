"""How a run trains: augmentation, batches, optimizer, schedule, validation, number formats."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from vocr_cli.core.families import Settings


class AugmentConfig(Settings):
    """Changes to stored lines while training (rendered lines have their own degradations)."""

    strength: float = Field(0.5, ge=0, le=1, description="0: off.")
    masked_share: float = Field(
        0.05, ge=0, lt=1, description="Family vietocr: share of the characters so far that it must guess."
    )


class BatchConfig(Settings):
    """How many lines make a step."""

    pixels: int = Field(400_000, ge=1_000, description="Lines × padded width × height, at most.")
    max_lines: int = Field(128, ge=1, description="Lines, at most.")
    bucket_px: int = Field(
        32,
        ge=1,
        description="Lines whose widths agree to this share a batch; in the family vietocr, whose "
        "models read padding as a part of the line, only lines of one exact width do.",
    )


class OptimConfig(Settings):
    """AdamW."""

    lr: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    betas: tuple[float, float] = (0.9, 0.98)
    clip_norm: float = Field(1.0, ge=0, description="0: off.")
    ema_decay: float = Field(0.999, ge=0, lt=1, description="Moving average of the weights; 0: off.")
    label_smoothing: float = Field(
        0.1, ge=0, lt=1, description="Family vietocr: probability that is spread over the wrong characters."
    )


class ScheduleConfig(Settings):
    """Learning rate over the run. Progress is the larger of steps and minutes, each over its limit."""

    name: Literal["cosine", "onecycle", "constant"] = "cosine"
    warmup_steps: int = Field(300, ge=0)
    final_lr_share: float = Field(
        0.01, ge=0, le=1, description="The rate at the end, as a share of `optim.lr`."
    )
    onecycle_peak_share: float = Field(0.1, gt=0, lt=1, description="Where OneCycle peaks (VietOCR: 0.1).")


class TrainConfig(Settings):
    """How long, and what is kept."""

    max_steps: int = Field(20_000, ge=1)
    max_minutes: float = Field(0, ge=0, description="0: no limit.")
    seed: int = 0
    log_every_steps: int = Field(20, ge=1)
    checkpoint_every_minutes: float = Field(5, gt=0)


class ValidateConfig(Settings):
    """When to look, and when to stop."""

    every_steps: int = Field(500, ge=1)
    max_lines: int = Field(2_000, ge=0, description="A fixed subset; 0: all.")
    patience: int = Field(
        0, ge=0, description="Stop after so many validations without a better CER; 0: never."
    )


class PrecisionConfig(Settings):
    """Numbers while training."""

    amp: Literal["auto", "bf16", "fp16", "off"] = Field(
        "auto", description="auto: bf16 where the hardware has it."
    )
    channels_last: bool = True

    @field_validator("amp", mode="before")
    @classmethod
    def _off_is_a_word(cls, value: Any) -> Any:
        return "off" if value is False else value  # YAML reads it as a truth value
