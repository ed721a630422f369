"""What puts a figure or a table on the page, for those who cannot see it too."""

import base64
import html
import io

from IPython.display import HTML, display
from matplotlib import rc_context
from matplotlib.figure import Figure

from kdkit.course.figures.axes import STYLE

DPI = 110


def show(fig: Figure, alt: str | None = None) -> None:
    """Display ``fig`` as an image with the text ``alt``, which says what is to be seen; None: the figure's own text.

    Raises ``ValueError`` for a figure without such a text, and for what is no matplotlib ``Figure``.
    """
    display(HTML(image_tag(fig, alt)))


def image_tag(fig: Figure, alt: str | None = None) -> str:
    """``fig`` as HTML: ``<img>`` with its picture inside and the text ``alt``. Raises ``ValueError`` as ``show``."""
    if not isinstance(fig, Figure):
        raise ValueError(f"fig must be a matplotlib Figure, as the functions here return it; got {type(fig).__name__}.")
    alt = str(fig.get_label()) if alt is None else alt
    if not isinstance(alt, str) or not alt.strip():
        raise ValueError('a picture needs a text for those who cannot see it: show(fig, alt="What is to be seen").')
    picture = io.BytesIO()
    with rc_context(STYLE):
        fig.savefig(picture, format="png", dpi=DPI, bbox_inches="tight")
    content = base64.b64encode(picture.getvalue()).decode()
    return f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{content}" style="max-width:100%">'


class Table:
    """``rows``, a dict of name to (a dict of column to text): a table on the page, aligned text in a terminal.

    Raises ``ValueError`` for rows of another kind.
    """

    def __init__(self, rows: dict[str, dict[str, str]]):
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
        head = "".join(f'<th scope="col">{html.escape(column)}</th>' for column in self.columns)
        body = ""
        for name, row in self.rows.items():
            cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in row.values())
            body += f'<tr><th scope="row">{html.escape(name)}</th>{cells}</tr>'
        return f"<table><thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table>"
