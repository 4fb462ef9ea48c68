"""Builds one self-contained HTML page about a set of readings: scores, mistakes, every line to search in.

Scores, confusions and the worst lines are plain HTML, which needs no script. All lines lie in the page as
JSON; the page's script lists those that are looked for, and draws only the ones in sight.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import vocr_cli
from vocr_cli.core.evaluation.line_scores import LineScore
from vocr_cli.core.evaluation.metrics import Scores, worst_first
from vocr_cli.core.evaluation.report.line_data import MOST_LINES, lines_in_page, lines_json
from vocr_cli.core.evaluation.report.reliability import reliability_section
from vocr_cli.core.evaluation.report.sections import (
    breakdown_section,
    confusions_section,
    head_section,
    line_article,
    unread_section,
)

_ASSETS = Path(vocr_cli.__file__).parent / "assets" / "report"
_STATIC_LINES = 50
"""The worst lines that a browser shows which runs no scripts."""


def build_report(
    scores: Scores,
    *,
    title: str,
    lines: Sequence[LineScore] = (),
    facts: Sequence[tuple[str, str]] = (),
    images: Mapping[int, bytes] | None = None,
    unread: Sequence[tuple[str, str]] = (),
) -> str:
    """Returns the page as a string; it needs no other file and no network.

    Labels, readings and names may hold anything: they are escaped, and the page forbids every script but its
    own.

    Args:
        scores: What was measured.
        title: The heading.
        lines: All lines that were scored; where there are none, the worst lines of `scores` stand for them.
        facts: (name, value) pairs to show under the heading, such as the version, the model and the data.
        images: JPEGs by the indices of lines (see `line_images`).
        unread: (path, reason) of lines that could not be read and were scored as "".
    """
    images, lines = images or {}, lines or scores.worst
    script = (_ASSETS / "page.js").read_text(encoding="utf-8")
    sections = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_security_policy(script)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title>",
        f"<style>{(_ASSETS / 'page.css').read_text(encoding='utf-8')}</style></head><body>",
        head_section(scores, title, facts),
        '<div class="columns">',
        breakdown_section(scores),
        confusions_section(scores),
        "</div>",
        reliability_section(scores.reliability),
        unread_section(unread),
        _lines_section(lines, images),
        f"<script>{script}</script>",
        "</body></html>\n",
    ]
    return "\n".join(section for section in sections if section)


def _lines_section(lines: Sequence[LineScore], images: Mapping[int, bytes]) -> str:
    """Returns the controls, which the script shows, the worst lines, and the data of all lines."""
    worst = worst_first(lines)[:_STATIC_LINES]
    listed = lines_in_page(lines)
    shown = {line.index for line in worst}
    others = {index: image for index, image in images.items() if index not in shown}
    left_out = (
        f'<p class="soft">The {MOST_LINES:,} lines with the most edits of {len(lines):,}; '
        "<code>--lines FILE</code> writes them all.</p>"
        if len(listed) < len(lines)
        else ""
    )
    articles = "".join(line_article(line, images.get(line.index)) for line in worst)
    return (
        f'<section id="lines"><h2 tabindex="-1">Lines</h2>{left_out}'
        f"{(_ASSETS / 'controls.html').read_text(encoding='utf-8')}"
        f'<noscript><p class="soft">The {len(worst)} worst lines. Sorting, filters and search over all '
        "lines need JavaScript.</p></noscript>"
        f'<div id="list">{articles or "<p>Every line was read exactly.</p>"}</div></section>\n'
        f'<script type="application/json" id="data">{lines_json(listed, others)}</script>'
    )


def _security_policy(script: str) -> str:
    """Returns a policy under which nothing is loaded, and no script runs but this one (W3C, CSP 3)."""
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
