"""Curves: over epochs, while they grow, or over anything else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from IPython.display import HTML, display
from matplotlib.figure import Figure
from torch import Tensor

from kdkit.course.figures.axes import BLACK, LOOKS, new_axes, use_plain_ticks
from kdkit.course.figures.inputs import check_dict, finite
from kdkit.course.figures.showing import image_tag

if TYPE_CHECKING:
    from kdkit.training import Run


def lines(
    x: Sequence[float] | Tensor,
    curves: Mapping[str, Sequence[float] | Tensor],
    xlabel: str,
    ylabel: str,
    *,
    log: str = "",
    marks: dict[str, float] | None = None,
) -> Figure:
    """One curve over ``x`` ``[N]`` for each entry of ``curves``, a dict of name to values ``[N]``.

    ``log`` names logarithmic axes: "x", "y" or "xy". ``marks``, a dict of name to a place on the x axis, are drawn as
    vertical lines. Raises ``ValueError`` for values that are not finite, or not as many as ``x``.
    """
    check_dict("curves", curves)
    x = finite("x", x)
    fig, axes = new_axes(1, 1, (8, 4))
    axis = axes[0, 0]
    for number, (name, values) in enumerate(curves.items()):
        look = LOOKS[number % len(LOOKS)]
        axis.plot(x, finite(f"curves[{name!r}]", values, len(x)), label=name, markevery=max(1, len(x) // 12), **look)
    for number, (name, place) in enumerate((marks or {}).items()):
        axis.axvline(place, color=BLACK, linestyle=(":", "--")[number % 2], linewidth=1.5, label=name)
    axis.set(xlabel=xlabel, ylabel=ylabel)
    for letter in log:
        axis.set(**{f"{letter}scale": "log"})
        use_plain_ticks(getattr(axis, f"{letter}axis"))
    axis.grid(alpha=0.3)
    axis.legend(frameon=False)
    return fig


def learning_curves(runs: dict[str, Run]) -> Figure:
    """Validation accuracy over epochs: one curve for each entry of ``runs``, a dict of name to ``Run``."""
    epochs = [h["epoch"] for h in next(iter(runs.values())).history]
    curves = {name: [h["val_accuracy"] for h in run.history] for name, run in runs.items()}
    fig = lines(epochs, curves, "epoch", "validation accuracy")
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
            picture = HTML(image_tag(self._figure(), self.sentence))
            if self._shown is None:
                self._shown = display(picture, display_id=True)
            else:
                self._shown.update(picture)

        return draw

    @property
    def sentence(self) -> str:
        """What the picture shows, in words."""
        said = [
            f"{name} {run.val_accuracy:.1%} after {len(run.history)} of {self.epochs} epochs"
            for name, run in self.runs.items()
        ]
        return f"Validation accuracy: {'; '.join(said)}."

    def _figure(self):
        fig, axes = new_axes(1, 1, (8, 4))
        for number, (name, run) in enumerate(self.runs.items()):
            epochs, accuracies = zip(*((h["epoch"], h["val_accuracy"]) for h in run.history), strict=True)
            axes[0, 0].plot(epochs, accuracies, label=name, **LOOKS[number % len(LOOKS)])
        axes[0, 0].set(xlim=(0.5, self.epochs + 0.5), xlabel="epoch", ylabel="validation accuracy")
        axes[0, 0].grid(alpha=0.3)
        axes[0, 0].legend(frameon=False, loc="lower right")
        return fig
