"""The temperature slider: one image's logits, softened."""

import html

import ipywidgets
import torch

from kdkit import figures
from kdkit.losses import check_temperature
from kdkit.widgets import svg

STOPS = (0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0)


class TemperaturePanel(ipywidgets.VBox):
    """A slider for T over the bars of softmax(logits / T), and a sentence that says the same in words.

    Parameters: ``logits`` ``[C]`` of one image; ``classes``, C names; ``label``, the number of the true class.
    The arrow keys move the slider once it has the focus. Set ``panel.slider.value`` to move it from code.
    """

    def __init__(self, logits, classes, label=None, temperature=1.0):
        if not isinstance(logits, torch.Tensor) or logits.shape != (len(classes),):
            got = list(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
            raise ValueError(
                f"logits must be those of one image, [{len(classes)}] for {len(classes)} classes; got {got}."
            )
        self.logits, self.classes, self.label = logits.detach().double(), tuple(classes), label
        self.slider = ipywidgets.SelectionSlider(
            options=[(f"{stop:g}", stop) for stop in STOPS],
            value=check_temperature(temperature),
            description="Temperature",
            style={"description_width": "initial"},
            layout={"width": "90%", "max_width": "640px"},
        )
        self.picture = ipywidgets.HTML()
        self.slider.observe(self._redraw, "value")
        super().__init__([self.slider, self.picture])
        self._redraw()

    @property
    def probabilities(self):
        """softmax(logits / T) at the slider's temperature: float64 ``[C]``."""
        return (self.logits / self.slider.value).softmax(0)

    @property
    def sentence(self):
        """What the bars show, in words."""
        values, order = self.probabilities.sort(descending=True)
        names = [f"{self.classes[index]} {value:.2g}" for index, value in zip(order[:3], values[:3], strict=True)]
        least = f"{self.classes[order[-1]]} {values[-1]:.2g}"
        bits = -(values * values.clamp(min=1e-300).log2()).sum()
        return f"At T = {self.slider.value:g}: {', '.join(names)}; least {least}. Entropy {bits:.2f} bits."

    def _redraw(self, change=None):
        try:
            bars = svg.probability_bars(self.probabilities, self.classes, label=self.label, alt=self.sentence)
            self.picture.value = f"{bars}<p>{html.escape(self.sentence)}</p>"
        except Exception as error:  # an error in a callback would vanish: show it where the reader looks
            self.picture.value = f'<p role="alert">This slider failed: {html.escape(repr(error))}</p>'

    def __repr__(self):
        return f"TemperaturePanel({self.sentence})"

    def _repr_mimebundle_(self, **kwargs):
        """The live panel, and beside it a still picture for pages without a kernel."""
        live = getattr(super(), "_repr_mimebundle_", None)  # ipywidgets 7, which Colab ships, shows widgets another way
        bundle = live(**kwargs) if live else {}
        picture = figures.soft_target(self.probabilities.tolist(), self.classes, label=self.label)
        bundle["text/html"] = figures.image_tag(picture, self.sentence)
        return bundle
