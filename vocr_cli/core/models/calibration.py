"""The calibration of a model's confidences, a small JSON file beside the model: MODEL.calibration.json.

It lies beside the model and not inside it, so that it can be fitted without a byte of the weights changing:
an int8 file knows its model by the digest of the whole file. It knows its own model in the same way.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vocr_cli.core.errors import ModelError, reason_of
from vocr_cli.core.evaluation.calibration import ConfidenceMap
from vocr_cli.core.machine.files.input_file import MAX_DOCUMENT_BYTES, parse_json, read_within

SUFFIX = ".calibration.json"
FORMAT = "vocr-calibration-2"
FIRST_FORMAT = "vocr-calibration-1"
"""In which `searched` mapped another number; the rest counts as it did."""
MOST_LM_WEIGHT = 10.0


@dataclass(frozen=True)
class Calibration:
    """How the confidence of a line follows from what a model says.

    Attributes:
        direct: Of a line that was read as the model's columns or steps say it: maps the product of the
            probabilities of its characters.
        searched: Of a line that a language model searched: maps how likely its text is, as `certainty_of`
            has it; None: as `direct`.
        lm_weight: How much a language model counts beside the model's columns; None: as beside any other's.
    """

    direct: ConfidenceMap
    searched: ConfidenceMap | None = None
    lm_weight: float | None = None


@dataclass(frozen=True)
class CalibrationFile:
    """What a file holds.

    Attributes:
        calibration: The maps.
        weights: The digest of the model file that they were fitted to, as `digest_of` gives it.
    """

    calibration: Calibration
    weights: str


def calibration_path(model: Path) -> Path:
    """Where the calibration of a model file lies, if it has one."""
    return model.with_name(model.stem + SUFFIX)


def write_calibration(path: Path, content: CalibrationFile) -> None:
    """Writes the file in one step.

    Raises:
        DataError: It cannot be written.
    """
    from vocr_cli.core.machine.atomic_write import write_report

    parts = {name: _rounded(each) for name, each in asdict(content.calibration).items() if each}
    document = {"format": FORMAT, "weights": content.weights, **parts}
    write_report(path, json.dumps(document, indent=1) + "\n")


def read_calibration(path: Path) -> CalibrationFile:
    """Reads the file.

    Raises:
        ModelError: It cannot be read, is of another format, or is damaged.
    """
    remedy = "Write it anew with `vocr calibrate`, or delete it: confidences are then not calibrated."
    try:
        document: Any = parse_json(read_within(path, MAX_DOCUMENT_BYTES))
        if document["format"] == FIRST_FORMAT:
            document.pop("searched", None)
        elif document["format"] != FORMAT:
            raise ValueError(f"its format is {document['format']!r}, not {FORMAT!r}")
        searched = ConfidenceMap(**document["searched"]) if "searched" in document else None
        weight = document.get("lm_weight")
        if weight is not None and (weight is True or not 0 < weight <= MOST_LM_WEIGHT):
            raise ValueError(f"its lm_weight is {weight}, not above 0 and at most {MOST_LM_WEIGHT:g}")
        calibration = Calibration(ConfidenceMap(**document["direct"]), searched, weight)
        return CalibrationFile(calibration, str(document["weights"]))
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {reason_of(error)}.", remedy) from None
    except KeyError as error:
        raise ModelError(f"{path} is no calibration: it has no {error}.", remedy) from None
    except (ValueError, TypeError) as error:
        raise ModelError(f"{path} is no calibration: {error}.", remedy) from None


def describe(path: Path) -> dict[str, Any]:
    """Says what a calibration does, by name.

    Raises:
        ModelError: It is none, or is damaged.
    """
    content = read_calibration(path)
    made, weight = content.calibration, content.calibration.lm_weight
    return {
        "weights": f"those of digest {content.weights}",
        "lines read directly": asdict(made.direct),
        "lines searched": "as those read directly" if made.searched is None else asdict(made.searched),
        "language model counts": "as beside any model" if weight is None else weight,
    }


def _rounded(value: Any) -> Any:
    return {name: round(each, 4) for name, each in value.items()} if isinstance(value, dict) else value
