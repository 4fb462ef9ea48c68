"""Settings of the model families.

A family is a subclass of `ModelConfig` in `FAMILIES`. What the program must know of a family before there is
a model stands on its config class: how its lines are batched, what its classes are, what weights depend on.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator
from pydantic_core import PydanticCustomError

from vocr_cli.core.config.base import Settings as Settings
from vocr_cli.core.config.bounds import refuse_uneven_heads, within_bounds
from vocr_cli.core.config.sequences import ConvSeq2SeqConfig as ConvSeq2SeqConfig
from vocr_cli.core.config.sequences import Seq2SeqConfig as Seq2SeqConfig
from vocr_cli.core.config.sequences import TransformerConfig as TransformerConfig

COLUMN_PX = 4
"""Width in px, at model height, of one output column of a model with a CTC head."""

UNKNOWN_FAMILY = "unknown_family"
"""The type of the error that names the known families."""

Head = Literal["ctc", "autoregressive"]
"""What a model gives: the logits of every column, or the characters one after another."""

_Count = TypeVar("_Count", int, Any)


class ModelConfig(Settings):
    """Settings of any model; `family` tells them apart. What stands here suits a model with a CTC head."""

    HEAD: ClassVar[Head] = "ctc"
    """The key of objectives and engines: families with the same kind of output share them."""
    EXACT_WIDTHS: ClassVar[bool] = False
    """Whether a step takes each width by itself: the models read padding as a part of the line."""
    HEIGHTS_PX: ClassVar[range] = range(16, 129, 8)  # that the models take: `ctc` halves them three times
    IMAGE: ClassVar[dict[str, Any]] = {}
    """Image settings of the family that differ from the defaults."""

    family: str

    @property
    def variant(self) -> str:
        """The name under which sizes and speeds of such models were measured."""
        return self.family

    @property
    def special_classes(self) -> int:
        """How many classes stand before the first character: of CTC the blank alone."""
        return 1

    @property
    def position_limit(self) -> int | None:
        """The most feature steps of a line that the model has positions for; None: any number."""
        return None

    @property
    def max_characters(self) -> int | None:
        """The most characters of a line that the model has positions for; None: any number."""
        return None

    @property
    def activation_scale(self) -> float:
        """Memory of a step's activations over that of the default sizes."""
        return 1.0

    def feature_steps(self, height_px: int, width_px: int) -> int:
        """Features of a line of that size at model height; 0 or less: the model leaves nothing of it."""
        return width_px // COLUMN_PX

    def tokens(self, characters: _Count) -> _Count:
        """Tokens that the decoder writes for so many characters, a number or an array; 0: it writes none."""
        return 0 * characters

    def smoothed_classes(self, characters: int) -> int:
        """Wrong classes that label smoothing is spread over; 0: the loss smooths no labels."""
        return 0

    def weight_settings(self, image: Mapping[str, Any]) -> dict[str, Any]:
        """What weights depend on, by dotted name; `image` holds the values of an `ImageConfig`.

        How wide a line may be is no matter of the weights: their convolutions and attention take any width.
        """
        flat = self.model_dump() | {f"image.{key}": value for key, value in image.items()}
        free = ("dropout", "image.stretch", "image.max_width_px")
        return {key: value for key, value in flat.items() if key not in free}


class CtcConfig(ModelConfig):
    """The `ctc` family: a 3×3 convolution trunk, a short transformer, one CTC layer."""

    family: Literal["ctc"] = Field("ctc", description="The kind of model; where none is named, this one.")
    channels: tuple[int, int, int] = Field(
        (32, 64, 128), description="Trunk channels at 1/2, 1/4 and 1/8 of the height."
    )
    blocks: tuple[int, int, int] = Field(
        (0, 2, 1), description="Residual blocks at 1/2, 1/4 and 1/8 of the height."
    )
    column_outputs: Literal[1, 2] = Field(
        1,
        description="Class distributions of a column. 1: columns are 4 px wide; 2: 8 px, so that a "
        "distribution still stands for 4 px, in half the time behind the second stage.",
    )
    hidden: int = Field(192, ge=16, multiple_of=16, description="Width of the transformer.")
    column_blocks: int = Field(2, ge=0, description="Convolutions along the line before the transformer.")
    attention_layers: int = Field(1, ge=0, description="Transformer layers.")
    heads: int = Field(2, ge=1, description="Attention heads; must divide `hidden`.")
    feed_ratio: int = Field(2, ge=1, description="Feed-forward width over `hidden`.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Of the transformer, while training.")

    @model_validator(mode="after")
    def _can_be_built(self) -> CtcConfig:
        if min(self.channels) < 1:
            raise ValueError(f"channels must be at least 1, not {list(self.channels)}")
        if min(self.blocks) < 0:
            raise ValueError(f"blocks must be at least 0, not {list(self.blocks)}")
        refuse_uneven_heads(self.heads, "hidden", self.hidden)
        return self

    @property
    def activation_scale(self) -> float:
        """Activations grow with the channels."""
        return max(self.channels[0] / 32, 0.25)


Pair = tuple[int, int]
Pairs = tuple[Pair, Pair, Pair, Pair, Pair]
_POOLS: Pairs = ((2, 2), (2, 2), (2, 1), (2, 1), (1, 1))


class VietocrConfig(ModelConfig):
    """The `vietocr` family: a convolutional backbone, then a sequence model that writes the characters."""

    HEAD: ClassVar[Head] = "autoregressive"
    EXACT_WIDTHS: ClassVar[bool] = True
    HEIGHTS_PX: ClassVar[range] = range(8, 1025)
    IMAGE: ClassVar[dict[str, Any]] = {
        "height_px": 32, "channels": 3, "min_width_px": 32, "max_width_px": 512, "width_multiple_px": 10,
        "resample": "lanczos", "polarity": "as-is",
    }  # fmt: skip
    """VietOCR's image settings."""

    family: Literal["vietocr"] = Field("vietocr", description="The kind of model.")
    backbone: Literal["vgg11_bn", "vgg19_bn", "resnet50"] = Field(
        "vgg19_bn", description="The convolutions that make features of a line."
    )
    sequence: Literal["transformer", "seq2seq", "convseq2seq"] = Field(
        "transformer", description="What writes the characters; its sizes are in the section of its name."
    )
    pool_strides: Pairs = Field(_POOLS, description="Strides (h, w) of the VGG's pools, VietOCR's cnn.ss.")
    pool_kernels: Pairs = Field(_POOLS, description="Sizes (h, w) of the VGG's pools, VietOCR's cnn.ks.")
    hidden: int = Field(256, ge=1, description="Width of the features.")
    feature_dropout: float = Field(0.5, ge=0, lt=1, description="Before the VGG's last layer.")
    transformer: TransformerConfig = TransformerConfig()
    seq2seq: Seq2SeqConfig = Seq2SeqConfig()
    convseq2seq: ConvSeq2SeqConfig = ConvSeq2SeqConfig()
    specials: Literal[3, 4] = Field(
        4, description="Classes before the first character: pad, start, end and, in newer files, mask."
    )

    @model_validator(mode="after")
    def _widths_agree(self) -> VietocrConfig:
        for pools, name in ((self.pool_strides, "pool_strides"), (self.pool_kernels, "pool_kernels")):
            if min(itertools.chain(*pools)) < 1:
                raise ValueError(f"{name} must be at least 1, not {[list(pool) for pool in pools]}")
        widths = {
            "transformer": ("transformer.d_model", self.transformer.d_model),
            "convseq2seq": ("convseq2seq.embedding", self.convseq2seq.embedding),
        }
        if self.sequence in widths and widths[self.sequence][1] != self.hidden:
            name, width = widths[self.sequence]
            raise ValueError(f"{name} is {width}, but `hidden`, the features' width, is {self.hidden}")
        if self.backbone == "resnet50" and self.hidden % 16:
            raise ValueError(f"`hidden` of a resnet50 must be a multiple of 16, not {self.hidden}")
        return self

    @property
    def variant(self) -> str:
        """The sequence model, on which memory depends."""
        return self.sequence

    @property
    def special_classes(self) -> int:
        """Pad, start, end and, in newer files, mask."""
        return self.specials

    @property
    def position_limit(self) -> int | None:
        """The length of the table of positions of the features; a recurrent model has none."""
        if self.sequence == "transformer":
            return self.transformer.positions
        return self.convseq2seq.encoder_positions if self.sequence == "convseq2seq" else None

    @property
    def max_characters(self) -> int | None:
        """The decoder's positions, one of which the start token takes."""
        if self.sequence == "transformer":
            return self.transformer.positions - 1
        return self.convseq2seq.decoder_positions - 1 if self.sequence == "convseq2seq" else None

    def feature_steps(self, height_px: int, width_px: int) -> int:
        """Columns times rows of the backbone's features; 0 or less: the pools leave nothing of the line."""
        if self.backbone == "resnet50":
            return (height_px // 16 - 1) * (width_px // 4 + 1)
        for kernel, stride in zip(self.pool_kernels, self.pool_strides, strict=True):
            height_px = (height_px - kernel[0]) // stride[0] + 1
            width_px = (width_px - kernel[1]) // stride[1] + 1
        return max(height_px, 0) * max(width_px, 0)

    def tokens(self, characters: _Count) -> _Count:
        """The characters, and the end."""
        return characters + 1

    def smoothed_classes(self, characters: int) -> int:
        """All classes but the right one and padding."""
        return characters + self.specials - 2

    def weight_settings(self, image: Mapping[str, Any]) -> dict[str, Any]:
        """What weights depend on, by dotted name; a convolutional backbone reads lines of any size."""
        tree = self.model_dump()
        sizes = {name: tree.pop(name) for name in ("transformer", "seq2seq", "convseq2seq")}[self.sequence]
        flat = tree | {f"{self.sequence}.{key}": value for key, value in sizes.items()}
        free = {"specials", "transformer.positions"}
        if self.backbone == "resnet50":
            free |= {"pool_strides", "pool_kernels"}
        bound = {key: value for key, value in flat.items() if key not in free and not key.endswith("dropout")}
        return bound | {"image.channels": image["channels"]}


FAMILIES: dict[str, type[ModelConfig]] = {"ctc": CtcConfig, "vietocr": VietocrConfig}
"""The config class of every family, by its name."""


def family_of(model: Any) -> type[ModelConfig] | None:
    """The config class of a `model:` section, checked or not; `ctc` where it names no family.

    Returns:
        None where it names one that is not known.
    """
    name = model.get("family", "ctc") if isinstance(model, Mapping) else getattr(model, "family", None)
    return FAMILIES.get(name) if isinstance(name, str) else None


def parse_model(model: Any) -> ModelConfig:
    """Checks a `model:` section by the settings of the family that it names.

    Raises:
        ValidationError: A key or a value is none of the family's.
        PydanticCustomError: There is no such family; the known ones are listed.
    """
    config_class = family_of(model)
    if config_class is None:
        raise PydanticCustomError(UNKNOWN_FAMILY, f"not one of {', '.join(FAMILIES)}")
    return within_bounds(config_class.model_validate(model))


AnyModel = Annotated[SerializeAsAny[ModelConfig], BeforeValidator(parse_model)]
"""Settings of one family or another, as a field."""
