"""Bars of probabilities: a soft target, beside a hard label, or several side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from kdkit.course.figures.axes import BLACK, ORANGE, SKY, SMALL, VERMILION, WIDTH, describe, new_axes, use_plain_ticks
from kdkit.course.figures.images import draw_image
from kdkit.course.figures.inputs import check_dict, check_images, check_label, distribution, finite


def soft_target(
    probabilities: Sequence[float] | Tensor,
    classes: Sequence[str],
    *,
    image: Tensor | None = None,
    label: int | None = None,
    student: Sequence[float] | Tensor | None = None,
    title: str = "What the teacher says",
) -> Figure:
    """The probabilities ``[C]`` that a network gives, on a log scale, so that the almost-zero ones can be compared.

    ``label`` is the number of the true class (its bar is hatched); ``image``, uint8 ``[C, H, W]``, stands beside;
    ``student``, the probabilities ``[C]`` of another network, are dotted bars to the right of each. Raises
    ``ValueError`` for what is no probability, class or image.
    """
    values = distribution("probabilities", probabilities, classes)
    check_label(label, classes)
    if student is not None:
        student = distribution("student", student, classes)
    if image is not None:
        check_images("image", image, 3)
    height = 0.3 * len(classes) + 1.2
    fig, axes = new_axes(1, 1, (8, height)) if image is None else new_axes(1, 2, (WIDTH, height), width_ratios=[1, 2.6])
    bars = axes[0, -1]
    if image is not None:
        axes[0, 0].axis("off")
        axes[0, 0].set_title("" if label is None else f"label: {classes[label]}")
        draw_image(axes[0, 0], image)
    foot = max(1e-12, min(1e-5, 0.5 * min(values)))  # a log scale has no 0
    _draw_bars(bars, values, classes, label, student)
    if student is None:
        _write_values(bars, values)
    bars.set(xscale="log", xlim=(foot, 12), xlabel="probability (log scale)")
    use_plain_ticks(bars.xaxis)
    of_student = "" if student is None else f" The student: {in_words(student, classes)}"
    return describe(fig, title, f"Bars on a log scale. {in_words(values, classes)}{of_student}")


def hard_and_soft(
    probabilities: Sequence[float] | Tensor, classes: Sequence[str], label: int, *, title: str = ""
) -> Figure:
    """A hard label beside a soft target ``[C]`` on the same scale, and the soft target's small values magnified.

    Raises ``ValueError`` for what is no probability or class.
    """
    values = distribution("probabilities", probabilities, classes)
    check_label(label, classes)
    small = [0.0 if number == label else value for number, value in enumerate(values)]
    panels = {
        "the hard label": [float(number == label) for number in range(len(classes))],
        "the soft target": values,
        f"magnified {1 / max(max(small), 1e-12):,.0f} times,\nlabel left out": small,
    }
    fig = side_by_side(panels, classes, label, title=title)
    fig.axes[2].set(xlim=(0, 1.05 * max(*small, 1e-12)))
    return fig


def side_by_side(
    panels: Mapping[str, Sequence[float] | Tensor], classes: Sequence[str], label: int | None, *, title: str = ""
) -> Figure:
    """Bars of several distributions ``[C]``, a dict of name to values, on one scale; ``label`` is the true class.

    Raises ``ValueError`` for what is no probability or class.
    """
    check_dict("panels", panels)
    check_label(label, classes)
    panels = {name: distribution(f"panels[{name!r}]", values, classes) for name, values in panels.items()}
    fig, axes = new_axes(1, len(panels), (WIDTH, 0.3 * len(classes) + 1.4), wspace=0.06)
    for number, (axis, (name, values)) in enumerate(zip(axes[0], panels.items(), strict=True)):
        _draw_bars(axis, values, classes, label)
        axis.set(title=name, xlabel="probability", xlim=(0, 1.05))
        axis.locator_params(axis="x", nbins=3)
        axis.tick_params(labelleft=number == 0)  # the names stand once, on the left
    told = " ".join(f"{' '.join(name.split())}: {in_words(values, classes)}" for name, values in panels.items())
    return describe(fig, title, told)


def ranking(values: Mapping[str, float], *, xlabel: str, title: str = "") -> Figure:
    """One bar with its number for each entry of ``values``, a dict of name to a number of at least 0, from the highest.

    Raises ``ValueError`` for numbers below 0 and such as are not finite.
    """
    check_dict("values", values)
    ranked = sorted(zip(finite("values", list(values.values())), values, strict=True), reverse=True)
    numbers, names = [number for number, _ in ranked], [name for _, name in ranked]
    if min(numbers) < 0:
        raise ValueError(f"values must be at least 0; got {min(numbers):g}.")
    fig, axes = new_axes(1, 1, (8, 0.3 * len(names) + 1.2))
    _draw_bars(axes[0, 0], numbers, names, None)
    _write_values(axes[0, 0], numbers)
    axes[0, 0].set(xlabel=xlabel, xlim=(0, 1.1 * max(*numbers, 1e-12)))
    told = ", ".join(f"{name} {number:.2g}" for number, name in ranked)
    return describe(fig, title, f"{xlabel}: {told}.")


def in_words(probabilities: Sequence[float] | Tensor, classes: Sequence[str]) -> str:
    """The probabilities ``[C]`` from the highest to the lowest, as an alt text.

    Raises ``ValueError`` for what is no probability.

    >>> in_words([0.03, 0.97], ["armchair", "chair"])
    'chair 0.97, armchair 0.03.'
    """
    ranked = sorted(zip(distribution("probabilities", probabilities, classes), classes, strict=True), reverse=True)
    return ", ".join(f"{name} {value:.2g}" for value, name in ranked) + "."


def _draw_bars(axis: Axes, values, classes, label, student=None):
    """Bars, the first class on top; that of the true class is hatched, and a student's stand below, dotted."""
    width = 0.8 if student is None else 0.4
    look: dict[str, Any] = {"edgecolor": BLACK, "linewidth": 0.8}
    drawn = axis.barh([place - (0.4 - width / 2) for place in range(len(classes))], values, width, color=SKY, **look)
    if student is not None:
        below = [place + 0.2 for place in range(len(classes))]
        others = axis.barh(below, student, width, color=VERMILION, hatch="..", **look)
        axis.legend(
            [drawn, others],
            ["teacher", "student"],
            frameon=False,
            ncols=2,
            loc="lower left",
            bbox_to_anchor=(0, 1),
            fontsize=12,
        )
    if label is not None:
        drawn[label].set(facecolor=ORANGE, hatch="//")
    axis.set_yticks(range(len(classes)), classes)
    axis.set_ylim(len(classes) - 0.4, -0.6)


def _write_values(axis: Axes, values):
    """Write each value at the end of its bar."""
    for place, value in enumerate(values):
        look: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": SMALL}
        axis.annotate(f"{value:.2g}", (value, place), (5, 0), **look)
