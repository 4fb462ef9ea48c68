"""What validation reads: the same as infer."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from vocr_cli.core.config.tree import Config
from vocr_cli.core.data.loader.batch import collate
from vocr_cli.core.data.loader.sample import make_sample
from vocr_cli.core.text import VIETNAMESE_CHARSET, Charset
from vocr_cli.core.training.step.objective import make_objective, to_model_input


class Leader(nn.Module):
    """Reads ten dots, or as many as two columns each leave room for."""

    def __init__(self, dot: int, classes: int, sure_when_wide: float) -> None:
        super().__init__()
        self.dot, self.classes, self.sure = dot, classes, sure_when_wide
        self.widths: list[int] = []

    def forward(self, images: Tensor, columns: Tensor | None = None) -> Tensor:
        width = images.shape[3] // 4
        self.widths.append(images.shape[3])
        dots = min(10, width // 2)
        logits = torch.zeros(len(images), width, self.classes)
        logits[:, :, 0] = 9.0
        logits[:, : 2 * dots : 2, self.dot] = 10.0 + (self.sure if dots == 10 else 0.0)
        return logits


@pytest.mark.parametrize(("sure_when_wide", "dots"), [(5.0, 10), (-0.5, 7)])
def test_validation_stretches_dots_too_close_for_ctc_as_infer_does(sure_when_wide: float, dots: int) -> None:
    charset, config = Charset(VIETNAMESE_CHARSET), Config()
    module = Leader(charset.encode(".")[0], charset.classes, sure_when_wide)
    image = Image.new("L", (56, config.image.height_px), 255)
    batch = collate([make_sample(image, ".", "leader", charset, config)], 1)
    device = torch.device("cpu")
    evaluate = make_objective(config, charset, device, torch.float32).batch_evaluator(module)
    _, _, readings = evaluate(to_model_input(batch.images, device, False), batch)
    assert module.widths == [56, 88]
    assert [charset.decode(classes) for classes in readings] == ["." * dots]
