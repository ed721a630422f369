"""One Transformer layer, drawn with the numbers that it computes for one token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kdkit.course.figures.axes import BLACK, ORANGE, SKY, WIDTH, describe, new_axes
from kdkit.course.figures.inputs import check_names
from kdkit.losses.arguments import whole

if TYPE_CHECKING:
    from kdkit.models.bert import LayerTrace

LINE = 0.22  # where the vector runs upward
BOX = {"boxstyle": "round,pad=0.45", "edgecolor": BLACK}
TEXT: dict[str, Any] = {"va": "center", "fontsize": 12}


def layer(
    trace: LayerTrace,
    tokens: Sequence[str],
    place: int,
    *,
    says: tuple[Mapping[str, float], Mapping[str, float]],
    title: str = "",
) -> Figure:
    """What a layer does to the token at ``place``: left what it looks at, right its vector on the way up.

    Parameters:
        trace: what ``bert.trace`` found for the L ``tokens``.
        says: what the classifier makes of the vector before and after the layer, dicts of token to probability.

    Raises ``ValueError`` unless there are L tokens and ``place`` is one of them.
    """
    check_names("tokens", tokens, len(trace.before))
    place = whole(place, "place", 0, len(tokens) - 1, "It is the number of a token.")
    fig, axes = new_axes(1, 2, (WIDTH, 5), width_ratios=[1, 2])
    looks, way = axes[0]
    _draw_looks(looks, trace.looks_at[place].tolist(), tokens)
    looks.set_title(f"{tokens[place]} looks at", fontsize=12)
    lengths = [vectors[place].norm().item() for vectors in _vectors(trace)]
    _draw_way(way, lengths, trace.before.shape[1], trace.inner.shape[1])
    for height, when, words in zip((0.07, 0.93), ("before", "after"), says, strict=True):
        said = [f"{when} it the classifier says", *(f"{word} {share:.0%}" for word, share in words.items())]
        way.text(0.57, height, "\n".join(said), **TEXT)
    ranked = sorted(zip(trace.looks_at[place].tolist(), tokens, strict=True), reverse=True)
    seen = ", ".join(f"{token} {share:.0%}" for share, token in ranked[:3])
    before, after = (" ".join(f"{word} {share:.0%}" for word, share in words.items()) for words in says)
    told = f"{tokens[place]} looks most at {seen}. The classifier says before the layer: {before}; after it: {after}."
    return describe(fig, title, told)


def _vectors(trace: LayerTrace):
    return trace.before, trace.from_attention, trace.from_network, trace.after


def _draw_looks(axis: Axes, shares: Sequence[float], tokens: Sequence[str]):
    """A bar for each token, in their order; the longest is hatched."""
    most = max(shares)
    for row, share in enumerate(shares):
        look: dict[str, Any] = {"color": ORANGE, "hatch": "//"} if share == most else {"color": SKY}
        axis.barh(row, share, linewidth=0.8, **look, edgecolor=BLACK)
        axis.text(share + 0.03 * most, row, f"{share:.0%}", **TEXT)
    axis.set_yticks(range(len(tokens)), tokens)
    axis.set(ylim=(len(tokens) - 0.5, -0.5), xlim=(0, 1.3 * most), xticks=[])
    axis.spines["bottom"].set_visible(False)


def _draw_way(axis: Axes, lengths: Sequence[float], width: int, inner: int):
    """The vector from below to above, and what is added to it."""
    before, from_attention, from_network, after = lengths
    for height, length in (0.07, before), (0.93, after):
        _write(axis, LINE, height, f"{width} numbers, length {length:.1f}", SKY)
    for height in 0.34, 0.66:
        _write(axis, LINE, height, "+", ORANGE)
    for low, high in (0.13, 0.29), (0.39, 0.61), (0.71, 0.87):
        _point(axis, (LINE, low), (LINE, high))
    _point(axis, (-0.12, 0.34), (LINE - 0.04, 0.34))
    axis.text(LINE + 0.06, 0.34, f"attention adds length {from_attention:.1f}", **TEXT)
    _point(axis, (0.5, 0.66), (LINE + 0.04, 0.66))
    text = f"small network {width} → {inner:,} → {width}\nadds length {from_network:.1f}"
    _write(axis, 0.74, 0.66, text, "white")
    _point(axis, (LINE, 0.5), (0.74, 0.58), style="angle,angleA=0,angleB=90")
    axis.set(xlim=(-0.12, 1.02), ylim=(0, 1))
    axis.axis("off")


def _write(axis: Axes, x: float, y: float, text: str, colour: str):
    axis.text(x, y, text, ha="center", **TEXT, bbox={**BOX, "facecolor": colour})


def _point(axis: Axes, start: tuple[float, float], end: tuple[float, float], style: str = "arc3"):
    look = {"arrowstyle": "-|>", "color": BLACK, "linewidth": 1.5, "connectionstyle": style}
    axis.annotate("", end, start, arrowprops=look, annotation_clip=False)
