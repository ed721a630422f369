"""Curves: over epochs, while they grow, or over anything else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from IPython.display import HTML, display
from matplotlib.figure import Figure
from torch import Tensor

from kdkit.course.figures.axes import BLACK, LOOKS, SMALL, WIDTH, describe, new_axes, use_plain_ticks
from kdkit.course.figures.inputs import check_dict, finite
from kdkit.course.figures.labels import name_ends
from kdkit.course.figures.showing import image_tag

if TYPE_CHECKING:
    from kdkit.training import Run


def lines(
    x: Sequence[float] | Tensor,
    curves: Mapping[str, Sequence[float] | Tensor],
    *,
    xlabel: str,
    ylabel: str,
    title: str = "",
    log: str = "",
    marks: dict[str, float] | None = None,
) -> Figure:
    """One curve over ``x`` ``[N]`` for each entry of ``curves``, a dict of name to values ``[N]``, named at its end.

    ``log`` names logarithmic axes: "x", "y" or "xy". ``marks``, a dict of name to a place on the x axis, are vertical
    lines with their names above. Raises ``ValueError`` for values that are not finite, or not as many as ``x``.
    """
    check_dict("curves", curves)
    x = finite("x", x)
    values = {name: finite(f"curves[{name!r}]", each, len(x)) for name, each in curves.items()}
    fig, axes = new_axes(1, 1, (WIDTH, 4))
    axis = axes[0, 0]
    axis.set(xlabel=xlabel, ylabel=ylabel)
    for letter in log:
        axis.set(**{f"{letter}scale": "log"})
    _draw(axis, {name: (x, each) for name, each in values.items()})
    for letter in log:
        use_plain_ticks(getattr(axis, f"{letter}axis"))
    for number, (name, place) in enumerate((marks or {}).items()):
        axis.axvline(place, color=BLACK, linestyle=(":", "--")[number % 2], linewidth=1.5)
        look = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "ha": "center", "fontsize": SMALL}
        axis.annotate(name, (place, 1), (0, 4 + 15 * (number % 2)), **look)
    told = "; ".join(f"{name} {_course(x, each)}" for name, each in values.items())
    marked = "".join(f" Marked at {place:.3g}: {name}." for name, place in (marks or {}).items())
    describe(fig, title, f"{ylabel} over {xlabel}: {told}.{marked}")
    _name(axis, {name: (x, each) for name, each in values.items()})
    return fig


def _draw(axis, curves):
    """Draw each of ``curves``, a dict of name to its x and y."""
    for number, (x, y) in enumerate(curves.values()):
        axis.plot(x, y, markevery=max(1, len(x) // 12), **LOOKS[number % len(LOOKS)])
    axis.grid(alpha=0.3)


def _name(axis, curves):
    """Write the name of each of ``curves`` at its end."""
    colours = {name: str(LOOKS[number % len(LOOKS)]["color"]) for number, name in enumerate(curves)}
    name_ends(axis, {name: (x[-1], y[-1]) for name, (x, y) in curves.items()}, colours)


def _course(x, values):
    """In words: from where to where a curve goes, and a peak or a dip on the way."""
    said = f"from {values[0]:.3g} to {values[-1]:.3g}"
    for word, most, end in (
        ("highest", max(values), max(values[0], values[-1])),
        ("lowest", min(values), min(values[0], values[-1])),
    ):
        if most != end:
            said += f", {word} {most:.3g} at {x[values.index(most)]:.3g}"
    return said


def learning_curves(runs: dict[str, Run], *, title: str = "") -> Figure:
    """Validation accuracy over epochs: one curve for each entry of ``runs``, a dict of name to ``Run``."""
    epochs = [h["epoch"] for h in next(iter(runs.values())).history]
    curves = {name: [100 * h["val_accuracy"] for h in run.history] for name, run in runs.items()}
    fig = lines(epochs, curves, xlabel="epoch", ylabel="validation accuracy, %", title=title)
    fig.axes[0].xaxis.get_major_locator().set_params(integer=True)  # type: ignore[call-arg]  # the usual locator has it
    return fig


class LiveCurves:
    """Learning curves that grow while students train: ``kdkit.train(..., progress=curves.of("distilled"))``.

    ``epochs``: how many the x axis has. The picture stands in the output of the cell that trains, with all curves so
    far. Make a new one in that cell.
    """

    runs: dict[str, Run]
    _shown: Any

    def __init__(self, epochs: int):
        self.epochs, self.runs, self._shown = epochs, {}, None

    def of(self, name: str) -> Callable[[Run], None]:
        """What ``kdkit.train`` calls after each epoch of the student ``name``."""

        def draw(run):
            self.runs[name] = run
            picture = HTML(image_tag(self._figure()))
            if self._shown is None:
                self._shown = display(picture, display_id=True)
            else:
                self._shown.update(picture)

        return draw

    @property
    def sentence(self) -> str:
        """What the picture shows, its title: each student's accuracy, and how far the one is that trains."""
        said = ", ".join(f"{name} {run.val_accuracy:.1%}" for name, run in self.runs.items())
        epoch = len(list(self.runs.values())[-1].history)
        return f"Validation accuracy: {said} (epoch {epoch} of {self.epochs})"

    def _figure(self):
        fig, axes = new_axes(1, 1, (WIDTH, 4))
        curves = {
            name: ([h["epoch"] for h in run.history], [100 * h["val_accuracy"] for h in run.history])
            for name, run in self.runs.items()
        }
        axes[0, 0].set(xlim=(0.5, self.epochs + 0.5), xlabel="epoch", ylabel="validation accuracy, %")
        _draw(axes[0, 0], curves)
        describe(fig, self.sentence, "A curve over epochs for each of them.")
        _name(axes[0, 0], curves)
        return fig
