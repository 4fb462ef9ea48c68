"""Settings of the model families, and the base of all settings."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Settings(BaseModel):
    """Base of all settings: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=False)


class CtcConfig(Settings):
    """The `ctc` family: a 3×3 convolution trunk, a short transformer, one CTC layer."""

    EXACT_WIDTHS: ClassVar[bool] = False
    """Whether only lines of one width share a batch: the models read padding as a part of the line."""

    family: Literal["ctc"] = "ctc"
    channels: tuple[int, int, int] = Field(
        (32, 64, 128), description="Trunk channels at 1/2, 1/4 and 1/8 of the height."
    )
    blocks: tuple[int, int, int] = Field(
        (0, 2, 1), description="Residual blocks at 1/2, 1/4 and 1/8 of the height."
    )
    hidden: int = Field(192, multiple_of=16, description="Width of the transformer.")
    column_blocks: int = Field(2, ge=0, description="Convolutions along the line before the transformer.")
    attention_layers: int = Field(1, ge=0, description="Transformer layers.")
    heads: int = Field(2, ge=1, description="Attention heads; must divide `hidden`.")
    feed_ratio: int = Field(2, ge=1, description="Feed-forward width over `hidden`.")
    dropout: float = Field(0.1, ge=0, lt=1)


class TransformerConfig(Settings):
    """Post-norm transformer over the features, as VietOCR's `transformer`."""

    d_model: int = Field(256, ge=2, multiple_of=2, description="Width; the same as the features'.")
    heads: int = Field(8, ge=1, description="Attention heads; must divide `d_model`.")
    encoder_layers: int = Field(6, ge=1)
    decoder_layers: int = Field(6, ge=1)
    feed_forward: int = Field(2048, ge=1, description="Width of the feed-forward layers.")
    positions: int = Field(1024, ge=1, description="Length of the position table, of features and of text.")
    position_dropout: float = Field(0.1, ge=0, lt=1)
    dropout: float = Field(0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _heads_divide(self) -> TransformerConfig:
        if self.d_model % self.heads:
            raise ValueError(f"{self.heads} heads do not divide a width of {self.d_model}")
        return self


class Seq2SeqConfig(Settings):
    """GRU encoder and GRU decoder with additive attention, as VietOCR's `seq2seq`."""

    encoder_hidden: int = Field(256, ge=1, description="Width of the encoder, each direction.")
    decoder_hidden: int = Field(256, ge=1, description="Width of the decoder and of its attention.")
    embedding: int = Field(256, ge=1, description="Width of a character's vector.")
    dropout: float = Field(0.1, ge=0, lt=1)


class ConvSeq2SeqConfig(Settings):
    """Gated convolutions with attention in every decoder layer, as VietOCR's `convseq2seq`."""

    embedding: int = Field(256, ge=1, description="Width of a vector; the same as the features'.")
    hidden: int = Field(512, ge=1, description="Width of the convolutions.")
    encoder_layers: int = Field(10, ge=1)
    decoder_layers: int = Field(10, ge=1)
    encoder_kernel: int = Field(3, ge=1, description="Steps that a convolution of the encoder sees; odd.")
    decoder_kernel: int = Field(3, ge=1, description="Steps that a convolution of the decoder sees.")
    encoder_positions: int = Field(512, ge=1, description="Length of the features' position table.")
    decoder_positions: int = Field(512, ge=1, description="Length of the text's position table.")
    dropout: float = Field(0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _odd_kernel(self) -> ConvSeq2SeqConfig:
        if self.encoder_kernel % 2 == 0:
            raise ValueError(f"encoder_kernel must be odd, not {self.encoder_kernel}")
        return self


Pair = tuple[int, int]
Pairs = tuple[Pair, Pair, Pair, Pair, Pair]
_POOLS: Pairs = ((2, 2), (2, 2), (2, 1), (2, 1), (1, 1))


class VietocrConfig(Settings):
    """The `vietocr` family: a convolutional backbone, then a sequence model that writes the characters."""

    EXACT_WIDTHS: ClassVar[bool] = True
    IMAGE: ClassVar[dict[str, Any]] = {
        "height_px": 32, "channels": 3, "min_width_px": 32, "max_width_px": 512, "width_multiple_px": 10,
        "resample": "lanczos", "polarity": "as-is",
    }  # fmt: skip
    """VietOCR's image settings."""

    family: Literal["vietocr"] = "vietocr"
    backbone: Literal["vgg11_bn", "vgg19_bn", "resnet50"] = "vgg19_bn"
    sequence: Literal["transformer", "seq2seq", "convseq2seq"] = "transformer"
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


ModelConfig = CtcConfig | VietocrConfig
"""Settings of any model; `family` tells them apart."""

FAMILIES = ("ctc", "vietocr")
