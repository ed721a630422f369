"""Paired results, one pair a seed: pair by pair, and what their differences show."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from kdkit.course.figures.axes import BLACK, BLUE, LOOKS, VERMILION, WIDTH, describe, new_axes
from kdkit.course.figures.inputs import check_dict, finite
from kdkit.course.figures.labels import name_ends
from kdkit.measure.intervals import Paired


def pairs(accuracies: Mapping[str, Sequence[float]], *, title: str = "") -> Figure:
    """A line from each test accuracy of one arm to its partner's in the other, one pair a seed, and from mean to mean.

    ``accuracies``: a dict of two names to as many accuracies (0 to 1). Solid where the second is higher, dashed where
    it is not. Raises ``ValueError`` for anything else.
    """
    check_dict("accuracies", accuracies)
    if len(accuracies) != 2:
        raise ValueError(f"accuracies must hold two arms to be compared; got {list(accuracies)}.")
    names, (first, second) = list(accuracies), accuracies.values()
    first = [100 * value for value in finite(names[0], first)]
    second = [100 * value for value in finite(names[1], second, len(first))]
    fig, axes = new_axes(1, 1, (6.5, 4))
    axis = axes[0, 0]
    rising = {"color": BLUE, "marker": "o", "linestyle": "-"}
    falling = {"color": VERMILION, "marker": "s", "linestyle": "--"}
    for before, after in zip(first, second, strict=True):
        axis.plot([0, 1], [before, after], **(rising if after > before else falling))
    means = [sum(values) / len(values) for values in (first, second)]
    axis.plot([0, 1], means, color=BLACK, marker="D", linewidth=4, markersize=9)
    for place, mean, side, by in (0, means[0], "right", -12), (1, means[1], "left", 12):
        axis.annotate(
            f"mean {mean:.1f}", (place, mean), (by, 0), textcoords="offset points", ha=side, va="center", fontsize=12
        )
    axis.set(xticks=[0, 1], xticklabels=names, xlim=(-0.45, 1.45), ylabel="test accuracy, %")
    axis.grid(axis="y", alpha=0.3)
    higher = sum(after > before for before, after in zip(first, second, strict=True))
    title = title or f"{names[1][:1].upper()}{names[1][1:]} is higher in {higher} of {len(first)} pairs"
    each = ", ".join(f"{before:.1f} to {after:.1f}" for before, after in zip(first, second, strict=True))
    return describe(fig, title, f"Test accuracy in per cent, from {names[0]} to {names[1]}: {each}.")


def gains(
    temperatures: Sequence[float], results: dict[str, Sequence[Paired]], *, title: str, ylim: tuple[float, float]
) -> Figure:
    """Gains in points with their 95 % intervals over temperature; ``results``: a dict of name to ``Paired`` values.

    Filled where the interval leaves out 0, hollow where no difference is shown. ``ylim``: the ends of the y axis, in
    points, the same for figures that are compared.
    """
    fig, axes = new_axes(1, 1, (WIDTH, 4))
    axis = axes[0, 0]
    axis.axhline(0, color=BLACK, linewidth=1)
    colours: dict[str, str] = {}
    for number, (name, measured) in enumerate(results.items()):
        look = LOOKS[number % len(LOOKS)]
        colours[name] = str(look["color"])
        places = [temperature * 1.07 ** (number - 1) for temperature in temperatures]
        axis.plot(places, [100 * pair.mean for pair in measured], **{**look, "marker": ""})
        for place, pair in zip(places, measured, strict=True):
            fill = "full" if _shown(pair) else "none"
            axis.errorbar(
                place,
                100 * pair.mean,
                yerr=100 * (pair.high - pair.mean),
                capsize=4,
                fillstyle=fill,
                markersize=8,
                **look,
            )
    axis.set(xscale="log", xlabel="temperature", ylabel="gain in points", ylim=ylim)
    axis.set_xticks(temperatures, [f"{temperature:g}" for temperature in temperatures])
    axis.minorticks_off()
    axis.grid(axis="y", alpha=0.3)
    told = [
        f"{name}: "
        + ", ".join(f"{_in_points(pair)} at T = {t:g}" for t, pair in zip(temperatures, measured, strict=True))
        for name, measured in results.items()
    ]
    describe(fig, title, f"Gains in points with 95 % intervals. {'; '.join(told)}.")
    name_ends(axis, {name: (temperatures[-1], 100 * each[-1].mean) for name, each in results.items()}, colours)
    return fig


def intervals(results: dict[str, Paired], xlabel: str = "gain in points, 95 % interval", *, title: str = "") -> Figure:
    """One row for each entry of ``results``, a dict of name to ``Paired``: the interval, its mean, each pair's value.

    In points. Filled circles and solid lines where the interval leaves out 0, hollow and dashed where no difference is
    shown.
    """
    fig, axes = new_axes(1, 1, (WIDTH, 0.55 * len(results) + 1.2))
    axis = axes[0, 0]
    axis.axvline(0, color=BLACK, linewidth=1)
    for row, pair in enumerate(results.values()):
        low, middle, high = (100 * value for value in (pair.low, pair.mean, pair.high))
        axis.plot([low, high], [row, row], color=BLUE, linestyle="-" if _shown(pair) else "--", linewidth=2)
        axis.plot(middle, row, "o", color=BLUE, markerfacecolor=BLUE if _shown(pair) else "white", markersize=9)
        values = [100 * value for value in pair.differences]
        axis.plot(values, [row + 0.22] * len(values), "|", color=VERMILION, markersize=8)
    axis.set(xlabel=xlabel, ylim=(len(results) - 0.5, -0.6))
    axis.set_yticks(range(len(results)), list(results))
    axis.grid(axis="x", alpha=0.3)
    told = "; ".join(f"{name} {_in_points(pair)}" for name, pair in results.items())
    return describe(fig, title, f"{xlabel}: {told}.")


def _shown(pair):
    return pair.low > 0 or pair.high < 0


def _in_points(pair):
    """In words: 1.50 (0.26 to 2.74)."""
    return f"{100 * pair.mean:+.2f} ({100 * pair.low:+.2f} to {100 * pair.high:+.2f})"
