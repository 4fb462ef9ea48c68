"""Draws how far confidences can be believed, and how many lines have which: a section of the HTML report."""

from __future__ import annotations

from vocr_cli.core.evaluation.calibration import BINS, Reliability, ReliabilityBin

_SIZE, _LEFT, _BOTTOM = 300, 46, 42
"""The square that is drawn in, and the room for its labels, px."""

_BARS = 90
"""The height of the histogram's bars, px."""


def reliability_section(reliability: Reliability | None) -> str:
    """Returns a section with the calibration error, the diagram, the histogram and their figures.

    The script makes each interval of the table choose its lines. Where there is no confidence: "".
    """
    if reliability is None:
        return ""
    rows = "".join(
        f'<tr><td class="n" data-low="{_bin(each) / BINS:g}" data-high="{(_bin(each) + 1) / BINS:g}">'
        f"{100 * _bin(each) // BINS} to {100 * (_bin(each) + 1) // BINS} %</td>"
        f'<td class="n">{each.confidence:.1%}</td><td class="n">{each.right:.1%}</td>'
        f'<td class="n">{each.lines:,}</td></tr>'
        for each in reversed(reliability.bins)
    )
    heading = (
        f"<section><h2>Can the confidence be believed?</h2><p>Expected calibration error "
        f"<b>{reliability.error:.2%}</b> over {reliability.lines:,} lines, 95 % interval "
        f"{reliability.low:.2%} to {reliability.high:.2%}; confidences without a fault would "
        f"show {reliability.chance:.2%} on so many lines.</p>"
    )
    table = (
        '<table><tr><th class="n">confidence</th><th class="n">mean</th><th class="n">lines right</th>'
        f'<th class="n">lines</th></tr>{rows}</table>'
    )
    drawings = f"<div>{_diagram(reliability)}{_histogram(reliability)}</div>"
    return f'{heading}<div class="reliability">{drawings}{table}</div></section>'


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
        top = _y(each.right)
        bars.append(
            f'<rect x="{_x(_bin(each) / BINS) + 1}" y="{top}" width="{_SIZE / BINS - 2:g}" '
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


def _histogram(reliability: Reliability) -> str:
    """Draws how many lines lie in each bin, on the diagram's axis: wrong ones above right ones."""
    most = max(each.lines for each in reliability.bins)
    top, drawn = 18, []
    for each in reliability.bins:
        wrong = each.lines - round(each.right * each.lines)
        high, high_wrong = _BARS * each.lines / most, _BARS * wrong / most
        high = max(high, 1.0)  # a bin that is there is seen
        left, width = _x(_bin(each) / BINS) + 1, _SIZE / BINS - 2
        y = top + _BARS - high
        drawn.append(
            f"<g><title>{each.lines:,} lines, {wrong:,} wrong</title>"
            f'<rect x="{left}" y="{y:.1f}" width="{width:g}" height="{high:.1f}"/>'
            f'<rect class="wrong" x="{left}" y="{y:.1f}" width="{width:g}" height="{high_wrong:.1f}"/>'
            f'<text x="{left + width / 2}" y="{y - 4:.1f}" text-anchor="middle">'
            f"{_short(each.lines)}</text></g>"
        )
    bottom = top + _BARS
    drawn.append(f'<line class="grid" x1="{_LEFT}" y1="{bottom}" x2="{_LEFT + _SIZE}" y2="{bottom}"/>')
    name = f'<text transform="translate(10 {top + _BARS / 2}) rotate(-90)" text-anchor="middle">lines</text>'
    width = _LEFT + _SIZE + 22
    return (
        f'<svg role="img" aria-label="Lines by confidence" width="{width}" height="{bottom + 4}" '
        f'viewBox="0 0 {width} {bottom + 4}">{"".join(drawn)}{name}</svg>'
        '<p class="soft">Lines by confidence: <span class="key"></span> read right, '
        '<span class="key wrong"></span> with mistakes</p>'
    )


def _bin(each: ReliabilityBin) -> int:
    """Returns a bin's index; the mean of equal confidences may lie a little below them."""
    return min(int(each.confidence * BINS + 1e-9), BINS - 1)


def _short(count: int) -> str:
    """Writes a number in five characters at most: 950, 9.5k, 12k, 1.2M."""
    for unit, name in ((1_000_000, "M"), (1000, "k")):
        if count >= unit:
            value = count / unit
            return f"{value:.1f}{name}".replace(".0", "") if value < 9.95 else f"{value:.0f}{name}"
    return str(count)


def _x(fraction: float) -> float:
    return round(_LEFT + _SIZE * fraction, 1)


def _y(fraction: float) -> float:
    return round(10 + _SIZE * (1 - fraction), 1)
