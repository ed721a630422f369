"""Pictures for notebooks: made for a projector, colour-blind safe, each with a text for those who cannot see it.

Functions here return a ``matplotlib`` figure; ``show`` puts it on the page.
"""

import base64
import html
import io
import math

import torch
from IPython.display import HTML, display
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from kdkit.losses.arguments import whole

# Okabe and Ito 2008: colours that people with any kind of colour vision can tell apart
ORANGE, SKY, GREEN = "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, BLACK = "#0072B2", "#D55E00", "#000000"
LOOKS = (  # one for each curve: colour, marker and line style say the same thing
    {"color": BLUE, "marker": "o", "linestyle": "-"},
    {"color": VERMILION, "marker": "s", "linestyle": "--"},
    {"color": GREEN, "marker": "^", "linestyle": "-."},
    {"color": BLACK, "marker": "D", "linestyle": ":"},
    {"color": ORANGE, "marker": "v", "linestyle": (0, (6, 1, 1, 1, 1, 1))},
)
STYLE = {
    "font.size": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 13,
    "hatch.linewidth": 0.6,
    "savefig.facecolor": "white",
}
DPI = 110


def show(fig, alt):
    """Display ``fig`` as an image with the text ``alt``, which says what is to be seen. ``ValueError`` without it."""
    if not isinstance(fig, Figure):
        raise ValueError(f"fig must be a matplotlib Figure, as the functions here return it; got {type(fig).__name__}.")
    if not isinstance(alt, str) or not alt.strip():
        raise ValueError('a picture needs a text for those who cannot see it: show(fig, alt="What is to be seen").')
    display(HTML(image_tag(fig, alt)))


def image_tag(fig, alt):
    """``fig`` as HTML: ``<img>`` with its picture inside and its ``alt`` text."""
    picture = io.BytesIO()
    with rc_context(STYLE):
        fig.savefig(picture, format="png", dpi=DPI, bbox_inches="tight")
    content = base64.b64encode(picture.getvalue()).decode()
    return f'<img alt="{escaped(alt)}" src="data:image/png;base64,{content}" style="max-width:100%">'


def escaped(text):
    """``text`` for use inside HTML."""
    return html.escape(text)


class Table:
    """``rows``, a dict of name to (a dict of column to text): a table on the page, aligned text in a terminal."""

    def __init__(self, rows):
        good = isinstance(rows, dict) and rows and all(isinstance(row, dict) and row for row in rows.values())
        if not good:
            raise ValueError(f"rows must be a dict of name to (a dict of column to text); got {rows!r}.")
        self.rows = rows
        self.columns = list(next(iter(rows.values())))

    def __repr__(self):
        lines = [["", *self.columns], *([name, *row.values()] for name, row in self.rows.items())]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        aligned = [[first.ljust(widths[0]), *map(str.rjust, rest, widths[1:])] for first, *rest in lines]
        return "\n".join("  ".join(line).rstrip() for line in aligned)

    def _repr_html_(self):
        head = "".join(f'<th scope="col">{escaped(column)}</th>' for column in self.columns)
        body = ""
        for name, row in self.rows.items():
            cells = "".join(f"<td>{escaped(cell)}</td>" for cell in row.values())
            body += f'<tr><th scope="row">{escaped(name)}</th>{cells}</tr>'
        return f"<table><thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table>"


def pictures(images, captions=None, columns=10):
    """Images, uint8 ``[N, C, H, W]``, in rows of ``columns``, enlarged without blur."""
    check_images("images", images, 4)
    columns = min(whole(columns, "columns", 1), len(images))
    if captions is not None:
        check_names("captions", captions, len(images))
    rows = -(-len(images) // columns)
    fig, axes = _axes(rows, columns, (1.25 * columns, (1.55 if captions else 1.3) * rows))
    for axis in axes.flat:
        axis.axis("off")
    for number, (axis, image) in enumerate(zip(axes.flat, images, strict=False)):
        _draw_image(axis, image)
        if captions:
            axis.set_title(captions[number], fontsize=10)
    return fig


def soft_target(probabilities, classes, *, image=None, label=None, student=None, title="what the teacher says"):
    """The probabilities ``[C]`` that a network gives, on a log scale, so that the almost-zero ones can be compared.

    ``label`` is the number of the true class (its bar is hatched); ``image``, uint8 ``[C, H, W]``, stands beside;
    ``student``, the probabilities of another network, are dotted bars to the right of each.
    """
    values = _chances("probabilities", probabilities, classes)
    _check_label(label, classes)
    if student is not None:
        student = _chances("student", student, classes)
    if image is not None:
        check_images("image", image, 3)
    fig, axes = _axes(1, 1, (8, 3.8)) if image is None else _axes(1, 2, (10, 3.8), width_ratios=[1, 3])
    bars = axes[0, -1]
    if image is not None:
        axes[0, 0].axis("off")
        axes[0, 0].set_title("" if label is None else f"label: {classes[label]}")
        _draw_image(axes[0, 0], image)
    foot = max(1e-12, min(1e-5, 0.5 * min(values)))  # a log scale has no 0
    _draw_bars(bars, values, classes, label, ".2g" if student is None else None, student)
    bars.set(yscale="log", ylim=(foot, 4), ylabel="probability (log scale)", title=title)
    return fig


def hard_and_soft(probabilities, classes, label):
    """A hard label beside a soft target ``[C]`` on the same scale, and the soft target's small values magnified."""
    values = _chances("probabilities", probabilities, classes)
    _check_label(label, classes)
    small = [0.0 if number == label else value for number, value in enumerate(values)]
    panels = {
        "the hard label": [float(number == label) for number in range(len(classes))],
        "the soft target": values,
        f"magnified {1 / max(max(small), 1e-12):,.0f} times, label left out": small,
    }
    fig = side_by_side(panels, classes, label)
    fig.axes[2].set(ylim=(0, 1.05 * max(*small, 1e-12)))
    return fig


def side_by_side(panels, classes, label):
    """Bars of several distributions ``[C]``, a dict of title to values, on one scale; ``label`` is the true class."""
    _check_dict("panels", panels)
    _check_label(label, classes)
    panels = {title: _chances(f"panels[{title!r}]", values, classes) for title, values in panels.items()}
    fig, axes = _axes(1, len(panels), (13, 3.8))
    for axis, (title, values) in zip(axes[0], panels.items(), strict=True):
        _draw_bars(axis, values, classes, label, None)
        axis.set(title=title, ylabel="probability", ylim=(0, 1.05))
    return fig


def matrix(values, classes, title="mean soft target"):
    """Mean soft targets ``[C, C]``, one row a true class, as powers of ten: 0 is 1, -3 a thousandth."""
    rows = [_chances("a row of values", row, classes) for row in parts("values", values)]
    if len(rows) != len(classes):
        raise ValueError(f"values must be [{len(classes)}, {len(classes)}], a row a class; got {len(rows)} rows.")
    values = torch.tensor(rows)
    fig, axes = _axes(1, 1, (8.6, 6.4))
    axis = axes[0, 0]
    powers = values.clamp(min=1e-12).log10()
    shown = axis.imshow(powers.numpy(), cmap="cividis", vmin=-6, vmax=0)
    for row, column in [(row, column) for row in range(len(classes)) for column in range(len(classes))]:
        power = powers[row, column].item()
        colour = "black" if power > -2.5 else "white"
        axis.text(
            column, row, f"{power:.1f}" if power < -0.05 else "0", ha="center", va="center", color=colour, fontsize=10
        )
    axis.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
    axis.set_yticks(range(len(classes)), classes)
    axis.set(xlabel="the network's answer", ylabel="the true class", title=f"{title}, powers of ten")
    axis.spines[:].set_visible(False)
    fig.colorbar(shown, ax=axis, shrink=0.8, extend="min")
    return fig


def tree(linkage, classes):
    """A tree of classes from ``scipy.cluster.hierarchy.linkage``: what is confused often meets far on the right."""
    from scipy.cluster.hierarchy import dendrogram

    fig, axes = _axes(1, 1, (8, 4.2))
    axis = axes[0, 0]
    look = {"color_threshold": 0, "above_threshold_color": BLUE}
    dendrogram(linkage, labels=list(classes), orientation="left", ax=axis, **look)
    axis.tick_params(axis="y", labelsize=13)
    axis.set(xlabel="distance: how many powers of ten below certainty they are confused")
    axis.spines["left"].set_visible(False)
    return fig


def in_words(probabilities, classes):
    """The probabilities ``[C]`` from the highest to the lowest, as an alt text: "chair 0.97, armchair 0.03, ..."."""
    ranked = sorted(zip(_chances("probabilities", probabilities, classes), classes, strict=True), reverse=True)
    return ", ".join(f"{name} {value:.2g}" for value, name in ranked) + "."


def learning_curves(runs, measure="val_accuracy", ylabel="validation accuracy"):
    """One curve for each entry of ``runs``, a dict of name to ``Run``."""
    epochs = [h["epoch"] for h in next(iter(runs.values())).history]
    curves = {name: [h[measure] for h in run.history] for name, run in runs.items()}
    fig = lines(epochs, curves, "epoch", ylabel)
    fig.axes[0].xaxis.get_major_locator().set_params(integer=True)
    return fig


class LiveCurves:
    """Learning curves that grow while students train: ``kdkit.train(..., progress=curves.of("distilled"))``.

    The picture stands in the output of the cell that trains, with all curves so far. Make a new one in that cell.
    """

    def __init__(self, epochs):
        self.epochs, self.runs, self._shown = epochs, {}, None

    def of(self, name):
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
    def sentence(self):
        """What the picture shows, in words."""
        said = [
            f"{name} {run.val_accuracy:.1%} after {len(run.history)} of {self.epochs} epochs"
            for name, run in self.runs.items()
        ]
        return f"Validation accuracy: {'; '.join(said)}."

    def _figure(self):
        fig, axes = _axes(1, 1, (8, 4))
        for number, (name, run) in enumerate(self.runs.items()):
            epochs, reached = zip(*((h["epoch"], h["val_accuracy"]) for h in run.history), strict=True)
            axes[0, 0].plot(epochs, reached, label=name, **LOOKS[number % len(LOOKS)])
        axes[0, 0].set(xlim=(0.5, self.epochs + 0.5), xlabel="epoch", ylabel="validation accuracy")
        axes[0, 0].grid(alpha=0.3)
        axes[0, 0].legend(frameon=False, loc="lower right")
        return fig


def lines(x, curves, xlabel, ylabel, *, log="", marks=None):
    """One curve over ``x`` for each entry of ``curves``, a dict of name to values; ``log`` names logarithmic axes.

    ``marks``, a dict of name to a place on the x axis, are drawn as vertical lines.
    """
    _check_dict("curves", curves)
    x = _numbers("x", x)
    fig, axes = _axes(1, 1, (8, 4))
    axis = axes[0, 0]
    for number, (name, values) in enumerate(curves.items()):
        look = LOOKS[number % len(LOOKS)]
        axis.plot(x, _numbers(f"curves[{name!r}]", values, len(x)), label=name, markevery=max(1, len(x) // 12), **look)
    for number, (name, place) in enumerate((marks or {}).items()):
        axis.axvline(place, color=BLACK, linestyle=(":", "--")[number % 2], linewidth=1.5, label=name)
    axis.set(xlabel=xlabel, ylabel=ylabel)
    for letter in log:
        axis.set(**{f"{letter}scale": "log"})
        _in_plain_numbers(getattr(axis, f"{letter}axis"))
    axis.grid(alpha=0.3)
    axis.legend(frameon=False)
    return fig


def scatter(x, y, names, xlabel, ylabel, named=()):
    """Points, the y axis logarithmic; those whose place is in ``named`` carry their name."""
    fig, axes = _axes(1, 1, (8, 4.6))
    axis = axes[0, 0]
    x, y = _floats(x), _floats(y)
    axis.scatter(x, y, color=BLUE, edgecolor=BLACK, s=50)
    axis.set(yscale="log", xlabel=xlabel, ylabel=ylabel)
    _in_plain_numbers(axis.yaxis)
    axis.grid(alpha=0.3)
    _name_points(axis, [(names[number], (x[number], y[number])) for number in named], list(zip(x, y, strict=True)))
    return fig


BESIDE = (  # where a name may stand: its offset from the point, in points, and its alignment
    *((0, -16, "center"), (0, 8, "center"), (9, -4, "left"), (-9, -4, "right")),
    *((7, 5, "left"), (-7, 5, "right"), (7, -13, "left"), (-7, -13, "right")),
)


def _name_points(axis, named, points):
    """Write each name beside its point: where it meets no other name and no edge, and is nearest to its own point.

    Each name in turn takes the place that breaks this least, given where the others stand, until none moves any more.
    """
    axis.figure.draw_without_rendering()  # places everything, so that names have sizes
    look = {"textcoords": "offset points", "fontsize": 10, "in_layout": False}  # so that no name moves the axes again
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


def gains(temperatures, results, title, ylim):
    """Gains in points with their 95 % intervals over temperature; ``results``: a dict of name to ``Paired`` values.

    ``ylim``: the ends of the y axis, the same for figures that are compared.
    """
    fig, axes = _axes(1, 1, (8, 4))
    axis = axes[0, 0]
    axis.axhline(0, color=BLACK, linewidth=1)
    for number, (name, pairs) in enumerate(results.items()):
        look = LOOKS[number % len(LOOKS)]
        middle = [100 * pair.mean for pair in pairs]
        reach = [100 * (pair.high - pair.mean) for pair in pairs]
        places = [temperature * 1.07 ** (number - 1) for temperature in temperatures]
        axis.errorbar(places, middle, yerr=reach, label=name, capsize=4, **look)
    axis.set(xscale="log", xlabel="temperature", ylabel="gain in points", title=title, ylim=ylim)
    axis.set_xticks(temperatures, [f"{temperature:g}" for temperature in temperatures])
    axis.minorticks_off()
    axis.grid(axis="y", alpha=0.3)
    axis.legend(frameon=False, fontsize=11)
    return fig


def intervals(results, xlabel="gain in points, 95 % interval"):
    """One row for each entry of ``results``, a dict of name to ``Paired``: the interval, its mean, each pair's value.

    Filled circles and solid lines where the interval leaves out 0, hollow and dashed where no difference is shown.
    """
    fig, axes = _axes(1, 1, (9, 0.55 * len(results) + 1.2))
    axis = axes[0, 0]
    axis.axvline(0, color=BLACK, linewidth=1)
    for row, pair in enumerate(results.values()):
        shown = pair.low > 0 or pair.high < 0
        low, middle, high = (100 * value for value in (pair.low, pair.mean, pair.high))
        axis.plot([low, high], [row, row], color=BLUE, linestyle="-" if shown else "--", linewidth=2)
        axis.plot(middle, row, "o", color=BLUE, markerfacecolor=BLUE if shown else "white", markersize=9)
        values = [100 * value for value in pair.differences]
        axis.plot(values, [row + 0.22] * len(values), "|", color=VERMILION, markersize=8)
    axis.set(xlabel=xlabel, ylim=(len(results) - 0.5, -0.6))
    axis.set_yticks(range(len(results)), list(results))
    axis.grid(axis="x", alpha=0.3)
    return fig


def change(before, after, classes):
    """How two confusion matrices ``[C, C]`` (counts, one row a true class) differ: after minus before.

    Orange with a plus is more often than before, violet with a minus less often.
    """
    fig, axes = _axes(1, 1, (8.6, 6.4))
    axis, difference = axes[0, 0], (after - before).numpy()
    reach = max(1, abs(difference).max())
    shown = axis.imshow(difference, cmap="PuOr_r", vmin=-reach, vmax=reach)
    for row, column in [(row, column) for row in range(len(classes)) for column in range(len(classes))]:
        value = int(difference[row, column])
        colour = "white" if abs(value) > 0.6 * reach else "black"
        axis.text(column, row, f"{value:+d}" if value else "0", ha="center", va="center", color=colour, fontsize=10)
    axis.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
    axis.set_yticks(range(len(classes)), classes)
    axis.set(
        xlabel="the student's answer",
        ylabel="the true class",
        title="pictures more (+) or fewer (-); diagonal: right answers",
    )
    axis.spines[:].set_visible(False)
    fig.colorbar(shown, ax=axis, shrink=0.8)
    return fig


def ratios(values, shown, rows, columns, ylabel, xlabel, title, border=None):
    """A table of ratios ``[R, C]``, coloured on a scale on which twice and half as much are as far from 1.

    Cells that are not ``shown`` (a table of truth values) are hatched, and their number stands in brackets. A thick
    line parts those of at least ``border`` from the others.
    """
    fig, axes = _axes(1, 1, (1.15 * len(columns) + 2.6, 0.62 * len(rows) + 1.6))
    axis, powers = axes[0, 0], [[math.log2(value) for value in row] for row in values]
    reach = max(0.5, *(abs(power) for row in powers for power in row))
    drawn = axis.imshow(powers, cmap="PuOr_r", vmin=-reach, vmax=reach, aspect="auto")
    for row, column in [(row, column) for row in range(len(rows)) for column in range(len(columns))]:
        text, dark = f"{values[row][column]:.2f}", abs(powers[row][column]) > 0.6 * reach
        if not shown[row][column]:
            text = f"({text})"
            look = {"fill": False, "hatch": "//", "edgecolor": "grey", "linewidth": 0}
            axis.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, **look))
        axis.text(column, row, text, ha="center", va="center", color="white" if dark else "black", fontsize=12)
    if border is not None:
        for ends in _edges([[value >= border for value in row] for row in values]):
            axis.plot(*ends, color=BLACK, linewidth=4, solid_capstyle="round")
    axis.set_xticks(range(len(columns)), columns)
    axis.set_yticks(range(len(rows)), rows)
    axis.set(xlabel=xlabel, ylabel=ylabel, title=title)
    axis.spines[:].set_visible(False)
    bar = fig.colorbar(drawn, ax=axis, shrink=0.8)
    bar.ax.yaxis.set_major_formatter(lambda power, _: f"{2**power:.2g}")
    return fig


def _edges(inside):
    """The lines ``([x, x], [y, y])`` between neighbours in a table of truth values of which one is true alone."""
    for row, values in enumerate(inside):
        for column, value in enumerate(values):
            if column + 1 < len(values) and value != values[column + 1]:
                yield [column + 0.5] * 2, [row - 0.5, row + 0.5]
            if row + 1 < len(inside) and value != inside[row + 1][column]:
                yield [column - 0.5, column + 0.5], [row + 0.5] * 2


def predictors(columns, y, groups, ylabel):
    """``y`` over each of ``columns``, a dict of name to numbers, side by side; one look for each name in ``groups``."""
    fig, axes = _axes(1, len(columns), (4.2 * len(columns), 4), wspace=0.1)
    names = list(dict.fromkeys(groups))
    for axis, (xlabel, x) in zip(axes[0], columns.items(), strict=True):
        for number, name in enumerate(names):
            own = [place for place, group in enumerate(groups) if group == name]
            look = {**LOOKS[number % len(LOOKS)], "linestyle": "", "label": name}
            axis.plot([float(x[place]) for place in own], [float(y[place]) for place in own], **look)
        axis.set(xlabel=xlabel, xscale="log", yscale="log")
        axis.grid(alpha=0.3)
        _in_plain_numbers(axis.xaxis)
        _in_plain_numbers(axis.yaxis)
    axes[0, 0].set(ylabel=ylabel)
    fig.legend(*axes[0, 0].get_legend_handles_labels(), frameon=False, loc="outside upper center", ncols=len(names))
    return fig


def pairs(first, second, names, ylabel="test accuracy"):
    """Paired results, one pair a seed: a line from each value of ``first`` to its partner in ``second``."""
    fig, axes = _axes(1, 1, (5, 3.8))
    axis = axes[0, 0]
    for seed, (before, after) in enumerate(zip(first, second, strict=True)):
        look = LOOKS[seed % len(LOOKS)]
        axis.plot([0, 1], [before, after], label=f"seed {seed}", **look)
    axis.set(xticks=[0, 1], xticklabels=names, xlim=(-0.3, 1.3), ylabel=ylabel)
    axis.grid(axis="y", alpha=0.3)
    axis.legend(frameon=False)
    return fig


def _axes(rows, columns, size, **grid):
    with rc_context(STYLE):
        fig = Figure(figsize=size, layout="constrained")
        axes = fig.subplots(rows, columns, squeeze=False, gridspec_kw=grid)
    return fig, axes


def _in_plain_numbers(axis):
    """Ticks of a logarithmic axis as people write them: 0.5, 20, 1 M. Over a wide range only powers of ten."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 300 * low else (1,)))
    axis.set_major_formatter(_written)
    axis.set_minor_formatter(NullFormatter())


def _written(value, _=None):
    power = round(math.log10(value))
    if value < 0.001 and math.isclose(value, 10**power):
        return f"$10^{{{power}}}$"
    return f"{value:g}" if value < 1000 else EngFormatter()(value)


def _floats(values):
    """Numbers that matplotlib takes without a warning, whether they come as a list or as a tensor."""
    return [float(value) for value in values]


def parts(name, values):
    """``values`` as a list. ``ValueError`` for what has no parts, or no place in memory."""
    try:
        return [] if isinstance(values, str) else list(values)
    except (TypeError, RuntimeError, NotImplementedError):
        raise ValueError(f"{name} must be several, such as a list or a tensor; got {type(values).__name__}.") from None


def _numbers(name, values, count=None):
    """``values`` as finite floats, ``count`` of them if that is given; ``ValueError`` for anything else."""
    try:
        found = _floats(parts(name, values))
    except (TypeError, ValueError, RuntimeError, OverflowError):
        found = []
    if not found or count not in (None, len(found)) or not all(map(math.isfinite, found)):
        many = "" if count is None else f"{count} "
        raise ValueError(f"{name} must be {many}finite numbers, a list or a 1-D tensor; got {values!r}.")
    return found


def _chances(name, values, classes):
    """Probabilities, one for each of ``classes``, as floats; ``ValueError`` for anything else."""
    check_names("classes", classes)
    found = _numbers(name, values, len(classes))
    if not all(-1e-6 <= value <= 1 + 1e-6 for value in found):
        raise ValueError(f"{name} must be probabilities, from 0 to 1; got {found}. (Take the softmax of logits.)")
    return found


def check_names(name, names, count=None):
    """``ValueError`` unless these are texts, ``count`` of them if that is given."""
    good = isinstance(names, list | tuple) and names and all(isinstance(each, str) for each in names)
    if not good or count not in (None, len(names)):
        many = "" if count is None else f"{count} "
        raise ValueError(f"{name} must be a list or tuple of {many}texts; got {names!r}.")


def _check_label(label, classes):
    check_names("classes", classes)
    if label is not None:
        whole(label, "label", 0, len(classes) - 1, "It is the number of the true class.")


def _check_dict(name, values):
    if not isinstance(values, dict) or not values:
        raise ValueError(f"{name} must be a dict of name to numbers; got {values!r}.")


def check_images(name, images, axes):
    """``ValueError`` unless these are uint8 images, ``[N, C, H, W]`` or, with three ``axes``, one, ``[C, H, W]``."""
    plain = isinstance(images, torch.Tensor) and images.layout == torch.strided and not images.is_meta
    good = plain and images.dtype == torch.uint8 and images.ndim == axes and images.shape[-3] in (1, 3)
    if not good or images.numel() == 0:
        got = f"{images.dtype} {list(images.shape)}" if plain else type(images).__name__
        shape = "[N, C, H, W]" if axes == 4 else "[C, H, W]"
        raise ValueError(f"{name} must be uint8 {shape} of 1 or 3 channels; got {got}.")


def _draw_image(axis, image):
    pixels = image.permute(1, 2, 0).numpy()
    axis.imshow(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels, cmap="gray", interpolation="nearest")


def _draw_bars(axis, values, classes, label, numbers, student=None):
    """Bars; that of the true class is hatched. ``numbers``: how their values are written above them, or None."""
    places, wide = range(len(classes)), 0.8 if student is None else 0.4
    look = {"edgecolor": BLACK, "linewidth": 0.8}
    drawn = axis.bar([place - (0.4 - wide / 2) for place in places], values, wide, color=SKY, label="teacher", **look)
    if student is not None:
        axis.bar(
            [place + 0.2 for place in places],
            _floats(student),
            wide,
            color=VERMILION,
            hatch="..",
            label="student",
            **look,
        )
        axis.legend(frameon=False)
    if label is not None:
        drawn[label].set(facecolor=ORANGE, hatch="//")
    axis.set_xticks(places, classes, rotation=45, ha="right", rotation_mode="anchor")
    for bar, value in zip(drawn, values, strict=True) if numbers else ():
        place = bar.get_x() + bar.get_width() / 2, value
        axis.annotate(format(value, numbers), place, ha="center", va="bottom", fontsize=9)
