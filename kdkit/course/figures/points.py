"""Points: some with their names, written where they meet nothing else; and one number over several others."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from kdkit.course.figures.axes import BLACK, BLUE, LOOKS, new_axes, use_plain_ticks
from kdkit.course.figures.inputs import floats


def scatter(
    x: Sequence[float] | Tensor,
    y: Sequence[float] | Tensor,
    names: Sequence[str],
    xlabel: str,
    ylabel: str,
    named: Sequence[int] | Tensor = (),
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
    axis.grid(alpha=0.3)
    _name_points(axis, [(names[number], (x[number], y[number])) for number in named], list(zip(x, y, strict=True)))
    return fig


def predictors(columns: dict[str, Sequence[float]], y: Sequence[float], groups: Sequence[str], ylabel: str) -> Figure:
    """``y`` over each of ``columns``, a dict of name to numbers, side by side; one look for each name in ``groups``."""
    fig, axes = new_axes(1, len(columns), (4.2 * len(columns), 4), wspace=0.1)
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
    fig.legend(*axes[0, 0].get_legend_handles_labels(), frameon=False, loc="outside upper center", ncols=len(names))
    return fig


BESIDE = (  # where a name may stand: its offset from the point, in points, and its alignment
    *((0, -16, "center"), (0, 8, "center"), (9, -4, "left"), (-9, -4, "right")),
    *((7, 5, "left"), (-7, 5, "right"), (7, -13, "left"), (-7, -13, "right")),
)


def _name_points(axis: Axes, named, points):
    """Write each name beside its point: where it meets no other name and no edge, and is nearest to its own point.

    Each name in turn takes the place that breaks this least, given where the others stand, until none moves any more.
    """
    # places everything, so that names have sizes; none of our axes are in a subfigure, which could not do that
    axis.figure.draw_without_rendering()  # type: ignore[union-attr]
    # not in the layout, so that no name moves the axes again
    look: dict[str, Any] = {"textcoords": "offset points", "fontsize": 10, "in_layout": False}
    written = [[axis.annotate(name, point, (x, y), ha=side, **look) for x, y, side in BESIDE] for name, point in named]
    boxes = [[text.get_window_extent().padded(2) for text in texts] for texts in written]
    places = axis.transData.transform(points)
    own = [places[points.index(point)] for _, point in named]
    alone = [
        [2 * _misread(box, place, places) + _juts_out(box, axis.bbox) for box in row]
        for row, place in zip(boxes, own, strict=True)
    ]
    chosen, before = [0] * len(named), None
    while chosen != before:
        before = list(chosen)
        for one, costs in enumerate(alone):
            taken = [boxes[other][place] for other, place in enumerate(chosen) if other != one]
            costs = [cost + sum(map(box.overlaps, taken)) for cost, box in zip(costs, boxes[one], strict=True)]
            chosen[one] = costs.index(min(costs)) if costs[chosen[one]] > min(costs) else chosen[one]
    for place, texts in zip(chosen, written, strict=True):
        for text in texts[:place] + texts[place + 1 :]:
            text.remove()


def _misread(box, own, places):
    """How many points a reader could take the name in ``box`` for, beside its own: those that are about as near."""

    def distance(place):
        return math.hypot(*(max(low - at, 0, at - high) for low, at, high in zip(box.min, place, box.max, strict=True)))

    return sum(distance(place) <= distance(own) + 4 for place in places) - 1


def _juts_out(box, frame):
    return not (frame.contains(*box.min) and frame.contains(*box.max))
