"""Paired results, one pair a seed: pair by pair, and what their differences show."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from kdkit.course.figures.axes import BLACK, BLUE, LOOKS, VERMILION, new_axes
from kdkit.measure.intervals import Paired


def pairs(first: Sequence[float], second: Sequence[float], names: Sequence[str]) -> Figure:
    """A line from each test accuracy of ``first`` to its partner in ``second``; ``names`` of the two."""
    fig, axes = new_axes(1, 1, (5, 3.8))
    axis = axes[0, 0]
    for seed, (before, after) in enumerate(zip(first, second, strict=True)):
        look = LOOKS[seed % len(LOOKS)]
        axis.plot([0, 1], [before, after], label=f"seed {seed}", **look)
    axis.set(xticks=[0, 1], xticklabels=names, xlim=(-0.3, 1.3), ylabel="test accuracy")
    axis.grid(axis="y", alpha=0.3)
    axis.legend(frameon=False)
    return fig


def gains(
    temperatures: Sequence[float], results: dict[str, Sequence[Paired]], title: str, ylim: tuple[float, float]
) -> Figure:
    """Gains in points with their 95 % intervals over temperature; ``results``: a dict of name to ``Paired`` values.

    ``ylim``: the ends of the y axis, in points, the same for figures that are compared.
    """
    fig, axes = new_axes(1, 1, (8, 4))
    axis = axes[0, 0]
    axis.axhline(0, color=BLACK, linewidth=1)
    for number, (name, measured) in enumerate(results.items()):
        look = LOOKS[number % len(LOOKS)]
        middle = [100 * pair.mean for pair in measured]
        margins = [100 * (pair.high - pair.mean) for pair in measured]
        places = [temperature * 1.07 ** (number - 1) for temperature in temperatures]
        axis.errorbar(places, middle, yerr=margins, label=name, capsize=4, **look)
    axis.set(xscale="log", xlabel="temperature", ylabel="gain in points", title=title, ylim=ylim)
    axis.set_xticks(temperatures, [f"{temperature:g}" for temperature in temperatures])
    axis.minorticks_off()
    axis.grid(axis="y", alpha=0.3)
    axis.legend(frameon=False, fontsize=11)
    return fig


def intervals(results: dict[str, Paired], xlabel: str = "gain in points, 95 % interval") -> Figure:
    """One row for each entry of ``results``, a dict of name to ``Paired``: the interval, its mean, each pair's value.

    In points. Filled circles and solid lines where the interval leaves out 0, hollow and dashed where no difference is
    shown.
    """
    fig, axes = new_axes(1, 1, (9, 0.55 * len(results) + 1.2))
    axis = axes[0, 0]
    axis.axvline(0, color=BLACK, linewidth=1)
    for row, pair in enumerate(results.values()):
        shown = pair.low > 0 or pair.high < 0
        low, middle, high = (100 * value for value in (pair.low, pair.mean, pair.high))
        axis.plot([low, high], [row, row], color=BLUE, linestyle="-" if shown else "--", linewidth=2)
        axis.plot(middle, row, "o", color=BLUE, markerfacecolor=BLUE if shown else "white", markersize=9)
        values = [100 * value for value in pair.differences]
        axis.plot(values, [row + 0.22] * len(values), "|", color=VERMILION, markersize=8)
    axis.set(xlabel=xlabel, ylim=(len(results) - 0.5, -0.6))
    axis.set_yticks(range(len(results)), list(results))
    axis.grid(axis="x", alpha=0.3)
    return fig
