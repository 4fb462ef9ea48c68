"""Settings of the models of the family vietocr that write the characters of a line one after another."""

from __future__ import annotations

from pydantic import Field, model_validator

from vocr_cli.core.config.base import Settings
from vocr_cli.core.config.bounds import refuse_uneven_heads


class TransformerConfig(Settings):
    """Post-norm transformer over the features, as VietOCR's `transformer`."""

    d_model: int = Field(256, ge=2, multiple_of=2, description="Width; the same as the features'.")
    heads: int = Field(8, ge=1, description="Attention heads; must divide `d_model`.")
    encoder_layers: int = Field(6, ge=1, description="Layers over the features.")
    decoder_layers: int = Field(6, ge=1, description="Layers that write the characters.")
    feed_forward: int = Field(2048, ge=1, description="Width of the feed-forward layers.")
    positions: int = Field(1024, ge=1, description="Length of the position table, of features and of text.")
    position_dropout: float = Field(0.1, ge=0, lt=1, description="After the positions are added.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Inside the layers.")

    @model_validator(mode="after")
    def _can_be_built(self) -> TransformerConfig:
        refuse_uneven_heads(self.heads, "d_model", self.d_model)
        return self


class Seq2SeqConfig(Settings):
    """GRU encoder and GRU decoder with additive attention, as VietOCR's `seq2seq`."""

    encoder_hidden: int = Field(256, ge=1, description="Width of the encoder, each direction.")
    decoder_hidden: int = Field(256, ge=1, description="Width of the decoder and of its attention.")
    embedding: int = Field(256, ge=1, description="Width of a character's vector.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Of features and characters.")


class ConvSeq2SeqConfig(Settings):
    """Gated convolutions with attention in every decoder layer, as VietOCR's `convseq2seq`."""

    embedding: int = Field(256, ge=1, description="Width of a vector; the same as the features'.")
    hidden: int = Field(512, ge=1, description="Width of the convolutions.")
    encoder_layers: int = Field(10, ge=1, description="Convolutions over the features.")
    decoder_layers: int = Field(10, ge=1, description="Convolutions that write the characters.")
    encoder_kernel: int = Field(3, ge=1, description="Steps that a convolution of the encoder sees; odd.")
    decoder_kernel: int = Field(3, ge=1, description="Steps that a convolution of the decoder sees.")
    encoder_positions: int = Field(512, ge=1, description="Length of the features' position table.")
    decoder_positions: int = Field(512, ge=1, description="Length of the text's position table.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Of embeddings and convolutions.")

    @model_validator(mode="after")
    def _odd_kernel(self) -> ConvSeq2SeqConfig:
        if self.encoder_kernel % 2 == 0:
            raise ValueError(f"encoder_kernel must be odd, not {self.encoder_kernel}")
        return self
