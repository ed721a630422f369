"""Prepared pictures behind a slider: for results that were measured beforehand."""

from pathlib import Path

import anywidget
import ipywidgets
import traitlets
from matplotlib.figure import Figure

from kdkit.course import figures
from kdkit.course.widgets.panel import Panel, steady


class FlipBook(Panel):
    """A slider that turns pages. Each page is a figure with a sentence, its alt text; it stands below as well.

    Parameters: ``pages``, a dict of the slider's labels to ``(figure, sentence)``; ``description``, what the slider
    chooses. From code: ``book.slider.index = 1``. It works without a kernel too.

    Raises ``ValueError`` for no page, and for what is none.
    """

    def __init__(self, pages: dict[str, tuple[Figure, str]], description: str):
        if not isinstance(pages, dict) or not pages or not all(map(_is_page, pages.values())):
            raise ValueError("a flip book needs at least one page: a dict of label to (figure, sentence).")
        if not isinstance(description, str):
            raise ValueError(f"description must be a text, what the slider chooses; got {description!r}.")
        self.sentences = [sentence for _, sentence in pages.values()]
        longest = max(self.sentences, key=len)
        shown = [figures.image_tag(fig, sentence) + steady(sentence, longest) for fig, sentence in pages.values()]
        self.slider = ipywidgets.SelectionSlider(
            options=list(pages),
            description=description,
            style={"description_width": "initial"},
            layout={"width": "98%"},
        )
        self.pages = Pages(pages=shown)
        super().__init__([self.slider, self.pages], [((self.slider, "index"), (self.pages, "page"))])

    @property
    def sentence(self) -> str:
        """What the open page says."""
        return self.sentences[self.slider.index]

    @property
    def state(self) -> str:
        """The label of the open page; set it to open another. Raises ``ValueError`` for a label that is none."""
        return str(self.slider.value)

    @state.setter
    def state(self, text: str):
        labels = [str(option) for option in self.slider.options]
        if text not in labels:
            raise ValueError(f"there is no page {text!r}; there are: {', '.join(labels)}.")
        self.slider.index = labels.index(text)

    def __repr__(self):
        return f"FlipBook({self.slider.description} {self.state}: {self.sentence})"

    def still(self) -> str:
        """The open page."""
        return self.pages.pages[self.slider.index]


def _is_page(page):
    return isinstance(page, tuple) and len(page) == 2 and isinstance(page[0], Figure) and isinstance(page[1], str)


class Pages(anywidget.AnyWidget):
    """The browser's side of a flip book."""

    _esm = Path(__file__).with_name("flipbook.js")
    pages = traitlets.List(traitlets.Unicode()).tag(sync=True)
    page = traitlets.Int(0).tag(sync=True)

    def __repr__(self):
        return f"Pages({len(self.pages)})"
