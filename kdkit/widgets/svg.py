"""Bars as an SVG text: a slider that writes one into ``ipywidgets.HTML`` redraws in a few milliseconds."""

import html
import math

from kdkit.figures import BLACK, ORANGE, SKY

WIDTH, HEIGHT, TOP, BOTTOM, LEFT = 640, 250, 20, 70, 56
FLOOR = -8  # the bars begin at 10^-8


def probability_bars(probabilities, classes, *, label=None, alt):
    """Bars on a log scale for probabilities ``[C]``; ``label``, the number of the true class, is hatched."""
    step = (WIDTH - LEFT) / len(classes)
    bars = [
        _bar(LEFT + step * number, step, float(value), name, number == label)
        for number, (value, name) in enumerate(zip(probabilities, classes, strict=True))
    ]
    return (
        f'<svg role="img" aria-label="{html.escape(alt)}" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'style="max-width:100%;background:white;font-family:sans-serif">{_HATCH}{_scale()}{"".join(bars)}</svg>'
    )


_HATCH = (
    '<defs><pattern id="kdkit-hatch" width="7" height="7" patternUnits="userSpaceOnUse" '
    f'patternTransform="rotate(45)"><rect width="7" height="7" fill="{ORANGE}"/>'
    f'<line x1="0" y1="0" x2="0" y2="7" stroke="{BLACK}" stroke-width="1.5"/></pattern></defs>'
)


def _height(value):
    """Where ``value`` lies on the log scale, from 0 (the floor, or less) to the full height at 1."""
    if value <= 0:
        return 0.0
    return max(0.0, 1 - math.log10(value) / FLOOR) * (HEIGHT - TOP - BOTTOM)


def _scale():
    lines = []
    for power in range(FLOOR, 1):
        y = HEIGHT - BOTTOM - _height(10.0**power)
        lines.append(f'<line x1="{LEFT}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ccc"/>')
        lines.append(f'<text x="{LEFT - 5}" y="{y + 4:.1f}" font-size="12" text-anchor="end">{_power(power)}</text>')
    return "".join(lines)


def _power(power):
    """1, 0.1, 0.01, then powers of ten."""
    if power > -3:
        return f"{10.0**power:.{-power}f}"
    return f'10<tspan dy="-5" font-size="10">\u2212{-power}</tspan>'


def _bar(x, step, value, name, is_label):
    height, middle, ground = _height(value), x + step / 2, HEIGHT - BOTTOM
    fill = "url(#kdkit-hatch)" if is_label else SKY
    return (
        f'<rect x="{x + 0.12 * step:.1f}" y="{ground - height:.1f}" width="{0.76 * step:.1f}" height="{height:.1f}" '
        f'fill="{fill}" stroke="{BLACK}"/>'
        f'<text x="{middle:.1f}" y="{ground - height - 4:.1f}" font-size="12" text-anchor="middle">'
        f"{_short(value)}</text>"
        f'<text transform="translate({middle + 4:.1f} {ground + 14}) rotate(-35)" font-size="13" '
        f'text-anchor="end">{html.escape(name)}</text>'
    )


def _short(value):
    return f"{value:.3f}" if value >= 0.001 else f"{value:.0e}".replace("e-0", "e-")
