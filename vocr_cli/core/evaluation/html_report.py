"""Builds one self-contained HTML page about a set of readings: scores, mistakes, confusions, worst lines."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from vocr_cli.core.errors import VocrError
from vocr_cli.core.evaluation.edit_classes import spans
from vocr_cli.core.evaluation.metrics import NOTHING, Estimate, LineScore, Scores
from vocr_cli.core.evaluation.reliability_diagram import DIAGRAM_CSS, reliability_section

if TYPE_CHECKING:
    from PIL import Image

    from vocr_cli.core.data.readers.labelled import LabelledSet

_CSS = """
:root { color-scheme: light dark; --ground: #fbfbf9; --card: #fff; --ink: #1d2126; --soft: #626b75;
  --rule: #dcdfe3; --bar: #3b6fb6; --miss: #b3261e; --miss-ground: #fbe3e0; --got: #8a5300;
  --got-ground: #fdeccd; }
@media (prefers-color-scheme: dark) { :root { --ground: #15181c; --card: #1d2126; --ink: #e6e8eb;
  --soft: #9aa3ad; --rule: #343a41; --bar: #6f9fe0; --miss: #ffb4ab; --miss-ground: #56201b; --got: #ffd58a;
  --got-ground: #4d3710; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 68rem; padding: 2rem 1.25rem 4rem; background: var(--ground);
  color: var(--ink); font: 16px/1.5 system-ui, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .75rem; }
.facts { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: 0;
  color: var(--soft); }
.facts dd { margin: 0; color: var(--ink); overflow-wrap: anywhere; }
.cards { display: flex; flex-wrap: wrap; gap: 1rem; margin-top: 1.5rem; }
.card, .line { background: var(--card); border: 1px solid var(--rule); border-radius: .5rem; }
.card { flex: 1 1 14rem; padding: 1rem 1.25rem; }
.card strong { display: block; font-size: 2rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.soft { color: var(--soft); font-size: .875rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid var(--rule); }
td.n, th.n { text-align: right; width: 7rem; }
td.name { width: 10rem; white-space: nowrap; }
.bar { display: block; height: .75rem; min-width: 1px; border-radius: 2px; background: var(--bar); }
.pairs { display: flex; flex-wrap: wrap; gap: .4rem; padding: 0; margin: 0; list-style: none; }
.pairs li { background: var(--card); border: 1px solid var(--rule); border-radius: .4rem;
  padding: .1rem .6rem; }
.line { margin: 0 0 1rem; padding: .9rem 1.1rem; }
.line img { display: block; max-width: 100%; height: auto; margin: .5rem 0; background: #fff;
  border-radius: 2px; }
.line p { margin: .1rem 0; display: grid; grid-template-columns: 5rem 1fr; overflow-wrap: anywhere; }
.line p span.text { font-size: 1.1rem; white-space: pre-wrap; }
.line header { overflow-wrap: anywhere; }
del, ins { text-decoration: none; border-radius: 2px; padding: 0 1px; }
del { color: var(--miss); background: var(--miss-ground); }
ins { color: var(--got); background: var(--got-ground); }
"""


def build_report(
    scores: Scores,
    *,
    title: str,
    facts: Sequence[tuple[str, str]] = (),
    images: Sequence[bytes | None] = (),
    unread: Sequence[tuple[str, str]] = (),
) -> str:
    """Return the page as a string; it needs no other file and no network.

    Args:
        scores: What was measured.
        title: The heading.
        facts: (name, value) pairs to show under the heading, such as the model and the data.
        images: One JPEG per line of `scores.worst` (see `shrink`), None where there is none; or nothing.
        unread: (path, reason) of lines that could not be read and were scored as "".

    Raises:
        ValueError: There are images, but not one for each of the worst lines.
    """
    if images and len(images) != len(scores.worst):
        raise ValueError("images need one entry per worst line, or none")
    cards = "".join(
        _card(name, estimate, detail)
        for name, estimate, detail in (
            ("CER", scores.cer, f"{scores.edits:,} edits in {scores.characters:,} characters"),
            ("WER", scores.wer, f"{scores.word_edits:,} edits in {scores.words:,} words"),
            ("Lines right", scores.line_accuracy, f"{scores.exact_lines:,} of {scores.lines:,} lines"),
        )
    )
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    lines = "".join(_line(line, images[index] if images else None) for index, line in enumerate(scores.worst))
    sections = [
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{_CSS}{DIAGRAM_CSS}</style></head><body>",
        f'<h1>{escape(title)}</h1><dl class="facts">{listed}</dl><section class="cards">{cards}</section>',
        _breakdown(scores),
        _confusions(scores),
        reliability_section(scores.reliability),
        _unread(unread),
        f"<h2>Worst lines ({len(scores.worst)})</h2>{lines}"
        if lines
        else "<p>Every line was read exactly.</p>",
        "</body></html>\n",
    ]
    return "\n".join(section for section in sections if section)


def line_images(labelled: LabelledSet, lines: Sequence[LineScore]) -> list[bytes | None]:
    """Return a JPEG for each of the scored lines, None where its image cannot be read."""
    from vocr_cli.core.data.images.open_image import open_line

    images: list[bytes | None] = []
    for line in lines:
        source = labelled.lines[line.index].image
        try:
            image = open_line(Path(source) if isinstance(source, str) else source[0][source[1]].image)
        except VocrError:
            images.append(None)
        else:
            images.append(shrink(image))
    return images


def shrink(image: Image.Image, max_height_px: int = 72, max_width_px: int = 1600) -> bytes:
    """Return a JPEG of a line image, small enough to embed by the hundred; it is never enlarged."""
    from PIL import Image as Pillow

    scale = min(1.0, max_height_px / image.height, max_width_px / image.width)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    small = image.convert("RGB").resize(size, Pillow.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _card(name: str, estimate: Estimate, detail: str) -> str:
    return (
        f'<div class="card">{name}<strong>{estimate.value:.2%}</strong>'
        f'<span class="soft">95 % interval {estimate.low:.2%} to {estimate.high:.2%}<br>{detail}</span></div>'
    )


def _breakdown(scores: Scores) -> str:
    if not scores.edits:
        return ""
    most = max(row.edits for row in scores.breakdown)
    rows = "".join(
        f'<tr><td class="name">{row.name}</td><td class="n">{row.edits:,}</td>'
        f'<td class="n">{row.share:.3%}</td>'
        f'<td><span class="bar" style="width:{row.edits / most:.1%}"></span></td></tr>'
        for row in scores.breakdown
    )
    return (
        '<h2>What was wrong</h2><table><tr><th>class</th><th class="n">edits</th>'
        f'<th class="n">of characters</th><th></th></tr>{rows}</table>'
    )


def _confusions(scores: Scores) -> str:
    items = "".join(
        f'<li lang="vi">{escape(str(item))} <span class="soft">{item.count:,} ×</span></li>'
        for item in scores.confusions
    )
    legend = f'<p class="soft">written→read; {NOTHING} is nothing, ␣ a space</p>'
    return f'<h2>Most frequent confusions</h2>{legend}<ul class="pairs">{items}</ul>' if items else ""


def _unread(unread: Sequence[tuple[str, str]]) -> str:
    rows = "".join(f"<tr><td>{escape(path)}</td><td>{escape(reason)}</td></tr>" for path, reason in unread)
    title = f"<h2>Could not be read, scored as empty ({len(unread)})</h2>"
    return f"{title}<table><tr><th>line</th><th>reason</th></tr>{rows}</table>" if rows else ""


def _line(line: LineScore, image: bytes | None) -> str:
    """Show where a line is from, its image, its label and its reading with the differences marked."""
    label, reading = [], []
    for span in spans(line.reference, line.reading):
        if span.same:
            label.append(escape(span.reference))
            reading.append(escape(span.reading))
        else:
            label.append(f"<del>{_visible(span.reference)}</del>")
            reading.append(f"<ins>{_visible(span.reading)}</ins>")
    confidence = "" if line.confidence is None else f" · confidence {line.confidence:.3f}"
    encoded = base64.b64encode(image).decode("ascii") if image else ""
    picture = f'<img alt="" loading="lazy" src="data:image/jpeg;base64,{encoded}">' if image else ""
    counted = f"{line.edits:,} {'edit' if line.edits == 1 else 'edits'}"
    return (
        f'<article class="line"><header class="soft">{escape(line.path)} · {counted}{confidence}</header>'
        f'{picture}<p><span class="soft">label</span><span class="text" lang="vi">{"".join(label)}</span></p>'
        '<p><span class="soft">reading</span>'
        f'<span class="text" lang="vi">{"".join(reading)}</span></p></article>'
    )


def _visible(text: str) -> str:
    return escape(text.replace(" ", "␣")) if text else NOTHING
