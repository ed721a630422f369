"""Bars of what was measured in rounds: the middle round, the middle half, and the number beside."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from kdkit.course.figures.axes import BLACK, BLUE, ORANGE, SMALL, WIDTH, describe, new_axes
from kdkit.course.figures.inputs import check_dict
from kdkit.measure.profiling import Spread

FILLS = ({"color": BLUE, "hatch": ""}, {"color": ORANGE, "hatch": "//"})  # of the first bar of a row, of the second


def bars(rows: Mapping[str, Mapping[str, Spread]], *, xlabel: str, title: str = "") -> Figure:
    """Ratios: one or two bars in each of ``rows``, a dict of name to (a dict of name to ``Spread``).

    A bar ends at the median, its black line spans the middle half, its number and its name stand beside it; a dotted
    line marks 1, no difference. Raises ``ValueError`` for what is no such dict.
    """
    check_dict("rows", rows)
    for name, row in rows.items():
        check_dict(f"rows[{name!r}]", row)
        if len(row) > len(FILLS):
            raise ValueError(f"each row holds one or two bars; got {len(row)} in rows[{name!r}].")
    fig, axes = new_axes(1, 1, (WIDTH, 0.34 * sum(map(len, rows.values())) + 0.2 * len(rows) + 1.1))
    axis, place, places = axes[0, 0], 0.0, []
    for row in rows.values():
        places.append(place + (len(row) - 1) / 2)
        for (name, spread), fill in zip(row.items(), FILLS, strict=False):  # a row may have one
            _draw(axis, place, name, spread, fill)
            place += 1
        place += 0.6
    axis.axvline(1, color=BLACK, linewidth=1.5, linestyle=":")
    axis.set_yticks(places, list(rows))
    axis.set(xlabel=xlabel, ylim=(place - 0.9, -0.7))
    axis.margins(x=0.2)
    axis.set_xlim(left=0)
    told = (f"{name}: " + ", ".join(f"{s.median:.1f} ({bar})" for bar, s in row.items()) for name, row in rows.items())
    return describe(fig, title, f"Bars, {xlabel}. {'; '.join(told)}.")


def _draw(axis, place, name, spread, fill):
    low, high = spread.quartiles
    axis.barh(place, spread.median, 0.9, edgecolor=BLACK, linewidth=0.8, **fill)
    axis.plot([low, high], [place, place], color=BLACK, linewidth=2.5)
    beside = {"textcoords": "offset points", "va": "center", "fontsize": SMALL}
    axis.annotate(f"{spread.median:.1f}  {name}", (max(high, spread.median), place), (6, 0), **beside)
