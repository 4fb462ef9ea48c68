"""Shows how well lines were read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape

from vocr_cli.terminal import console
from vocr_cli.terminal.differences import mark_differences

if TYPE_CHECKING:
    from vocr_cli.core.evaluation.line_scores import LineScore
    from vocr_cli.core.evaluation.metrics import Scores


def show_scores(scores: Scores, title: str, confusions: int = 15, worst: int = 10) -> None:
    """Show CER, WER, line accuracy and calibration error with their intervals, then what was wrong.

    Args:
        scores: What was measured.
        title: Says what was read, and by what.
        confusions: How many are shown at most, the most frequent first.
        worst: How many lines are shown at most, the worst first.
    """
    measured = (
        ("CER", scores.cer, f"{scores.edits:,} edits / {scores.characters:,} characters"),
        ("WER", scores.wer, f"{scores.word_edits:,} edits / {scores.words:,} words"),
        ("lines right", scores.line_accuracy, f"{scores.exact_lines:,} / {scores.lines:,} lines"),
    )
    rows = [
        (name, f"{rate.value:.2%}", f"{rate.low:.2%} to {rate.high:.2%}", detail)
        for name, rate, detail in measured
    ]
    if reliability := scores.reliability:
        interval = f"{reliability.low:.2%} to {reliability.high:.2%}"
        detail = f"{reliability.lines:,} confidences; by chance {reliability.chance:.2%}"
        rows.append(("calibration error", f"{reliability.error:.2%}", interval, detail))
    console.table(title, ("", "value", "95 % interval", "from"), rows)
    if not scores.edits:
        return
    classes = [(row.name, f"{row.edits:,}", f"{row.share:.3%}") for row in scores.breakdown]
    console.table("What was wrong", ("class of edit", "edits", "of characters"), classes)
    shown = [f"{item} {item.count:,}" for item in scores.confusions[:confusions]]
    console.out().print("[bold]Most frequent confusions[/] (written→read, ∅ nothing, ␣ space)")
    console.out().print("  " + escape("   ".join(shown)))
    console.out().print("[bold]Worst lines[/]")
    for line in scores.worst[:worst]:
        _worst_line(line)


def _worst_line(line: LineScore) -> None:
    label, reading = mark_differences(line.reference, line.reading)
    confidence = "" if line.confidence is None else f", confidence {line.confidence:.3f}"
    console.out().print(
        f"  [dim]{escape(line.path)}, {line.edits:,} {'edit' if line.edits == 1 else 'edits'}{confidence}[/]"
    )
    console.out().print(f"    label    {label}")
    console.out().print(f"    reading  {reading}")
