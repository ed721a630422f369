"""Sliders for depth and width: what a formula predicts for such a network, and what it takes here and now."""

import re
from collections.abc import Callable
from pathlib import Path

import anywidget
import ipywidgets
import torch
import traitlets

from kdkit import models
from kdkit.course.widgets.panel import Panel, steady
from kdkit.measure import profiling

WIDTHS, DEPTHS = (64, 128, 192, 256, 320, 384), (1, 2, 3, 4, 6, 8, 12)
ROUNDS = 3


class ShapePanel(Panel):
    """Sliders for the depth and the width of a Transformer encoder; its time on one sentence, predicted and measured.

    Parameters: ``predict``, a function of (layers, operations) that gives seconds; ``tokens``, the sentence's length;
    ``depth`` and ``width``, where the sliders begin; ``device``, where the networks are timed.

    When the panel is made, the networks of all shapes are timed on this machine, in ``ROUNDS`` rounds in which they
    take turns: a few seconds. Then it works without the kernel. For each (depth, width) there are ``parameters``,
    ``predicted``, in seconds, and ``measured``, a ``Latency``. From code: ``panel.depth.value = 12``; ``panel.state``
    is a text that can be shared, and takes it back. Raises ``ValueError`` for a depth or width that the sliders do not
    have, and for states that are none.
    """

    def __init__(
        self,
        predict: Callable[[int, int], float],
        tokens: int = 1,
        *,
        depth: int = 3,
        width: int = 256,
        device: str | torch.device = "cpu",
    ):
        self.depth = _slider("Depth, layers", DEPTHS, depth)
        self.width = _slider("Width", WIDTHS, width)
        self.tokens = tokens
        networks, inputs = _encoders(device), {w: torch.zeros(1, tokens, w, device=device) for w in WIDTHS}
        self.parameters = {shape: models.count_parameters(network) for shape, network in networks.items()}
        work = {w: profiling.flops(networks[1, w], inputs[w]) for w in WIDTHS}  # of a layer: all are alike
        self.predicted = {(d, w): predict(d, d * work[w]) for d, w in networks}
        calls = {shape: profiling.predicting(network, inputs[shape[1]]) for shape, network in networks.items()}
        self.measured = profiling.latency(calls, rounds=ROUNDS)
        self.view = Shapes(pages=[[self._page(depth, width) for width in WIDTHS] for depth in DEPTHS])
        self.view.depth, self.view.width = self.depth.index, self.width.index
        links = [((self.depth, "index"), (self.view, "depth")), ((self.width, "index"), (self.view, "width"))]
        super().__init__([self.depth, self.width, self.view], links)

    @property
    def sentence(self) -> str:
        """What is to be seen, in words."""
        return self._words(self.depth.value, self.width.value)

    def _words(self, depth, width):
        shape = (depth, width)
        layers = f"{depth} layer{'s' * (depth > 1)} of width {width}: {self.parameters[shape] / 1e6:.2f} million"
        expected = f"predicted {_ms(self.predicted[shape])} for {self.tokens} token{'s' * (self.tokens > 1)}"
        return f"{layers} parameters; {expected}, measured {_ms(self.measured[shape].median)}."

    def _page(self, depth, width):
        """The sentence and two bars, as long as the times beside the longest of any shape."""
        times = {"predicted": self.predicted, "measured": {at: taken.median for at, taken in self.measured.items()}}
        slowest = max(max(seconds.values()) for seconds in times.values())
        rows = "".join(_bar(name, seconds[depth, width], slowest) for name, seconds in times.items())
        longest = max((self._words(*shape) for shape in self.measured), key=len)
        return f'{steady(self._words(depth, width), longest)}<table style="width:98%">{rows}</table>'

    @property
    def state(self) -> str:
        """Where the sliders stand, as a text: "depth=12 width=128".

        Setting it moves them; raises ``ValueError`` for a text that is no state.
        """
        return f"depth={self.depth.value} width={self.width.value}"

    @state.setter
    def state(self, text: str):
        parts = re.fullmatch(r"\s*depth=(\d+)\s+width=(\d+)\s*", str(text))
        if not parts or int(parts[1]) not in DEPTHS or int(parts[2]) not in WIDTHS:
            depths, widths = (", ".join(map(str, options)) for options in (DEPTHS, WIDTHS))
            form = f'a state looks like "depth=12 width=128": depth one of {depths}, width one of {widths}'
            raise ValueError(f"{form}; got {text!r}.")
        self.depth.value, self.width.value = int(parts[1]), int(parts[2])

    def __repr__(self):
        return f"ShapePanel({self.sentence})"

    def still(self) -> str:
        """The two bars, as they stand."""
        return self.view.pages[self.depth.index][self.width.index]


class Shapes(anywidget.AnyWidget):
    """The browser's side: a page for each depth and width."""

    _esm = Path(__file__).with_name("shape.js")
    pages: traitlets.List = traitlets.List().tag(sync=True)  # [depths][widths], HTML
    depth = traitlets.Int(0).tag(sync=True)  # places in both
    width = traitlets.Int(0).tag(sync=True)

    def __repr__(self):
        return "Shapes()"


LOOKS = {"predicted": "#56B4E9", "measured": "repeating-linear-gradient(45deg, #E69F00 0 6px, #B87F00 6px 9px)"}


def _bar(name, seconds, slowest):
    bar = f'<div style="background:{LOOKS[name]};height:1.2em;width:{100 * seconds / slowest:.1f}%"></div>'
    cell = 'style="text-align:left;white-space:nowrap"'
    return f'<tr><th scope="row" {cell}>{name}</th><td style="width:75%">{bar}</td><td {cell}>{_ms(seconds)}</td></tr>'


def _ms(seconds):
    return f"{1000 * seconds:.2f} ms"


def _slider(name, options, value):
    if value not in options:
        raise ValueError(f"{name}: choose one of {', '.join(map(str, options))}; got {value!r}.")
    wide = {"description_width": "initial"}
    layout = {"width": "98%"}
    return ipywidgets.SelectionSlider(options=options, value=value, description=name, style=wide, layout=layout)


def _encoders(device):
    """Networks by (depth, width); those of one width are the first layers of the deepest."""
    found = {}
    for width in WIDTHS:
        layers = models.encoder(width, max(DEPTHS)).to(device).layers
        found |= {(depth, width): torch.nn.Sequential(*layers[:depth]).eval() for depth in DEPTHS}
    return found
