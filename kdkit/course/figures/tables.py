"""Tables of numbers as coloured squares, each with its number: soft targets by class, changes, ratios; and a tree."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from kdkit.course.figures.axes import BLACK, BLUE, SMALL, WIDTH, describe, new_axes
from kdkit.course.figures.inputs import distribution, parts


def matrix(
    values: Tensor | Sequence[Sequence[float]],
    classes: Sequence[str],
    *,
    title: str = "Mean soft targets, as powers of ten",
) -> Figure:
    """Mean soft targets ``[C, C]``, one row a true class, as powers of ten: 0 is 1, -3 a thousandth.

    Raises ``ValueError`` for rows that hold no probabilities, one for each class, or that are not one for each class.
    """
    rows = [distribution("a row of values", row, classes) for row in parts("values", values)]
    if len(rows) != len(classes):
        raise ValueError(f"values must be [{len(classes)}, {len(classes)}], a row a class; got {len(rows)} rows.")
    fig, axes = new_axes(1, 1, (8.6, 6.4))
    axis, powers = axes[0, 0], torch.tensor(rows).clamp(min=1e-12).log10()
    shown = axis.imshow(powers.numpy(), cmap="cividis", vmin=-6, vmax=0)
    for row, column in np.ndindex(*powers.shape):
        power = powers[row, column].item()
        text = f"{power:.1f}" if power < -0.05 else "0"
        _write(axis, row, column, text, "black" if power > -2.5 else "white")
    _name_classes(axis, classes)
    axis.set(xlabel="the network's answer", ylabel="the true class")
    _add_bar(fig, axis, shown, "power of ten", extend="min")
    told = []
    for name, row in zip(classes, rows, strict=True):
        likely = sorted(range(len(row)), key=lambda number: -row[number])
        told.append(f"{name}: " + ", ".join(f"{classes[number]} {row[number]:.2g}" for number in likely[:3]))
    return describe(fig, title, f"A table with a row for each true class; its highest means: {'; '.join(told)}.")


def change(confusion: Tensor, classes: Sequence[str], *, before: Tensor, title: str = "") -> Figure:
    """How a ``confusion`` matrix ``[C, C]`` (counts, one row a true class) differs from that of ``before``.

    Orange with a plus is more often than before, violet with a minus less often.
    """
    fig, axes = new_axes(1, 1, (8.6, 6.4))
    axis, difference = axes[0, 0], (confusion - before).numpy()
    limit: Any = max(1, abs(difference).max())  # a number; the types of some NumPys say less
    shown = axis.imshow(difference, cmap="PuOr_r", vmin=-limit, vmax=limit)
    for row, column in np.ndindex(*difference.shape):
        value = int(difference[row, column])
        _write(axis, row, column, f"{value:+d}" if value else "0", "white" if abs(value) > 0.6 * limit else "black")
    _name_classes(axis, classes)
    axis.set(xlabel="the student's answer (on the diagonal: the right one)", ylabel="the true class")
    _add_bar(fig, axis, shown, "images more (+) or fewer (-)")
    most = np.dstack(np.unravel_index(np.argsort(-abs(difference), axis=None)[:5], difference.shape))[0]
    told = ", ".join(f"{classes[row]} as {classes[column]} {difference[row, column]:+d}" for row, column in most)
    return describe(fig, title, f"A table of changes, in images; the largest: {told}.")


def ratios(
    values: Sequence[Sequence[float]],
    shown: Sequence[Sequence[bool]],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    xlabel: str,
    ylabel: str,
    title: str,
    border: float | None = None,
) -> Figure:
    """A table of ratios ``[R, C]``, coloured on a scale on which twice and half as much are as far from 1.

    Cells that are not ``shown`` (a table of truth values ``[R, C]``) are hatched, and their number stands in brackets.
    A thick line parts those of at least ``border`` from the others.
    """
    fig, axes = new_axes(1, 1, (min(WIDTH, 1.15 * len(columns) + 2.6), 0.62 * len(rows) + 1.6))
    axis, powers = axes[0, 0], np.log2(values)
    limit: Any = max(0.5, abs(powers).max())  # a number, as above
    drawn = axis.imshow(powers, cmap="PuOr_r", vmin=-limit, vmax=limit, aspect="auto")
    for row, column in np.ndindex(*powers.shape):
        text, dark = f"{values[row][column]:.2f}", abs(powers[row, column]) > 0.6 * limit
        if not shown[row][column]:
            text = f"({text})"
            look: dict[str, Any] = {"fill": False, "hatch": "//", "edgecolor": "grey", "linewidth": 0}
            axis.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, **look))
        _write(axis, row, column, text, "white" if dark else "black", fontsize=12)
    if border is not None:
        for ends in _edges([[value >= border for value in row] for row in values]):
            axis.plot(*ends, color=BLACK, linewidth=4, solid_capstyle="round")
    axis.set_xticks(range(len(columns)), columns)
    axis.set_yticks(range(len(rows)), rows)
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.spines[:].set_visible(False)
    bar = _add_bar(fig, axis, drawn, "ratio")
    bar.ax.yaxis.set_major_formatter(lambda power, _: f"{2**power:.2g}")
    told = "; ".join(
        f"{name}: " + ", ".join(f"{column} {value:.2f}" for column, value in zip(columns, row, strict=True))
        for name, row in zip(rows, values, strict=True)
    )
    return describe(fig, title, f"A table of ratios, {ylabel} by {xlabel}. {told}.")


def tree(linkage: np.ndarray, classes: Sequence[str], *, title: str = "") -> Figure:
    """A tree of classes from ``scipy.cluster.hierarchy.linkage``: what is confused often meets far on the right."""
    from scipy.cluster.hierarchy import dendrogram

    fig, axes = new_axes(1, 1, (8, 4.2))
    axis = axes[0, 0]
    look = {"color_threshold": 0, "above_threshold_color": BLUE}
    dendrogram(linkage, labels=list(classes), orientation="left", ax=axis, **look)
    axis.tick_params(axis="y", labelsize=13)
    axis.set(xlabel="distance: how many powers of ten below certainty they are confused")
    axis.spines["left"].set_visible(False)
    halves = [", ".join(classes[number] for number in _leaves(linkage, branch)) for branch in linkage[-1, :2]]
    return describe(fig, title, f"A tree of {len(classes)} classes with two branches: {halves[0]}; and {halves[1]}.")


def _leaves(linkage, node):
    """The numbers of the classes below ``node`` of a linkage."""
    classes = len(linkage) + 1
    if node < classes:
        return [int(node)]
    return [leaf for branch in linkage[int(node) - classes, :2] for leaf in _leaves(linkage, branch)]


def _add_bar(fig, axis, shown, label, **look):
    """Say beside ``axis`` what the colours of ``shown`` stand for."""
    bar = fig.colorbar(shown, ax=axis, shrink=0.8, **look)
    bar.set_label(label, fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL)
    return bar


def _write(axis: Axes, row: int, column: int, text: str, colour: str, fontsize: int = SMALL):
    axis.text(column, row, text, ha="center", va="center", color=colour, fontsize=fontsize)


def _name_classes(axis: Axes, classes: Sequence[str]):
    """Ticks with the names of the classes on both sides of a square table."""
    axis.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
    axis.set_yticks(range(len(classes)), classes)
    axis.spines[:].set_visible(False)


def _edges(inside: Sequence[Sequence[bool]]) -> Iterator[tuple[list[float], list[float]]]:
    """The lines ``([x, x], [y, y])`` between neighbours in a table of truth values of which one is true alone."""
    for row, values in enumerate(inside):
        for column, value in enumerate(values):
            if column + 1 < len(values) and value != values[column + 1]:
                yield [column + 0.5] * 2, [row - 0.5, row + 0.5]
            if row + 1 < len(inside) and value != inside[row + 1][column]:
                yield [column - 0.5, column + 0.5], [row + 0.5] * 2
