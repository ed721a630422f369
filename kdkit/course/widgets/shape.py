"""Sliders for depth and width: what a formula predicts for such a network, and what it takes here and now."""

import functools
import html
from collections.abc import Callable

import ipywidgets
import torch

from kdkit import models
from kdkit.course.widgets.panel import Panel, steady
from kdkit.measure import profiling

WIDTHS, DEPTHS = (64, 128, 192, 256, 320, 384), tuple(range(1, 13))
ROUNDS = 3


class ShapePanel(Panel):
    """Sliders for the depth and the width of a Transformer encoder; its time on one sentence, predicted and measured.

    Parameters: ``predict``, a function of (layers, operations) that gives seconds; ``tokens``, the sentence's length;
    ``depth`` and ``width``, where the sliders begin; ``device``, where the network is timed.

    The prediction stands there at once; then the network is timed, on this machine, in ``ROUNDS`` rounds. From code:
    ``panel.depth.value = 12``. Raises ``ValueError`` for a depth or width that the sliders do not have.
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
        self.predict, self.tokens, self.device = predict, tokens, device
        self.depth = _slider("Depth, layers", DEPTHS, depth)
        self.width = _slider("Width", WIDTHS, width)
        self.view = ipywidgets.HTML()
        for slider in (self.depth, self.width):
            slider.observe(self._changed, "value")
        super().__init__([self.depth, self.width, self.view])
        self._changed()

    @property
    def sentence(self) -> str:
        """What is to be seen, in words."""
        measured = self.measured and self.measured.median
        return self._words(self.depth.value, self.width.value, self.parameters, self.predicted, measured)

    def _words(self, depth, width, parameters, predicted, measured):
        layers = f"{depth} layer{'s' * (depth > 1)} of width {width}: {parameters / 1e6:.2f} million parameters"
        expected = f"predicted {1000 * predicted:.2f} ms for {self.tokens} token{'s' * (self.tokens > 1)}"
        found = "being measured" if measured is None else f"measured {1000 * measured:.2f} ms"
        return f"{layers}; {expected}, {found}."

    def _changed(self, change=None):
        depth, width = self.depth.value, self.width.value
        try:
            network = _encoder(width, depth, self.device)
            inputs = torch.zeros(1, self.tokens, width, device=self.device)
            self.parameters, self.measured = models.count_parameters(network), None
            self.predicted = self.predict(depth, profiling.flops(network, inputs))
            self.view.value = self._page()
            call = profiling.predicting(network, inputs)
            self.measured = profiling.latency({"this": call}, rounds=ROUNDS)["this"]
            self.view.value = self._page()
        except Exception as error:  # in a callback it would vanish
            self.view.value = f'<p role="alert">{html.escape(str(error) or repr(error))}</p>'

    def _page(self):
        times = {"predicted": self.predicted, "measured": self.measured and self.measured.median}
        slowest = max(value for value in times.values() if value is not None)
        rows = "".join(_bar(name, value, slowest) for name, value in times.items())
        longest = self._words(max(DEPTHS), max(WIDTHS), 99e6, predicted=1, measured=1)  # seconds
        return f'{steady(self.sentence, longest)}<table style="width:98%">{rows}</table>'

    def __repr__(self):
        return f"ShapePanel({self.sentence})"

    def still(self) -> str:
        """The two bars, as they stand."""
        return self._page()


LOOKS = {"predicted": "#56B4E9", "measured": "repeating-linear-gradient(45deg, #E69F00 0 6px, #B87F00 6px 9px)"}


def _bar(name, seconds, slowest):
    share, text = (0, "…") if seconds is None else (100 * seconds / slowest, f"{1000 * seconds:.2f} ms")
    bar = f'<div style="background:{LOOKS[name]};height:1.2em;width:{share:.1f}%"></div>'
    cell = 'style="text-align:left;white-space:nowrap"'
    return f'<tr><th scope="row" {cell}>{name}</th><td style="width:75%">{bar}</td><td {cell}>{text}</td></tr>'


def _slider(name, options, value):
    if value not in options:
        raise ValueError(f"{name}: choose one of {', '.join(map(str, options))}; got {value!r}.")
    wide = {"description_width": "initial"}
    layout = {"width": "98%"}
    return ipywidgets.SelectionSlider(options=options, value=value, description=name, style=wide, layout=layout)


@functools.cache
def _deepest(width, device):
    return models.encoder(width, max(DEPTHS)).to(device).eval()


def _encoder(width, depth, device):
    """The first ``depth`` layers of the deepest encoder: built once for each width, so that a slider need not wait."""
    network = torch.nn.Sequential(*_deepest(width, device).layers[:depth])
    return network.eval()
