"""Names written where they belong: beside points, at the ends of curves, where they meet nothing else."""

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from kdkit.course.figures.axes import SMALL, readable

Place = tuple[float, float]
BESIDE = (  # where a name may stand: its offset from the point, in points, and its alignment
    *((0, -17, "center"), (0, 8, "center"), (9, -4, "left"), (-9, -4, "right")),
    *((7, 5, "left"), (-7, 5, "right"), (7, -14, "left"), (-7, -14, "right")),
)


def name_ends(axis: Axes, ends: Mapping[str, Place], colours: Mapping[str, str]) -> None:
    """Write each name to the right of ``axis``, at the height of its end (x, y), and moved apart where two would meet.

    ``colours``: those of the curves; a name has its curve's, as dark as letters have to be.
    """
    # places everything, so that ends have heights; none of our axes are in a subfigure, which could not do that
    axis.figure.draw_without_rendering()  # type: ignore[union-attr]
    heights = {
        name: axis.transAxes.inverted().transform(axis.transData.transform(end))[1] for name, end in ends.items()
    }
    names = sorted(heights, key=heights.__getitem__)
    line = 1.3 * 12 / 72 * axis.figure.dpi / axis.bbox.height  # the height of a line of text, as a share of the axis
    for name, height in zip(names, _apart([heights[name] for name in names], line), strict=True):
        look: dict[str, Any] = {"textcoords": "axes fraction", "va": "center", "fontsize": 12}
        axis.annotate(name, ends[name], (1.015, height), color=readable(colours[name]), **look)


def _apart(heights, gap):
    """The ascending ``heights``, each moved as little as may be so that none is less than ``gap`` above the last."""
    groups: list[list[float]] = []  # of neighbours that touch: each holds its heights less the gaps below them
    for number, height in enumerate(heights):
        groups.append([height - number * gap])
        while len(groups) > 1 and _mean(groups[-2]) > _mean(groups[-1]):
            groups[-2:] = [groups[-2] + groups[-1]]
    levels = [_mean(group) for group in groups for _ in group]
    return [level + number * gap for number, level in enumerate(levels)]


def _mean(values):
    return sum(values) / len(values)


def name_points(axis: Axes, named: list[tuple[str, Place]], points: list[Place]) -> None:
    """Write each name beside its point: where it meets no other name and no edge, and is nearest to its own point.

    Each name in turn takes the place that breaks this least, given where the others stand, until none moves any more.
    """
    axis.figure.draw_without_rendering()  # type: ignore[union-attr]  # as above
    # not in the layout, so that no name moves the axes again
    look: dict[str, Any] = {"textcoords": "offset points", "fontsize": SMALL, "in_layout": False}
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
