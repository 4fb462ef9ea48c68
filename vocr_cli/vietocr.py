"""VietOCR's `Cfg` and `Predictor` on vocr's engine, for programs written against VietOCR 0.3.

Change the imports to `from vocr_cli.vietocr import Cfg, Predictor`; the calls stay as they are. Nothing is
downloaded: configs are part of the package, weights are files.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import yaml

from vocr_cli.core.errors import ConfigError, ModelError, VocrError, reason_of
from vocr_cli.core.machine.torch_available import need_torch

if TYPE_CHECKING:
    from PIL import Image

    from vocr_cli import Reading, Recognizer

BEAM = 4
"""Hypotheses under `predictor.beamsearch`, as VietOCR keeps."""


class Cfg(dict[str, Any]):
    """A config: a dict whose entries are attributes, too.

    Entries of their own kinds, which notebooks put there, are taken for what they stand for: a `torch.device`
    for its name, a number of numpy's for the number.
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the config has no entry {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self[name]
        except KeyError:
            raise AttributeError(f"the config has no entry {name!r}") from None

    @staticmethod
    def load_config_from_name(name: str) -> Cfg:
        """Loads one of VietOCR's named configs, laid over its base config.

        Raises:
            ConfigError: No such name; the names are listed.
            DependencyError: torch is not installed.
        """
        from vocr_cli.core.models.vietocr.yaml_config import named_configs

        if name not in named_configs():
            raise ConfigError(
                f"VietOCR has no config named {name!r}.", f"Take one of {', '.join(named_configs())}."
            )
        return _over_base(named_configs()[name])

    @staticmethod
    def load_config_from_file(fname: str | Path, download_base: bool = True) -> Cfg:
        """Loads a VietOCR YAML file.

        Args:
            fname: The file.
            download_base: Sections that the file leaves out come from a `base.yml` beside it, then from
                VietOCR's base config, which is part of the package; False: the file alone.

        Raises:
            ConfigError: No such file, or it is no YAML mapping.
            DependencyError: torch is not installed, which the base config's device depends on.
        """
        from vocr_cli.core.config.tree import read_tree

        if not Path(fname).is_file():
            raise ConfigError(
                f"There is no config {fname}.",
                "Check the path; load_config_from_name loads one of VietOCR's by name.",
            )
        return _over_base(Path(fname)) if download_base else Cfg(read_tree(Path(fname)))

    def save(self, fname: str | Path) -> None:
        """Writes the config as YAML.

        Raises:
            ConfigError: An entry is no plain value, or the file cannot be written.
        """
        try:
            text = yaml.safe_dump(_plain(self), allow_unicode=True, sort_keys=False)
            Path(fname).write_text(text, encoding="utf-8")
        except yaml.YAMLError as error:
            raise ConfigError(
                f"The config cannot be written as YAML: {reason_of(error)}.",
                "Keep to text, numbers, lists and dicts.",
            ) from None
        except OSError as error:
            raise ConfigError(f"{fname} cannot be written: {error.strerror}.", "Name another file.") from None


class Predictor:
    """Reads line images with a VietOCR model.

    Args:
        config: As `Cfg` loads it, or a dict with the same entries; others are passed by. `weights` names a
            .pth file; for a URL, a file of its name is looked for in the working folder, then where VietOCR
            keeps its downloads. As VietOCR's, `predict` heeds changes of it: the sizes of images under
            `dataset` and `predictor.beamsearch`.
        precision: fp32 reads what VietOCR reads; auto, bf16 and fp16 are faster where they suit the hardware.

    Raises:
        ConfigError: An entry is missing or cannot be used, or the device cannot be had.
        ModelError: The weights are not there, or do not fit the config.
        DependencyError: torch is not installed.
    """

    def __init__(self, config: Mapping[str, Any], precision: str = "fp32") -> None:
        need_torch("vocr_cli.vietocr")
        self.config, self._precision = config, precision
        self._recognizer = _loaded(config, precision)
        self._read_with = _settings_of_reading(config)

    @property
    def recognizer(self) -> Recognizer:
        """What reads, by the config as it is now."""
        settings = _settings_of_reading(self.config)
        if settings != self._read_with:
            self._recognizer, self._read_with = _loaded(self.config, self._precision), settings
        return self._recognizer

    @property
    def device(self) -> str:
        """The device that the model is on, as torch calls it."""
        return self._recognizer.engine.device

    @overload
    def predict(self, img: Image.Image, return_prob: Literal[False] = False) -> str: ...

    @overload
    def predict(self, img: Image.Image, return_prob: Literal[True]) -> tuple[str, float]: ...

    def predict(self, img: Image.Image, return_prob: bool = False) -> str | tuple[str, float]:
        """Reads one line.

        Args:
            img: Any size and mode.
            return_prob: Also give the mean of the characters' probabilities (VietOCR: None with a beam).
        """
        (reading,) = self.recognizer.read([img])
        return (reading.text, _probability(reading)) if return_prob else reading.text

    @overload
    def predict_batch(
        self, imgs: Sequence[Image.Image], return_prob: Literal[False] = False
    ) -> list[str]: ...

    @overload
    def predict_batch(
        self, imgs: Sequence[Image.Image], return_prob: Literal[True]
    ) -> tuple[list[str], list[float]]: ...

    def predict_batch(
        self, imgs: Sequence[Image.Image], return_prob: bool = False
    ) -> list[str] | tuple[list[str], list[float]]:
        """Reads lines; each as `predict` reads it, with a beam where the config says so (VietOCR: never).

        Args:
            imgs: N images, any sizes and modes.
            return_prob: Also give N means of the characters' probabilities.
        """
        readings = self.recognizer.read(imgs)
        texts = [reading.text for reading in readings]
        return (texts, [_probability(reading) for reading in readings]) if return_prob else texts


def _loaded(config: Mapping[str, Any], precision: str) -> Recognizer:
    import torch

    from vocr_cli import Recognizer

    weights = _weights(config)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config"
        known = {key: value for key, value in config.items() if isinstance(key, str) and _is_plain(value)}
        Cfg(known).save(file)
        try:
            return Recognizer.load(
                weights,
                _device(config),
                precision,
                threads=torch.get_num_threads(),
                config=file,
                beam=BEAM if (config.get("predictor") or {}).get("beamsearch") else 1,
            )
        except VocrError as error:  # the file is none that the caller knows
            problem, fix = (text.replace(str(file), "the config") for text in error.args)
            raise type(error)(problem, fix) from None


def _settings_of_reading(config: Mapping[str, Any]) -> tuple[Any, ...]:
    """What VietOCR looks up in its config whenever it reads."""
    dataset, predictor = config.get("dataset") or {}, config.get("predictor") or {}
    sizes = (dataset.get(name) for name in ("image_height", "image_min_width", "image_max_width"))
    return (*sizes, bool(predictor.get("beamsearch")))


def _plain(value: Any) -> Any:
    """Takes an entry for the text, number, list or dict that it stands for; others stay as they are."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Path) or (type(value).__module__, type(value).__name__) == ("torch", "device"):
        return str(value)
    return value


def _is_plain(value: Any) -> bool:
    try:
        yaml.safe_dump(_plain(value))
    except yaml.YAMLError:
        return False
    return True


def _over_base(file: Path) -> Cfg:
    """Lays a config over the base beside it and VietOCR's own, each section as a whole.

    Without a device, it has the one that is there.
    """
    need_torch("vocr_cli.vietocr")
    import torch

    from vocr_cli.core.config.tree import read_tree
    from vocr_cli.core.models.vietocr.yaml_config import named_configs
    from vocr_cli.core.models.vietocr.yaml_rules.base_file import over_base

    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    sections = over_base(file, read_tree(file), [])
    return Cfg({**read_tree(named_configs()["base"]), "device": device, **sections})


def _weights(config: Mapping[str, Any]) -> Path:
    """Finds the file of the weights.

    Raises:
        ConfigError: The config names none.
        ModelError: It is not there.
    """
    weights = str(config.get("weights") or "")
    if not weights:
        raise ConfigError("The config names no weights.", "Set config['weights'] to the path of a .pth file.")
    if not re.match(r"https?://", weights):
        return Path(weights)
    name = weights.partition("?")[0].rsplit("/", 1)[-1]
    for folder in (Path(), Path(tempfile.gettempdir())):
        if name and (folder / name).is_file():
            return folder / name
    raise ModelError(
        f"The weights are to be had from {weights}, and vocr downloads nothing.",
        f"Fetch that file, put it here: {Path.cwd() / name}, or set config['weights'] to where it lies.",
    )


def _device(config: Mapping[str, Any]) -> str:
    """Gives the device: auto, cpu, cuda or mps.

    Raises:
        ConfigError: Another device, or another GPU than the first.
    """
    device = str(config.get("device") or "auto")
    if device in ("auto", "cpu", "cuda", "cuda:0", "mps"):
        return device.removesuffix(":0")
    raise ConfigError(
        f"config['device'] is {device!r}.",
        "Set it to 'cpu', 'mps' or 'cuda:0'; CUDA_VISIBLE_DEVICES chooses among several GPUs.",
    )


def _probability(reading: Reading) -> float:
    """Gives the mean over the characters, as VietOCR has it; for an empty text, its confidence."""
    confidences = reading.char_confidences
    return sum(confidences) / len(confidences) if confidences else reading.confidence
