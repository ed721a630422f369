"""How far confidence can be trusted: accuracy over confidence."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from kdkit.course.figures.axes import BLACK, LOOKS, WIDTH, describe, new_axes
from kdkit.course.figures.inputs import check_dict


def reliability(networks: Mapping[str, Sequence[Sequence[float]]], *, title: str = "") -> Figure:
    """Accuracy over confidence, a curve for each of ``networks``: a dict of name to what ``metrics.reliability`` gives.

    The larger a marker, the more answers were given with about this confidence. On the dotted line a network is right
    as often as it is sure; below it, it is too sure.
    """
    check_dict("networks", networks)
    fig, axes = new_axes(1, 1, (WIDTH, 4.6))
    axis = axes[0, 0]
    axis.plot([0, 100], [0, 100], color=BLACK, linestyle=":", linewidth=1.5)
    told = []
    for number, (name, rows) in enumerate(networks.items()):
        look, all_answers = dict(LOOKS[number % len(LOOKS)]), sum(row[2] for row in rows)
        sure, right = ([100 * row[part] for row in rows] for part in (0, 1))
        sizes = [25 + 300 * row[2] / all_answers for row in rows]
        axis.plot(sure, right, color=look["color"], linestyle=look["linestyle"], linewidth=2)
        axis.scatter(sure, right, s=sizes, color=look["color"], marker=look["marker"], label=name, alpha=0.8)
        told.append(f"{name}: " + ", ".join(f"{r:.0f} at {s:.0f}" for s, r in zip(sure, right, strict=True)))
    axis.set(xlabel="confidence, %", ylabel="accuracy, %", xlim=(0, 102), ylim=(0, 104))
    axis.grid(alpha=0.3)
    for mark in axis.legend(loc="upper left", frameon=False, fontsize=12).legend_handles:
        mark.set_sizes([60])
    return describe(fig, title, f"Accuracy over confidence, in per cent; equal is best. {'; '.join(told)}.")
