"""Fits what makes a model's confidences mean what they say, on lines that it was not trained on. N lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from vocr_cli.core.data.readers.labelled import LabelledSet
from vocr_cli.core.decoding.ctc import geometric_mean
from vocr_cli.core.decoding.ctc_beam import LM_WEIGHT, UNSURE
from vocr_cli.core.errors import DataError
from vocr_cli.core.evaluation.calibration import (
    ConfidenceMap,
    Reliability,
    fit_confidence_map,
    measure_reliability,
)
from vocr_cli.core.evaluation.metrics import score
from vocr_cli.core.evaluation.paired import cer_difference
from vocr_cli.core.inference import Reading, Recognizer, read_all
from vocr_cli.core.inference.engines.base import CtcEngine
from vocr_cli.core.inference.engines.post_processing import CROWDED
from vocr_cli.core.inference.inputs.sources import LineInput
from vocr_cli.core.inference.language_model import language_model_file
from vocr_cli.core.inference.loading import load_engine
from vocr_cli.core.inference.model_source import ModelSource
from vocr_cli.core.machine.hardware import usable_cores
from vocr_cli.core.models.calibration import Calibration
from vocr_cli.core.text import clean

LEAST_LINES = 100
LEAST_SEARCHED = 50
WEIGHTS = (0.2, LM_WEIGHT, 0.6, 0.8)
"""Of a language model, to choose among: a model that reads a hand badly gains by more than one of print."""
UNCALIBRATED = Calibration(direct=ConfidenceMap(1, 1, 0), searched=ConfidenceMap(1, 1, 0))
"""Gives the probabilities themselves that calibrations map."""


@dataclass(frozen=True)
class Verdict:
    """What a model says of a reading, and whether that is right.

    Attributes:
        mean: The geometric mean of the characters' probabilities.
        probability: That the text is right, by the model.
        right: Whether it is, to the last character.
    """

    mean: float
    probability: float
    right: bool


@dataclass(frozen=True)
class Evidence:
    """How one line was read.

    Attributes:
        direct: Without a language model.
        searched: With one; None: there is none, or the line was not searched.
    """

    direct: Verdict
    searched: Verdict | None

    @property
    def counting(self) -> Verdict:
        """That of the reading which `vocr infer` gives."""
        return self.searched or self.direct

    def confidence(self, calibration: Calibration) -> float:
        """The calibrated confidence of the reading that `vocr infer` gives."""
        if self.searched is not None and calibration.searched is not None:
            return calibration.searched(self.searched.probability)
        return calibration.direct(self.direct.probability)


@dataclass
class LeftOut:
    """Labelled lines that say nothing of confidences.

    Attributes:
        unread: Names of lines that cannot be read, and why.
        empty: How many were read as empty.
    """

    unread: list[tuple[str, str]] = field(default_factory=list)
    empty: int = 0


@dataclass(frozen=True, kw_only=True)
class FitReport:
    """What was fitted, and what it changes.

    Attributes:
        lines: How many it was fitted to.
        searched: How many of them a language model searched.
        before: Of the geometric means.
        after: Of the calibrated confidences, each half of the lines by maps that were fitted to the other.
    """

    lines: int
    searched: int
    before: Reliability
    after: Reliability


@dataclass(frozen=True, kw_only=True)
class WeightChoice:
    """How much a language model is to count.

    Attributes:
        weight: Of its log-probabilities, beside those of the columns.
        cer: Of the lines that it was chosen on.
        usual_cer: Of the same lines at the weight that other models have.
    """

    weight: float
    cer: float
    usual_cer: float

    @property
    def kept(self) -> float | None:
        """The weight, where it is not the usual one."""
        return None if self.weight == LM_WEIGHT else self.weight


def raw_recognizers(
    source: ModelSource, device: str, precision: str, runtime: str, language_model: str
) -> tuple[Recognizer, Recognizer | None]:
    """Loads a model once, to read without a language model and with one; None: there is none.

    Their confidences are not calibrated. Arguments and errors are those of `Recognizer.load`.
    """
    threads = usable_cores()
    model = load_engine(source, device, precision, threads, runtime=runtime)

    def reader(file: Path | None) -> Recognizer:
        return Recognizer(
            model.engine,
            model.image,
            model.charset,
            model.name,
            threads=threads,
            language_model=file,
            calibration=UNCALIBRATED,
        )

    file = language_model_file(language_model, source, model.engine)
    return reader(None), None if file is None else reader(file)


def heard_at(recognizer: Recognizer, weight: float | None) -> Recognizer:
    """Returns the same reader, not calibrated, beside which its language model has this weight."""
    return Recognizer(
        recognizer.engine,
        recognizer.image,
        recognizer.charset,
        recognizer.name,
        threads=usable_cores(),
        language_model=recognizer.language_model,
        calibration=replace(UNCALIBRATED, lm_weight=weight),
    )


def choose_lm_weight(
    searching: Recognizer,
    labelled: Sequence[LabelledSet],
    on_done: Callable[[int], None] = lambda lines: None,
) -> WeightChoice | None:
    """Reads labelled lines with the language model at several weights, and takes that of the lowest CER.

    Another than the usual one is taken where it is better beyond chance, by a paired bootstrap of lines.

    Args:
        searching: As `raw_recognizers` gives it.
        labelled: N lines together.
        on_done: Told, as it goes, how many more lines were read, each of them `WEIGHTS` times.

    Returns:
        None: the model writes step by step, or fewer than `LEAST_LINES` lines can be read.
    """
    if not isinstance(searching.engine, CtcEngine):
        return None
    read = {
        weight: [one for part in labelled for one in _readings(heard_at(searching, weight), part, on_done)]
        for weight in WEIGHTS
    }
    lines = [line for part in labelled for line in part.lines]
    kept = [index for index, reading in enumerate(read[LM_WEIGHT]) if reading is not None]
    if len(kept) < LEAST_LINES:
        return None
    labels = [clean(lines[index].label) for index in kept]
    texts = {
        weight: [reading.text if (reading := readings[index]) is not None else "" for index in kept]
        for weight, readings in read.items()
    }
    cers = {weight: score(labels, texts[weight]).cer.value for weight in WEIGHTS}
    best = min(WEIGHTS, key=lambda weight: (cers[weight], abs(weight - LM_WEIGHT)))
    if cer_difference(labels, texts[LM_WEIGHT], texts[best]).high >= 0:
        best = LM_WEIGHT
    return WeightChoice(weight=best, cer=cers[best], usual_cer=cers[LM_WEIGHT])


def read_evidence(
    recognizers: tuple[Recognizer, Recognizer | None],
    labelled: LabelledSet,
    on_done: Callable[[int], None] = lambda lines: None,
    left_out: LeftOut | None = None,
) -> list[Evidence]:
    """Reads labelled lines; those that cannot be read, or are read as empty, are left out.

    Args:
        recognizers: As `raw_recognizers` gives them.
        labelled: N lines.
        on_done: Told, as it goes, how many more lines were read, each of them once or twice.
        left_out: Told which lines say nothing.
    """
    direct, searching = recognizers
    left_out = left_out or LeftOut()
    first = _readings(direct, labelled, on_done, left_out)
    second = first if searching is None else _readings(searching, labelled, on_done)
    found = []
    for line, plain, final in zip(labelled.lines, first, second, strict=True):
        if plain is None or final is None:
            continue
        if not plain.text or not final.text:
            left_out.empty += 1
            continue
        # A crowded line is read twice, once of them stretched: which of the two counts is not to be seen.
        was_searched = searching is not None and plain.min_confidence < UNSURE and CROWDED not in plain.flags
        label = clean(line.label)
        found.append(Evidence(_verdict(plain, label), _verdict(final, label) if was_searched else None))
    return found


def fit_calibration(evidence: Sequence[Evidence]) -> Calibration:
    """Fits both maps; that of searched lines where there are `LEAST_SEARCHED` of them.

    Raises:
        DataError: There are fewer than `LEAST_LINES` lines.
    """
    if len(evidence) < LEAST_LINES:
        raise DataError(
            f"{len(evidence)} lines were read, too few to calibrate on.",
            f"Give {LEAST_LINES} at least, a thousand or more if you can, easy and hard ones: "
            "`vocr synth` renders them.",
        )
    searched = [line.searched for line in evidence if line.searched is not None]
    return Calibration(
        direct=_fitted([line.direct for line in evidence]),
        searched=_fitted(searched) if len(searched) >= LEAST_SEARCHED else None,
    )


def report_fit(evidence: Sequence[Evidence]) -> FitReport:
    """Measures confidences before and after, the latter on lines that the maps were not fitted to.

    Args:
        evidence: Of twice `LEAST_LINES` lines at least; of fewer, the halves are not parted.
    """
    right = [line.counting.right for line in evidence]
    confidences = [0.0] * len(evidence)
    halves = 2 if len(evidence) >= 2 * LEAST_LINES else 1
    for half in range(halves):
        others = [line for index, line in enumerate(evidence) if halves == 1 or index % halves != half]
        calibration = fit_calibration(others)
        for index in range(half, len(evidence), halves):
            confidences[index] = evidence[index].confidence(calibration)
    return FitReport(
        lines=len(evidence),
        searched=sum(line.searched is not None for line in evidence),
        before=measure_reliability([line.counting.mean for line in evidence], right),
        after=measure_reliability(confidences, right),
    )


def _fitted(verdicts: Sequence[Verdict]) -> ConfidenceMap:
    return fit_confidence_map([each.probability for each in verdicts], [each.right for each in verdicts])


def _verdict(reading: Reading, label: str) -> Verdict:
    """Takes a reading that is not empty, and not calibrated."""
    return Verdict(geometric_mean(reading.char_confidences), reading.confidence, clean(reading.text) == label)


def _readings(
    recognizer: Recognizer,
    labelled: LabelledSet,
    on_done: Callable[[int], None],
    left_out: LeftOut | None = None,
) -> list[Reading | None]:
    inputs = (LineInput(line.name, line.image) for line in labelled.lines)
    results = list(read_all(recognizer, inputs, on_done=on_done))
    if left_out is not None:
        read = zip(labelled.lines, results, strict=True)
        left_out.unread += [(line.location, one.error.problem) for line, one in read if one.error]
    return [result.reading for result in results]
