"""The model file that a run leaves: the averaged weights, with where they come from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from vocr_cli import __version__
from vocr_cli.core.models.files import ModelFile, save_model
from vocr_cli.core.training.record.events import Saved, Validated
from vocr_cli.core.training.run import Run


def save_best_model(run: Run, validated: Validated | None) -> Saved:
    """Writes the averaged weights as a model file, on rank 0.

    Args:
        run: As it stands now.
        validated: The validation that found the model to be the best; None: nothing was validated.

    Raises:
        ModelError: The file cannot be written.
    """
    state, config, path = run.state, run.config, run.checkpoints.best_path
    if run.is_primary:
        provenance = {
            "vocr": __version__,
            "steps": state.step,
            "lines": state.lines,
            "minutes": round(state.minutes, 1),
            "init": state.init or None,
            "teacher": Path(config.train.teacher).name if config.train.teacher else None,
            "data": [paths_as_names(source.model_dump(exclude_none=True)) for source in config.data.train],
        }
        scores = {} if validated is None else {"valid_cer": validated.cer, "valid_lines": validated.lines}
        module = run.train_state.ema_model()
        model = ModelFile(module, config.model, config.image, run.charset, provenance, scores)
        save_model(path, replace(model, language_model=state.language_model))
    return Saved(state.step, path)


def paths_as_names(value: Any) -> Any:
    """Makes settings fit for a model file: whole paths tell of one machine alone, so their names stay."""
    if isinstance(value, Path):
        return value.name
    if isinstance(value, dict):
        return {key: paths_as_names(part) for key, part in value.items()}
    return [paths_as_names(part) for part in value] if isinstance(value, tuple) else value
