"""Draws how far confidences can be believed: a section of the HTML report, its drawing in SVG."""

from __future__ import annotations

from vocr_cli.core.evaluation.calibration import BINS, Reliability

_SIZE, _LEFT, _BOTTOM = 300, 46, 42
"""The square that is drawn in, and the room for its labels, px."""

DIAGRAM_CSS = """
.reliability { display: flex; flex-wrap: wrap; gap: 1.5rem; align-items: flex-start; }
.reliability svg { flex: none; max-width: 100%; height: auto; }
.reliability table { flex: 1 1 18rem; width: auto; }
.reliability text { fill: var(--soft); font-size: 12px; }
.reliability .grid { stroke: var(--rule); }
.reliability .ideal { stroke: var(--soft); stroke-dasharray: 4 4; }
.reliability rect { fill: var(--bar); fill-opacity: .35; }
.reliability circle { fill: var(--bar); stroke: var(--ground); }
"""


def reliability_section(reliability: Reliability | None) -> str:
    """Returns a section with the diagram, its figures and the calibration error; "" where there is none."""
    if reliability is None:
        return ""
    rows = "".join(
        f'<tr><td class="n">{each.confidence:.1%}</td><td class="n">{each.right:.1%}</td>'
        f'<td class="n">{each.lines:,}</td></tr>'
        for each in reversed(reliability.bins)
    )
    heading = (
        f"<h2>Can the confidence be believed?</h2><p>Expected calibration error "
        f"<b>{reliability.error:.2%}</b> over {reliability.lines:,} lines, 95 % interval "
        f"{reliability.low:.2%} to {reliability.high:.2%}; confidences without a fault would "
        f"show {reliability.chance:.2%} on so many lines.</p>"
    )
    table = (
        '<table><tr><th class="n">confidence</th><th class="n">lines right</th><th class="n">lines</th></tr>'
        f"{rows}</table>"
    )
    return f'{heading}<div class="reliability">{_diagram(reliability)}{table}</div>'


def _diagram(reliability: Reliability) -> str:
    """Draws a bar a bin, as high as its lines are right, a dot at its mean confidence, and the diagonal."""
    most = max(each.lines for each in reliability.bins)
    grid, bars, dots = [], [], []
    for percent in range(0, 101, 20):
        x, y = _x(percent / 100), _y(percent / 100)
        grid.append(f'<line class="grid" x1="{_LEFT}" y1="{y}" x2="{_LEFT + _SIZE}" y2="{y}"/>')
        grid.append(f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{percent} %</text>')
        grid.append(f'<text x="{x}" y="{_SIZE + 28}" text-anchor="middle">{percent} %</text>')
    for each in reliability.bins:
        left = min(int(each.confidence * BINS), BINS - 1) / BINS
        top = _y(each.right)
        bars.append(
            f'<rect x="{_x(left) + 1}" y="{top}" width="{_SIZE / BINS - 2:g}" '
            f'height="{round(_y(0) - top, 1)}"></rect>'
        )
        radius = 3 + 5 * (each.lines / most) ** 0.5
        dots.append(
            f'<circle cx="{_x(each.confidence)}" cy="{top}" r="{radius:.1f}"><title>'
            f"confidence {each.confidence:.1%}, right {each.right:.1%}, {each.lines:,} lines</title></circle>"
        )
    ideal = f'<line class="ideal" x1="{_x(0)}" y1="{_y(0)}" x2="{_x(1)}" y2="{_y(1)}"/>'
    middle = _x(0.5)
    names = (
        f'<text x="{middle}" y="{_SIZE + _BOTTOM + 6}" text-anchor="middle">confidence</text>'
        f'<text transform="translate(10 {_y(0.5)}) rotate(-90)" text-anchor="middle">lines right</text>'
    )
    width, height = _LEFT + _SIZE + 22, _SIZE + _BOTTOM + 14
    return (
        f'<svg role="img" aria-label="Lines right by confidence" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}">{"".join([*grid, *bars, ideal, *dots])}{names}</svg>'
    )


def _x(fraction: float) -> float:
    return round(_LEFT + _SIZE * fraction, 1)


def _y(fraction: float) -> float:
    return round(10 + _SIZE * (1 - fraction), 1)
