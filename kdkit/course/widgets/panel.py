"""What all panels have in common: a live widget, and a still picture of it for pages without a kernel."""

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets


class Panel(ipywidgets.VBox):
    """A box of controls; a subclass says in ``still`` what is seen where no widget can be shown.

    Parameters: ``children``, the controls; ``links``, pairs of (control, trait) of which the second follows the first
    in the browser, without the kernel.
    """

    def __init__(self, children: Sequence[ipywidgets.Widget], links: Sequence[tuple[tuple, tuple]] = ()):
        self.links = tuple(links)
        for source, target in self.links:
            ipywidgets.jslink(source, target)
        super().__init__([*children, Looks()])
        self.add_class("kdkit-panel")

    def still(self) -> str:
        """HTML with the panel's picture and its alt text."""
        raise NotImplementedError

    def alive(self) -> dict[str, Any] | None:
        """What a web page without a kernel needs to move the panel, as JSON has it; None where that cannot be.

        ``parts``, its controls, each with a "kind", and ``links`` between them: (part, trait, part, trait).
        """
        if not self.links:
            return None
        linked = {control for link in self.links for control, _ in link}
        parts = [control for control in self.children if control in linked]
        return {
            "parts": [state_of(control) for control in parts],
            "links": [
                [part for control, trait in link for part in (parts.index(control), trait)] for link in self.links
            ],
        }

    def _repr_mimebundle_(self, **kwargs):
        live = getattr(super(), "_repr_mimebundle_", None)  # ipywidgets 7, which Colab ships, shows widgets another way
        return {**(live(**kwargs) if live else {}), "text/html": self.still() + for_page(self.alive())}


class Looks(anywidget.AnyWidget):
    """The browser's side of every panel: how its sliders look, and what a screen reader says of them."""

    _esm = Path(__file__).with_name("panel.js")

    def __repr__(self):
        return "Looks()"


def state_of(control: ipywidgets.Widget) -> dict[str, Any]:
    """A control as JSON: a slider or a menu with its options, or a view with its state."""
    if isinstance(control, ipywidgets.SelectionSlider | ipywidgets.Dropdown):
        kind = "slider" if isinstance(control, ipywidgets.SelectionSlider) else "menu"
        options = [str(option[0] if isinstance(option, tuple) else option) for option in control.options]
        return {"kind": kind, "description": control.description, "options": options, "index": control.index}
    own = set(control.keys) - set(ipywidgets.DOMWidget.class_trait_names())
    state = {name: getattr(control, name) for name in sorted(own) if not name.startswith("_")}
    return {"kind": type(control).__name__.lower(), "state": state}


def for_page(alive: dict[str, Any] | None) -> str:
    """An element that shows nothing and holds what ``Panel.alive`` gives, for the site's script to find."""
    if alive is None:
        return ""
    data = html.escape(json.dumps(alive, ensure_ascii=False, separators=(",", ":")), quote=False).replace("'", "&#39;")
    return f"<div class=\"kdkit-alive\" data-alive='{data}'></div>"


def script(*names: str) -> str:
    """The JavaScript of a view: files of this folder, one after the other; the last exports its ``render``."""
    return "\n".join(Path(__file__).with_name(name).read_text(encoding="utf-8") for name in names)


def steady(sentence: str, longest: str) -> str:
    """HTML of a sentence that changes, with room for the longest that it can become: what is below never moves."""
    words = f'<p aria-live="polite">{html.escape(sentence, quote=False)}</p>'
    return f'<div class="kdkit-steady" data-longest="{html.escape(longest)}">{words}</div>'
