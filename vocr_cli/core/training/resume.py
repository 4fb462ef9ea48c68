"""Going on with a run: found by its folder, with the settings that it was begun with, or with others.

Loads no torch, so that whatever tells how a run goes on can ask here.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from vocr_cli.core.config.tree import Config, load_config
from vocr_cli.core.data.loader.lines import is_listed
from vocr_cli.core.errors import ConfigError
from vocr_cli.core.models.vietocr.yaml_config import named_configs
from vocr_cli.core.training.parallel.launch import Launch

CONFIG_FILE = "config.yaml"
"""Where in a run folder the resolved settings are."""

_NAME_A_RUN = "Name the folder that `vocr train CONFIG --out FOLDER` wrote."
_LONGEST_VALUE = 40
_OF_THE_OPTIMIZER = ("optim.name", "optim.freeze", "optim.layer_decay")
"""Settings that the groups of the optimizer's state depend on."""


def resume_command(folder: Path, launch: Launch | None = None) -> str:
    """Returns the command that goes on with a run, to be pasted.

    Args:
        folder: The run folder.
        launch: How its processes were started; None: there is one. On several machines, torchrun needs more.
    """
    start = "vocr train"
    if launch is not None and launch.world_size > 1:
        how = f"--nproc-per-node {launch.world_size}" if launch.on_one_machine else "..."
        start = f"torchrun {how} -m vocr_cli train"
    return f"{start} --resume {shlex.quote(str(folder))}"


def eval_command(config: Config) -> str:
    """Returns the command that scores a model on what a run was validated on, but for `--model`.

    Empty where it was validated on nothing; of several data sets, the first is scored.
    """
    data = config.data
    if not data.valid:
        return ""
    words = ["vocr", "eval", str(data.valid[0])]
    if is_listed(data.valid[0]):
        labels = data.valid_labels
        words += ["--images", str(data.valid_images)] if data.valid_images else []
        words += ["--columns", labels.columns] if labels.columns else []
        words += ["--separator", labels.separator] if labels.separator else []
        words += [] if labels.header else ["--no-header"]
        words += ["--split", labels.split] if labels.split else []
    return shlex.join(words)


def run_folder(checkpoint: Path) -> Path:
    """Returns the folder of the run that a checkpoint belongs to."""
    return checkpoint.parent.parent


def holds_run(folder: Path) -> bool:
    """Tells whether a folder is that of a run that can go on."""
    return (folder / CONFIG_FILE).is_file() and (folder / "checkpoints").is_dir()


def config_to_train(path: Path, resume: bool) -> Path:
    """Returns the config that a path stands for: itself, or that of the run in this folder.

    Args:
        path: A YAML file or the name of a config; a run folder, to go on with it.
        resume: Whether a run is to go on.

    Raises:
        ConfigError: It is a folder, and no run is to go on or none is there; or it is not there at all.
    """
    if resume and not path.exists() and str(path) not in named_configs():
        raise ConfigError(f"There is no run folder and no config at {path}.", _NAME_A_RUN)
    if not path.is_dir():
        return path
    if resume and (path / CONFIG_FILE).is_file():
        return path / CONFIG_FILE
    if resume:
        raise ConfigError(f"{path} is no run folder: it holds no {CONFIG_FILE}.", _NAME_A_RUN)
    if holds_run(path):
        raise ConfigError(f"{path} is the folder of a run, not a config.", f"Go on: {resume_command(path)}")
    raise ConfigError(
        f"{path} is a folder; training takes a config, a YAML file.",
        "Write one with `vocr autoconf --data LMDB --out FILE`.",
    )


def changed_settings(config: Config, folder: Path) -> str:
    """Compares settings with those that the run in a folder has had so far.

    Args:
        config: What the run is to go on with.
        folder: The run folder.

    Returns:
        A note that lists what differs; empty: nothing does, or the run left no settings.

    Raises:
        ConfigError: Something differs that the weights, the classes, the optimizer's state or the positions
            in the data depend on.
    """
    if not (folder / CONFIG_FILE).is_file():
        return ""
    before = load_config(folder / CONFIG_FILE)
    then, now = _flat(before), _flat(config)
    differences = {
        key: f"{key} {_shown(then.get(key))} -> {_shown(now.get(key))}"
        for key in sorted(then.keys() | now.keys())
        if then.get(key) != now.get(key)
    }
    if breaking := [text for key, text in differences.items() if _breaks(key, before, config)]:
        raise ConfigError(
            f"The run in {folder} cannot go on with other settings than it has: {'; '.join(breaking)}.",
            f"Go on with its own: {resume_command(folder)}; or begin another run with another --out.",
        )
    if not differences:
        return ""
    return f"The run goes on with other settings than so far: {'; '.join(differences.values())}"


def validation_kind(config: Config) -> tuple[str, str]:
    """Returns what the scores of a run depend on besides its model: which lines are read, and the metric."""
    data, validate = config.data, config.validate_
    of_data = data.model_dump(mode="json", include={"valid", "valid_images", "valid_labels"})
    return json.dumps([of_data, validate.max_lines], sort_keys=True), validate.metric


def device_so_far(folder: Path) -> str | None:
    """Returns on what kind of device the run in a folder was trained last, `cpu` or `cuda`; None: unknown."""
    last = None
    try:
        with open(folder / "events.jsonl", encoding="utf-8", errors="replace") as file:
            for line in file:
                if '"Started"' in line:
                    last = str(json.loads(line)["device"]).partition(":")[0]
    except (OSError, ValueError, KeyError):
        return last
    return last


def _flat(config: Config) -> dict[str, Any]:
    """The settings by `section.key`."""
    tree = config.model_dump(mode="json", by_alias=True)
    return {f"{section}.{key}": value for section, values in tree.items() for key, value in values.items()}


def _breaks(key: str, before: Config, now: Config) -> bool:
    """Whether a run cannot go on once this setting has changed."""
    if key == "charset.characters" or key in _OF_THE_OPTIMIZER:
        return True
    if key == "data.train":
        return _kinds(before) != _kinds(now)
    section, _, name = key.partition(".")
    if section not in ("model", "image"):
        return False
    settings = [config.model.weight_settings(config.image.to_dict()) for config in (before, now)]
    bound = name if section == "model" else key
    return any(
        settings[0].get(known) != settings[1].get(known)
        for known in settings[0].keys() | settings[1].keys()
        if known == bound or known.startswith(f"{bound}.")
    )


def _kinds(config: Config) -> list[bool]:
    """Of each source, whether its lines are rendered; positions of the two kinds mean different things."""
    return [source.synth is not None for source in config.data.train]


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]} …"
