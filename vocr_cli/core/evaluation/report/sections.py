"""Sections of the report that need no script: head, kinds of mistakes, confusions, single lines."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from vocr_cli.core.evaluation.edit_classes import spans
from vocr_cli.core.evaluation.line_scores import LineScore
from vocr_cli.core.evaluation.metrics import NOTHING, Estimate, Scores
from vocr_cli.core.evaluation.report.images import data_address
from vocr_cli.core.text import readable


def head_section(scores: Scores, title: str, facts: Sequence[tuple[str, str]]) -> str:
    """Returns the heading, what was measured with what, and the scores with their intervals."""
    cards = "".join(
        _card(name, estimate, detail)
        for name, estimate, detail in (
            ("CER", scores.cer, f"{scores.edits:,} edits in {scores.characters:,} characters"),
            ("WER", scores.wer, f"{scores.word_edits:,} edits in {scores.words:,} words"),
            ("Lines right", scores.line_accuracy, f"{scores.exact_lines:,} of {scores.lines:,} lines"),
        )
    )
    listed = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    return (
        f'<header><h1>{escape(title)}</h1><dl class="facts">{listed}</dl>'
        f'<div class="cards">{cards}</div></header>'
    )


def breakdown_section(scores: Scores) -> str:
    """Returns how many edits are of each kind; the script makes each name choose its lines."""
    if not scores.edits:
        return ""
    most = max(row.edits for row in scores.breakdown)
    rows = "".join(
        f'<tr><td class="name" data-kind="{row.name}">{row.name}</td><td class="n">{row.edits:,}</td>'
        f'<td class="n">{row.share:.3%}</td>'
        f"<td>{_bar(row.edits / most)}</td></tr>"
        for row in scores.breakdown
    )
    return (
        '<section><h2>What was wrong</h2><table><tr><th>kind</th><th class="n">edits</th>'
        f'<th class="n">of characters</th><th></th></tr>{rows}</table></section>'
    )


def confusions_section(scores: Scores) -> str:
    """Returns the most frequent confusions; the script makes each choose its lines."""
    items = "".join(
        f'<li lang="vi" data-reference="{escape(item.reference)}" data-reading="{escape(item.reading)}">'
        f'{escape(str(item))} <span class="soft">{item.count:,} ×</span></li>'
        for item in scores.confusions
    )
    if not items:
        return ""
    legend = f'<p class="soft">written→read; {NOTHING} is nothing, ␣ a space</p>'
    return f'<section><h2>Most frequent confusions</h2>{legend}<ul class="pairs">{items}</ul></section>'


def unread_section(unread: Sequence[tuple[str, str]]) -> str:
    """Returns the lines that could not be read, each with its reason; "" where there is none."""
    rows = "".join(
        f"<tr><td>{escape(readable(path))}</td><td>{escape(readable(reason))}</td></tr>"
        for path, reason in unread
    )
    return (
        f"<details><summary>Could not be read, scored as empty ({len(unread):,})</summary>"
        f'<table class="reasons"><tr><th>line</th><th>reason</th></tr>{rows}</table></details>'
        if rows
        else ""
    )


def line_article(line: LineScore, image: bytes | None) -> str:
    """Returns where a line is from, its image, its label and its reading with the differences marked.

    The script makes the same of the lines it lists (`article` in page.js).
    """
    label, reading = [], []
    for span in spans(line.reference, line.reading):
        if span.same:
            label.append(escape(span.reference))
            reading.append(escape(span.reading))
        else:
            label.append(f"<del>{_visible(span.reference)}</del>")
            reading.append(f"<ins>{_visible(span.reading)}</ins>")
    confidence = "" if line.confidence is None else f" · confidence {line.confidence:.3f}"
    flags = "".join(f" · {escape(flag)}" for flag in line.flags)
    picture = f'<div class="strip"><img alt="" src="{data_address(image)}"></div>' if image else ""
    counted = f"{line.edits:,} {'edit' if line.edits == 1 else 'edits'} · CER {line.cer:.1%}"
    return (
        f'<article class="line" data-index="{line.index}"><header class="soft"><span class="path">'
        f"{escape(readable(line.path))}</span> · {counted}{confidence}{flags}</header>"
        f'{picture}<p><span class="soft">label</span><span class="text" lang="vi">{"".join(label)}</span></p>'
        '<p><span class="soft">reading</span>'
        f'<span class="text" lang="vi">{"".join(reading)}</span></p></article>'
    )


def _card(name: str, estimate: Estimate, detail: str) -> str:
    return (
        f'<div class="card">{name}<strong>{estimate.value:.2%}</strong>'
        f'<span class="soft">95 % interval {estimate.low:.2%} to {estimate.high:.2%}<br>{detail}</span></div>'
    )


def _bar(fraction: float) -> str:
    return f'<span class="bar" style="width:{fraction:.1%}"></span>' if fraction else ""


def _visible(text: str) -> str:
    return escape(text.replace(" ", "␣")) if text else NOTHING
