"""What all panels have in common: a live widget, and a still picture of it for pages without a kernel."""

import html
from collections.abc import Sequence
from pathlib import Path

import anywidget
import ipywidgets


class Panel(ipywidgets.VBox):
    """A box of controls; a subclass says in ``still`` what is seen where no widget can be shown."""

    def __init__(self, children: Sequence[ipywidgets.Widget]):
        super().__init__([*children, Looks()])
        self.add_class("kdkit-panel")

    def still(self) -> str:
        """HTML with the panel's picture and its alt text."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **kwargs):
        live = getattr(super(), "_repr_mimebundle_", None)  # ipywidgets 7, which Colab ships, shows widgets another way
        return {**(live(**kwargs) if live else {}), "text/html": self.still()}


class Looks(anywidget.AnyWidget):
    """The browser's side of every panel: how its sliders look, and what a screen reader says of them."""

    _esm = Path(__file__).with_name("panel.js")

    def __repr__(self):
        return "Looks()"


def steady(sentence: str, longest: str) -> str:
    """HTML of a sentence that changes, with room for the longest that it can become: what is below never moves."""
    words = f'<p aria-live="polite">{html.escape(sentence, quote=False)}</p>'
    return f'<div class="kdkit-steady" data-longest="{html.escape(longest)}">{words}</div>'
