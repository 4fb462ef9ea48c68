"""How a run trains: augmentation, batches, optimizer, schedule, validation, number formats."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from vocr_cli.core.config.families import Settings

AugmentOperation = Literal[
    "geometry", "elastic", "thickness", "cutout", "blur", "light", "invert", "noise", "jpeg"
]


class AugmentConfig(Settings):
    """Changes to lines while training, made on the training device batch by batch."""

    strength: float = Field(0.5, ge=0, le=1, description="At the start; 0: off, and it stays off.")
    adaptive: bool = Field(
        True,
        description="At each validation: stronger where training's loss is far below validation's, weaker "
        "where training no longer learns.",
    )
    min_strength: float = Field(0.1, ge=0, le=1, description="Adaptive strength goes no lower.")
    max_strength: float = Field(1.0, ge=0, le=1, description="Adaptive strength goes no higher.")
    rendered_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Part of the strength that `synth` sources get, which have degradations of their own.",
    )
    operations: tuple[AugmentOperation, ...] = Field(
        get_args(AugmentOperation),
        description="Those in use. `invert` (light ink) has an effect only with image.polarity `as-is`.",
    )
    masked_share: float = Field(
        0.05, ge=0, lt=1, description="Family vietocr: share of the characters so far that it must guess."
    )

    @model_validator(mode="after")
    def _ordered(self) -> AugmentConfig:
        if self.min_strength > self.max_strength:
            raise ValueError(
                f"`min_strength` is {self.min_strength:g}, above `max_strength`, {self.max_strength:g}"
            )
        return self


class BatchConfig(Settings):
    """How many lines make a step."""

    pixels: int = Field(400_000, ge=1_000, description="Lines × padded width × height, at most.")
    max_lines: int = Field(128, ge=1, description="Lines, at most.")
    tokens: int = Field(
        0, ge=0, description="Lines × tokens of the longest label, its end included, at most; 0: no limit."
    )
    bucket_px: int = Field(
        32,
        ge=1,
        le=1_000_000,
        description="Lines whose widths agree to this share a batch; in the family vietocr, whose models "
        "read padding as a part of the line, a step takes each exact width by itself.",
    )


class OptimConfig(Settings):
    """The optimizer, gradient clipping, the moving average, and what is frozen."""

    name: Literal["adamw", "muon"] = Field(
        "adamw", description="muon: for hidden matrices and convolutions; all other weights keep AdamW."
    )
    lr: float = Field(1e-3, gt=0, description="The learning rate at its peak.")
    weight_decay: float = Field(0.01, ge=0, description="Decoupled (AdamW); times the learning rate.")
    betas: tuple[float, float] = Field(
        (0.9, 0.98),
        description="AdamW: how slowly the means of gradients and of their squares move; each ≥ 0, < 1.",
    )
    clip: Literal["off", "norm", "value", "adaptive"] = Field(
        "norm", description="adaptive: units by their weights (AGC), then the norm by those seen (AutoClip)."
    )
    clip_norm: float = Field(1.0, gt=0, description="norm: L2 norm of the whole gradient, at most.")
    clip_value: float = Field(0.1, gt=0, description="value: any element's size, at most.")
    agc_ratio: float = Field(
        0.16, gt=0, description="adaptive: norm of a unit's gradient over that of its weights, at most."
    )
    clip_percentile: float = Field(
        90, gt=0, le=100, description="adaptive: of the last 1,000 norms, the one that none may exceed."
    )
    accumulate: int = Field(1, ge=1, description="Batches that make an optimizer step.")
    non_finite_limit: int = Field(
        20, ge=1, description="Skipped steps in a row that send the run back to its last checkpoint."
    )
    ema_decay: float = Field(0.999, ge=0, lt=1, description="Moving average of the weights; 0: off.")
    label_smoothing: float = Field(
        0.1, ge=0, lt=1, description="Family vietocr: probability that is spread over the wrong characters."
    )
    freeze: tuple[str, ...] = Field(
        (),
        description="Stages that keep their weights: of ctc trunk, collapse, mixer, head; of vietocr "
        "backbone, encoder, decoder, head.",
    )
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="A layer's learning rate over that of the layer above it; 1: all alike."
    )

    @field_validator("betas", mode="after")
    @classmethod
    def _shares(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not all(0 <= beta < 1 for beta in value):
            raise ValueError(f"both are at least 0 and less than 1, as [0.9, 0.98]; not {list(value)}")
        return value

    @field_validator("clip", mode="before")
    @classmethod
    def _off_is_a_word(cls, value: Any) -> Any:
        return "off" if value is False else value  # YAML reads it as a truth value


class ScheduleConfig(Settings):
    """The learning rate by a run's progress: the larger of steps and minutes, each over its limit."""

    name: Literal["cosine", "onecycle", "wsd", "plateau", "constant"] = Field(
        "cosine", description="The shape; wsd: warm-up, stable, decay."
    )
    warmup_steps: int = Field(300, ge=0, description="Steps in which the rate rises to `optim.lr`.")
    final_lr_share: float = Field(
        0.01, ge=0, le=1, description="The rate at the end, as a share of `optim.lr`."
    )
    onecycle_peak_share: float = Field(0.1, gt=0, lt=1, description="Where OneCycle peaks (VietOCR: 0.1).")
    decay_share: float = Field(0.2, gt=0, le=1, description="wsd: share of the run, its end, that decays.")
    decay_shape: Literal["sqrt", "linear"] = Field("sqrt", description="wsd: how it decays.")
    plateau_factor: float = Field(0.5, gt=0, lt=1, description="plateau: what is left of the rate each time.")
    plateau_patience: int = Field(
        3, ge=1, description="plateau: full validations without a better CER before the rate falls."
    )


class TrainConfig(Settings):
    """How long a run trains, and what it keeps.

    A resumed run ends like one that was not cut off, bit for bit on a CPU, where `max_minutes` is not set and
    validation goes by steps: rates and validations that go by the clock are never twice the same.
    """

    max_steps: int = Field(20_000, ge=1, description="Optimizer steps, at most.")
    max_minutes: float = Field(0, ge=0, description="0: no limit.")
    seed: int = Field(0, ge=0, description="Of first weights, order, augmentation and dropout.")
    deterministic: bool = Field(
        False,
        description="On a GPU: only algorithms that give the same bits again, at some cost; what cannot be "
        "repeated all the same is said when the run starts.",
    )
    log_every_steps: int = Field(20, ge=1, description="Steps that one line of the log sums up.")
    checkpoint_every_minutes: float = Field(5, gt=0, description="Minutes between checkpoints.")
    checkpoint_every_steps: int = Field(0, ge=0, description="Also after so many steps; 0: by minutes alone.")
    keep_checkpoints: int = Field(
        1, ge=1, description="The last ones kept; --resume falls back to an older one when one is damaged."
    )
    teacher: str | None = Field(
        None, description="Model to distil from: embedded name or file, of the same family."
    )
    teacher_weight: float = Field(
        0.5, gt=0, le=1, description="Share of the teacher in the loss, the labels have the rest."
    )
    teacher_temperature: float = Field(
        2.0, gt=0, description="Both models' logits are divided by it before they are compared."
    )
    teacher_lines: Literal["all", "right"] = Field(
        "all",
        description="right: of lines that the teacher reads wrong the labels alone are learned, so that "
        "its faults are not.",
    )
    tensorboard: bool = Field(False, description="Also log to the run folder's `tensorboard`.")


class ValidateConfig(Settings):
    """When a run validates, and when it stops.

    One of `every_steps`, `every_minutes` and `time_share` says how often; where none does, `time_share` is
    0.05. Only `every_steps` looks at the same steps on every machine: the others go by the clock.

    With `quick_lines`, most validations read a small subset. A subset's CER does not compete with that of
    all lines: the best model and the patience heed full validations alone.

    A few lines that a model writes on and on can be most of a CER: `line_accuracy`, the share of lines
    without a mistake, is what VietOCR and PaddleOCR keep the best model by.
    """

    every_steps: int | None = Field(None, ge=1, description="Steps between validations.")
    every_minutes: float | None = Field(None, gt=0, description="Minutes between validations.")
    time_share: float | None = Field(
        None, gt=0, lt=1, description="As often as this share of the run's time allows."
    )
    max_lines: int = Field(2_000, ge=0, description="A fixed subset; 0: all.")
    quick_lines: int = Field(0, ge=0, description="A smaller fixed subset for most looks; 0: all are full.")
    full_every: int = Field(5, ge=1, description="Of the looks with `quick_lines`, each n-th is full.")
    metric: Literal["cer", "line_accuracy", "loss"] = Field(
        "cer",
        description="What patience goes by; the best model, too, but with `loss` that of lowest CER.",
    )
    patience: int = Field(
        0, ge=0, description="Stop after so many full validations without a better `metric`; 0: never."
    )
    min_delta: float = Field(0.0, ge=0, description="By how much it must be better to count.")
    target_cer: float = Field(
        0.0, ge=0, lt=1, description="Stop when a full validation's CER is no higher; 0: never."
    )

    @model_validator(mode="after")
    def _one_rhythm(self) -> ValidateConfig:
        named = (self.every_steps, self.every_minutes, self.time_share)
        if sum(value is not None for value in named) > 1:
            raise ValueError(
                "choose one of `every_steps`, `every_minutes` and `time_share`, and set the others to null"
            )
        return self


RecomputedStage = Literal["all", "light", "trunk", "collapse", "mixer", "backbone", "encoder", "decoder"]
"""See `PrecisionConfig.recompute`."""


class PrecisionConfig(Settings):
    """Number formats while training, and how attention and activations use memory."""

    amp: Literal["auto", "bf16", "fp16", "off"] = Field(
        "auto", description="auto: bf16 where the hardware has it."
    )
    channels_last: bool = Field(
        True, description="Images lie in memory pixel by pixel: convolutions like it."
    )
    flush_denormals: bool = Field(
        True,
        description="On CPUs: numbers below 1e-38 are 0. Gradients hold many, and some CPUs take a hundred "
        "times as long for them.",
    )
    attention: Literal["auto", "sdpa", "chunked", "lines", "plain"] = Field(
        "auto",
        description="sdpa: torch's kernels; chunked: blocks of queries and keys, memory that does not grow "
        "with the square of the length; lines: the weights of a few lines at a time; plain: all weights at "
        "once; auto: sdpa where the device has a fused kernel for it (a CPU has none under dropout), else "
        "lines for short lines and chunked for long ones.",
    )
    recompute: tuple[RecomputedStage, ...] = Field(
        (),
        description="Stages whose activations are computed again in the backward pass instead of kept: "
        "less memory, more time. off; light: batch norms, activations and hidden layers, which cost little; "
        "all; or of ctc trunk, collapse, mixer, of vietocr backbone, encoder, decoder.",
    )

    @field_validator("amp", mode="before")
    @classmethod
    def _off_is_a_word(cls, value: Any) -> Any:
        return "off" if value is False else value  # YAML reads it as a truth value

    @field_validator("recompute", mode="before")
    @classmethod
    def _off_is_no_stage(cls, value: Any) -> Any:
        if value in (False, None, "off"):
            return ()
        return (value,) if isinstance(value, str) else value
