"""Points: some with their names, written where they meet nothing else; and one number over several others."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from torch import Tensor

from kdkit.course.figures.axes import BLACK, BLUE, LOOKS, WIDTH, describe, new_axes, use_plain_ticks
from kdkit.course.figures.inputs import floats
from kdkit.course.figures.labels import name_points


def scatter(
    x: Sequence[float] | Tensor,
    y: Sequence[float] | Tensor,
    names: Sequence[str],
    *,
    xlabel: str,
    ylabel: str,
    named: Sequence[int] | Tensor = (),
    title: str = "",
) -> Figure:
    """Points at ``x`` and ``y`` ``[N]``, the y axis logarithmic.

    ``names``: of all N; ``named``: the numbers of those whose name is written.
    """
    fig, axes = new_axes(1, 1, (8, 4.6))
    axis = axes[0, 0]
    x, y = floats(x), floats(y)
    axis.scatter(x, y, color=BLUE, edgecolor=BLACK, s=50)
    axis.set(yscale="log", xlabel=xlabel, ylabel=ylabel)
    use_plain_ticks(axis.yaxis)
    axis.margins(0.15)  # room for the names
    axis.grid(alpha=0.3)
    told = [f"{names[number]} {x[number]:.3g} and {y[number]:.3g}" for number in named]
    describe(fig, title, f"{len(x)} points, {ylabel} over {xlabel}" + (f": {'; '.join(told)}." if told else "."))
    name_points(axis, [(names[number], (x[number], y[number])) for number in named], list(zip(x, y, strict=True)))
    return fig


def predictors(
    columns: dict[str, Sequence[float]], y: Sequence[float], groups: Sequence[str], *, ylabel: str, title: str = ""
) -> Figure:
    """``y`` over each of ``columns``, a dict of name to numbers, side by side; one look for each name in ``groups``."""
    fig, axes = new_axes(1, len(columns), (WIDTH, 4), wspace=0.08)
    names = list(dict.fromkeys(groups))
    for axis, (xlabel, x) in zip(axes[0], columns.items(), strict=True):
        for number, name in enumerate(names):
            own = [place for place, group in enumerate(groups) if group == name]
            look = {**LOOKS[number % len(LOOKS)], "linestyle": "", "label": name}
            axis.plot([float(x[place]) for place in own], [float(y[place]) for place in own], **look)
        axis.set(xlabel=xlabel, xscale="log", yscale="log")
        axis.grid(alpha=0.3)
        use_plain_ticks(axis.xaxis)
        use_plain_ticks(axis.yaxis)
    axes[0, 0].set(ylabel=ylabel)
    fig.legend(
        *axes[0, 0].get_legend_handles_labels(),
        frameon=False,
        loc="outside lower center",
        ncols=len(names),
        fontsize=12,
    )
    return describe(fig, title, f"{len(y)} points of {' and '.join(names)}: {ylabel} over {', over '.join(columns)}.")
