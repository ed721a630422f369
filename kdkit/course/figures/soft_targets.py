"""Bars of probabilities: a soft target, beside a hard label, or several side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from kdkit.course.figures.axes import BLACK, ORANGE, SKY, VERMILION, new_axes
from kdkit.course.figures.images import draw_image
from kdkit.course.figures.inputs import check_dict, check_images, check_label, distribution


def soft_target(
    probabilities: Sequence[float] | Tensor,
    classes: Sequence[str],
    *,
    image: Tensor | None = None,
    label: int | None = None,
    student: Sequence[float] | Tensor | None = None,
    title: str = "what the teacher says",
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
    fig, axes = new_axes(1, 1, (8, 3.8)) if image is None else new_axes(1, 2, (10, 3.8), width_ratios=[1, 3])
    bars = axes[0, -1]
    if image is not None:
        axes[0, 0].axis("off")
        axes[0, 0].set_title("" if label is None else f"label: {classes[label]}")
        draw_image(axes[0, 0], image)
    foot = max(1e-12, min(1e-5, 0.5 * min(values)))  # a log scale has no 0
    _draw_bars(bars, values, classes, label, student)
    if student is None:
        _write_values(bars, values)
    bars.set(yscale="log", ylim=(foot, 4), ylabel="probability (log scale)", title=title)
    return fig


def hard_and_soft(probabilities: Sequence[float] | Tensor, classes: Sequence[str], label: int) -> Figure:
    """A hard label beside a soft target ``[C]`` on the same scale, and the soft target's small values magnified.

    Raises ``ValueError`` for what is no probability or class.
    """
    values = distribution("probabilities", probabilities, classes)
    check_label(label, classes)
    small = [0.0 if number == label else value for number, value in enumerate(values)]
    panels = {
        "the hard label": [float(number == label) for number in range(len(classes))],
        "the soft target": values,
        f"magnified {1 / max(max(small), 1e-12):,.0f} times, label left out": small,
    }
    fig = side_by_side(panels, classes, label)
    fig.axes[2].set(ylim=(0, 1.05 * max(*small, 1e-12)))
    return fig


def side_by_side(panels: Mapping[str, Sequence[float] | Tensor], classes: Sequence[str], label: int | None) -> Figure:
    """Bars of several distributions ``[C]``, a dict of title to values, on one scale; ``label`` is the true class.

    Raises ``ValueError`` for what is no probability or class.
    """
    check_dict("panels", panels)
    check_label(label, classes)
    panels = {title: distribution(f"panels[{title!r}]", values, classes) for title, values in panels.items()}
    fig, axes = new_axes(1, len(panels), (13, 3.8))
    for axis, (title, values) in zip(axes[0], panels.items(), strict=True):
        _draw_bars(axis, values, classes, label)
        axis.set(title=title, ylabel="probability", ylim=(0, 1.05))
    return fig


def in_words(probabilities: Sequence[float] | Tensor, classes: Sequence[str]) -> str:
    """The probabilities ``[C]`` from the highest to the lowest, as an alt text.

    Raises ``ValueError`` for what is no probability.

    >>> in_words([0.03, 0.97], ["armchair", "chair"])
    'chair 0.97, armchair 0.03.'
    """
    ranked = sorted(zip(distribution("probabilities", probabilities, classes), classes, strict=True), reverse=True)
    return ", ".join(f"{name} {value:.2g}" for value, name in ranked) + "."


def _draw_bars(axis: Axes, values, classes, label, student=None):
    """Bars; that of the true class is hatched, and a student's stand beside, dotted."""
    places, width = range(len(classes)), 0.8 if student is None else 0.4
    look: dict[str, Any] = {"edgecolor": BLACK, "linewidth": 0.8}
    left = [place - (0.4 - width / 2) for place in places]
    drawn = axis.bar(left, values, width, color=SKY, label="teacher", **look)
    if student is not None:
        right = [place + 0.2 for place in places]
        axis.bar(right, student, width, color=VERMILION, hatch="..", label="student", **look)
        axis.legend(frameon=False)
    if label is not None:
        drawn[label].set(facecolor=ORANGE, hatch="//")
    axis.set_xticks(places, classes, rotation=45, ha="right", rotation_mode="anchor")


def _write_values(axis: Axes, values):
    """Write each value above its bar."""
    for place, value in enumerate(values):
        axis.annotate(f"{value:.2g}", (place, value), ha="center", va="bottom", fontsize=9)
