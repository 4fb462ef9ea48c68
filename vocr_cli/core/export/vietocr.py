"""Writing a model for VietOCR: its state dict, and a config beside it."""

from __future__ import annotations

from pathlib import Path

import torch
import yaml

from vocr_cli.core.errors import ModelError, reason_of
from vocr_cli.core.machine.atomic_write import atomic_write
from vocr_cli.core.models.files import UNWRITABLE, ModelFile
from vocr_cli.core.models.torch_files import system_error
from vocr_cli.core.models.vietocr.constants import VietocrConfig
from vocr_cli.core.models.vietocr.recognizer import VietocrRecognizer
from vocr_cli.core.models.vietocr.yaml_config import vietocr_tree


def save_for_vietocr(path: Path, model: ModelFile) -> Path:
    """Writes a state dict that VietOCR loads, and the config to load it with.

    Args:
        path: The state dict's file; both appear only when they are complete.
        model: Of the `vietocr` family.

    Returns:
        The config: `path` with the suffix .yml.

    Raises:
        ModelError: VietOCR has no such model, or a file cannot be written.
    """
    config, module = model.config, model.module
    if not isinstance(config, VietocrConfig) or not isinstance(module, VietocrRecognizer):
        raise ModelError(
            f"{model.name} is of the family {config.family}, which VietOCR cannot run.",
            "Save it as .safetensors or .onnx, or train a model of the family vietocr.",
        )
    if model.image.channels != 3:
        raise ModelError(f"{model.name} reads grey lines, VietOCR RGB.", "Save it as .safetensors.")
    if model.image.stretch != 1:
        raise ModelError(
            f"{model.name} stretches its lines (image.stretch), VietOCR does not.", "Save it as .safetensors."
        )
    state = {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
    config_path = path.with_suffix(".yml")
    tree = vietocr_tree(config, model.image, model.charset, str(path))
    text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=110)
    try:
        with atomic_write(config_path) as config_file, atomic_write(path) as state_file:
            with state_file.open("wb") as stream:
                torch.save(state, stream)
            config_file.write_text(text, encoding="utf-8")
    except (OSError, RuntimeError) as error:
        raise ModelError(f"{path} cannot be written: {reason_of(system_error(error))}.", UNWRITABLE) from None
    return config_path
