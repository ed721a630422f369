"""What all figures share: colours and looks, axes without pyplot's global state, titles, ticks as people write them."""

import math
import textwrap
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axis import Axis
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

# Okabe and Ito 2008: colours that people with any kind of colour vision can tell apart
ORANGE, SKY, GREEN = "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, BLACK = "#0072B2", "#D55E00", "#000000"
WIDTH = 9  # inches: what a page shows of a figure without making its letters smaller
SMALL = 11  # points: no text in a figure is smaller
READABLE = 4.5  # contrast of letters with what is behind them: WCAG 2.2, level AA
LOOKS = (  # one for each curve: colour, marker and line style say the same thing
    {"color": BLUE, "marker": "o", "linestyle": "-"},
    {"color": VERMILION, "marker": "s", "linestyle": "--"},
    {"color": GREEN, "marker": "^", "linestyle": "-."},
    {"color": BLACK, "marker": "D", "linestyle": ":"},
    {"color": ORANGE, "marker": "v", "linestyle": (0, (6, 1, 1, 1, 1, 1))},
)
STYLE: dict[Any, Any] = {  # the keys are of a type that only some releases of matplotlib have
    "font.size": 13,
    "xtick.labelsize": 12,
    "ytick.labelsize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 13,
    "hatch.linewidth": 0.6,
    "savefig.facecolor": "white",
}


def new_axes(rows: int, columns: int, size: tuple[float, float], **grid: Any) -> tuple[Figure, np.ndarray]:
    """A new figure of ``size`` (width, height, in inches) and its axes, an array ``[rows, columns]``.

    ``grid``: what matplotlib's ``GridSpec`` takes, such as ``width_ratios``.
    """
    with rc_context(STYLE):
        fig = Figure(figsize=size, layout="constrained")
        axes = fig.subplots(rows, columns, squeeze=False, gridspec_kw=grid)
    return fig, axes


def describe(fig: Figure, title: str, words: str) -> Figure:
    """Write ``title`` above all of ``fig``; it and ``words`` are the text for those who cannot see the figure.

    The text is the figure's label (``fig.get_label()``). Raises ``ValueError`` for a title that is no text.
    """
    if not isinstance(title, str):
        raise ValueError(f"title must be a text that says what the figure shows; got {title!r}.")
    if title:
        # from the left, in lines as long as the figure is wide
        lines = textwrap.fill(title, int(10.5 * fig.get_figwidth()))
        fig.suptitle(lines, x=0.01, ha="left", fontsize=15)
    fig.set_label(f"{title.rstrip('.')}. {words}" if title else words)
    return fig


def contrast(colour: Any, other: Any) -> float:
    """The contrast of two colours of matplotlib by WCAG 2.2: from 1, the same, to 21, black on white."""
    lighter, darker = sorted(map(_luminance, (colour, other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def readable(colour: Any) -> tuple[float, ...]:
    """``colour``, as dark as letters on white have to be: their contrast is then at least ``READABLE``."""
    rgb = np.array(to_rgb(colour))
    shades = (tuple(share * rgb) for share in np.linspace(1, 0, 51))
    return next(shade for shade in shades if contrast(shade, "white") >= READABLE)


def _luminance(colour):
    """Relative luminance of a colour in sRGB, as WCAG 2.2 defines it."""
    rgb = np.array(to_rgb(colour))
    return float(np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722))


def use_plain_ticks(axis: Axis) -> None:
    """Ticks of a logarithmic axis as people write them: 0.5, 20, 1 M. Over a wide range only powers of ten."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 300 * low else (1,)))
    axis.set_major_formatter(_tick)
    axis.set_minor_formatter(NullFormatter())


def _tick(value, place=None):
    """What stands at a tick; matplotlib also hands over its place."""
    power = round(math.log10(value))
    if value < 0.001 and math.isclose(value, 10**power):
        return f"$10^{{{power}}}$"
    return f"{value:g}" if value < 1000 else EngFormatter()(value)
