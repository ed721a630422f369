"""Pictures for notebooks: made for a projector, colour-blind safe, each with a text for those who cannot see it.

Functions here return a ``matplotlib`` figure; ``show`` puts it on the page.
"""

import base64
import html
import io

from IPython.display import HTML, display
from matplotlib import rc_context
from matplotlib.figure import Figure

# Okabe and Ito 2008: colours that people with any kind of colour vision can tell apart
ORANGE, SKY, GREEN = "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, BLACK = "#0072B2", "#D55E00", "#000000"
LOOKS = (  # one for each curve: colour, marker and line style say the same thing
    {"color": BLUE, "marker": "o", "linestyle": "-"},
    {"color": VERMILION, "marker": "s", "linestyle": "--"},
    {"color": GREEN, "marker": "^", "linestyle": "-."},
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
    if not alt or not alt.strip():
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


def pictures(images, captions=None, columns=10):
    """Images, uint8 ``[N, C, H, W]``, in rows of ``columns``, enlarged without blur."""
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    fig, axes = _axes(rows, columns, (1.25 * columns, (1.55 if captions else 1.3) * rows))
    for axis in axes.flat:
        axis.axis("off")
    for number, (axis, image) in enumerate(zip(axes.flat, images, strict=False)):
        _draw_image(axis, image)
        if captions:
            axis.set_title(captions[number], fontsize=11)
    return fig


def soft_target(probabilities, classes, *, image=None, label=None):
    """The probabilities ``[C]`` that a network gives, on a log scale, so that the almost-zero ones can be compared.

    ``label`` is the number of the true class (its bar is hatched); ``image``, uint8 ``[C, H, W]``, stands beside.
    """
    fig, axes = _axes(1, 1, (8, 3.8)) if image is None else _axes(1, 2, (10, 3.8), width_ratios=[1, 3])
    bars = axes[0, -1]
    if image is not None:
        axes[0, 0].axis("off")
        axes[0, 0].set_title("" if label is None else f"label: {classes[label]}")
        _draw_image(axes[0, 0], image)
    values = [float(value) for value in probabilities]
    drawn = bars.bar(classes, values, color=SKY, edgecolor=BLACK, linewidth=0.8)
    if label is not None:
        drawn[label].set(facecolor=ORANGE, hatch="//")
    foot = max(1e-12, min(1e-5, 0.5 * min(values)))  # a log scale has no 0
    bars.set(yscale="log", ylim=(foot, 4), ylabel="probability (log scale)")
    bars.set_title("what the teacher says")
    bars.tick_params(axis="x", rotation=45)
    for bar, value in zip(drawn, values, strict=True):
        bars.annotate(f"{value:.2g}", (bar.get_x() + bar.get_width() / 2, value), ha="center", va="bottom", fontsize=9)
    return fig


def in_words(probabilities, classes):
    """The probabilities ``[C]`` from the highest to the lowest, as an alt text: "chair 0.97, armchair 0.03, ..."."""
    ranked = sorted(zip(map(float, probabilities), classes, strict=True), reverse=True)
    return ", ".join(f"{name} {value:.2g}" for value, name in ranked) + "."


def learning_curves(runs, measure="val_accuracy", ylabel="validation accuracy"):
    """One curve for each entry of ``runs``, a dict of name to ``Run``."""
    fig, axes = _axes(1, 1, (7, 3.6))
    axis = axes[0, 0]
    for number, (name, run) in enumerate(runs.items()):
        look = LOOKS[number % len(LOOKS)]
        axis.plot([h["epoch"] for h in run.history], [h[measure] for h in run.history], label=name, **look)
    axis.set(xlabel="epoch", ylabel=ylabel)
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.grid(alpha=0.3)
    axis.legend(frameon=False)
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


def _draw_image(axis, image):
    pixels = image.permute(1, 2, 0).numpy()
    axis.imshow(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels, cmap="gray", interpolation="nearest")
