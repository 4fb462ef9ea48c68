"""The `vietocr` family: a backbone turns a line into features, a sequence model writes its characters.

Legend: B lines, H and W px, S features of a line, D their width, L tokens, C classes. The names of all
weights are VietOCR's, so that files go both ways.
"""

from __future__ import annotations

from torch import Tensor, nn

from vocr_cli.core.config.families import VietocrConfig
from vocr_cli.core.config.image import ImageConfig
from vocr_cli.core.models.recognition_model import RecognitionModel, Stages
from vocr_cli.core.models.vietocr.convseq2seq import ConvSeq2Seq
from vocr_cli.core.models.vietocr.language_transformer import LanguageTransformer
from vocr_cli.core.models.vietocr.resnet import ResNet
from vocr_cli.core.models.vietocr.seq2seq import Seq2Seq
from vocr_cli.core.models.vietocr.vgg import Vgg


class Backbone(nn.Module):
    """The convolutional part; a level of its own because VietOCR's names have it."""

    def __init__(self, config: VietocrConfig, channels: int) -> None:
        super().__init__()
        self.model: Vgg | ResNet = (
            ResNet(config.hidden, channels) if config.backbone == "resnet50" else Vgg(config, channels)
        )

    def forward(self, images: Tensor) -> Tensor:
        """(B, channels, H, W) to (S, B, D): column after column, each from top to bottom."""
        maps = self.model(images)  # (B, D, h, w)
        return maps.transpose(2, 3).flatten(2).permute(2, 0, 1)


class VietocrRecognizer(RecognitionModel):
    """Line images and the tokens so far to the logits of the next ones.

    Args:
        config: Backbone, sequence model and sizes.
        image: Height and channels of the input.
        classes: C: the specials, then the characters.
    """

    def __init__(self, config: VietocrConfig, image: ImageConfig, classes: int) -> None:
        super().__init__()
        self.config, self.classes = config, classes
        self.cnn = Backbone(config, image.channels)
        self.transformer: LanguageTransformer | Seq2Seq | ConvSeq2Seq
        if config.sequence == "transformer":
            self.transformer = LanguageTransformer(config.transformer, classes)
        elif config.sequence == "seq2seq":
            self.transformer = Seq2Seq(config.seq2seq, config.hidden, classes)
        else:
            self.transformer = ConvSeq2Seq(config.convseq2seq, classes)

    def stages(self) -> Stages:
        """The backbone, then the stages of the sequence model."""
        prefixed = {
            stage: tuple(f"transformer.{prefix}" for prefix in prefixes)
            for stage, prefixes in self.transformer.STAGES.items()
        }
        return {"backbone": ("cnn",), **prefixed}

    def class_rows(self) -> tuple[str, ...]:
        """The embedding of the characters, and the last layer."""
        return tuple(f"transformer.{name}" for name in self.transformer.CLASS_ROWS)

    def position_table(self) -> str | None:
        """That of the transformer; the other sequence models have none, or learn it."""
        name = self.transformer.POSITION_TABLE
        return None if name is None else f"transformer.{name}"

    def features(self, images: Tensor) -> Tensor:
        """(B, channels, H, W) float in 0..1 to (S, B, D)."""
        features: Tensor = self.cnn(images)
        return features

    def forward(self, images: Tensor, tokens: Tensor, padding: Tensor | None = None) -> Tensor:
        """Logits under teacher forcing.

        Args:
            images: (B, channels, H, W) float in 0..1.
            tokens: (B, L) int64, the start token first.
            padding: (B, L) bool, tokens that are padding; the recurrent and convolutional models need none,
                for nothing behind a token changes its logits.

        Returns:
            (B, L, C) logits of the token that follows each.
        """
        features = self.features(images)
        if isinstance(self.transformer, LanguageTransformer):
            logits: Tensor = self.transformer(features, tokens, padding)
        else:
            logits = self.transformer(features, tokens)
        return logits
