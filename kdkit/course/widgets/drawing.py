"""Draw a thing yourself: the network answers each stroke, in the browser."""

import base64
from typing import Any

import anywidget
import ipywidgets
import torch
import traitlets
from torch import Tensor

from kdkit import models
from kdkit.course import figures
from kdkit.course.widgets.bars import Bars
from kdkit.course.widgets.convnet import in_browser
from kdkit.course.widgets.panel import Panel, script
from kdkit.course.widgets.temperature import PRESETS, STOPS
from kdkit.data import things
from kdkit.measure import metrics

CAUTION = (
    "A drawing is not what the network was trained on. It answers all the same, and may be sure and wrong: the soft "
    "target says what it makes of these pixels, not what they are."
)
LONGEST_ANSWER = (
    "At T = 0.2: armchair 0.000, umbrella 0.000, mushroom 0.000; least armchair 1e-99. "
    "First to second: more than 1e300 to 1."
)
START_SEED = 5  # of the things to start from


class DrawingPanel(Panel):
    """A canvas of 32x32 pixels, and the soft target that a network gives to what is drawn, at a temperature.

    Parameters: ``network``, one that ``kdkit.models`` has built, for Things; ``start``, the class of the drawn thing
    that one begins with.

    The network runs in the browser, so each stroke is answered without the kernel; what is there is known here, too:
    ``panel.image``, uint8 ``[3, 32, 32]``, and ``panel.logits``. Raises ``ValueError`` for another network, and for a
    class that is none.
    """

    def __init__(self, network: models.ConvNet, start: str = "chair"):
        made = in_browser(network)
        if start not in things.CLASSES:
            raise ValueError(f"start must be one of {', '.join(things.CLASSES)}; got {start!r}.")
        if network.architecture["classes"] != len(things.CLASSES) or network.architecture["channels"] != 3:
            raise ValueError(f"the network must know the {len(things.CLASSES)} things; got {network.architecture}.")
        self.fingerprint = models.fingerprint(network)
        image = things.make(1, seed=START_SEED).images[things.CLASSES.index(start)]
        logits = metrics.predict(network, image[None])
        self.canvas = Canvas(
            **made,
            classes=list(things.CLASSES),
            stops=list(STOPS),
            starts=things_to_start_from(),
            start=start,
            caution=CAUTION,
            pixels=_bytes(image),
            logits=logits.tolist(),
        )
        self.slider = ipywidgets.SelectionSlider(
            options=[(f"{stop:g}", stop) for stop in STOPS],
            value=1.0,
            description="Temperature",
            style={"description_width": "initial"},
            layout={"width": "98%"},
        )
        self.bars = self._made_bars(f"The network's soft target for the drawn {start}.")
        links = [
            ((self.canvas, "logits"), (self.bars, "teacher")),
            ((self.canvas, "sentences"), (self.bars, "sentences")),
            ((self.slider, "index"), (self.bars, "stop")),
        ]
        super().__init__([self.canvas, self.slider, self.bars], links)

    def _made_bars(self, first):
        """The bars, which will follow the canvas and the slider in the browser; ``first``, what is said until then."""
        return Bars(
            classes=list(things.CLASSES),
            teacher=self.canvas.logits,
            labels=[-1],
            stops=list(STOPS),
            stop=self.slider.index,
            presets=list(PRESETS),
            sentences=[[first] * len(STOPS)],
            longest=LONGEST_ANSWER,
        )

    @property
    def image(self) -> Tensor:
        """What is drawn: uint8 ``[3, 32, 32]``."""
        return torch.frombuffer(bytearray(self.canvas.pixels), dtype=torch.uint8).reshape(3, 32, 32)

    @property
    def logits(self) -> Tensor:
        """What the network says to it: ``[10]``."""
        return torch.tensor(self.canvas.logits[0])

    def alive(self) -> dict[str, Any] | None:
        """As every panel; the page has the network already, and knows it by its fingerprint."""
        found: Any = super().alive()
        [canvas] = [part["state"] for part in found["parts"] if part["kind"] == "canvas"]
        for large in ("weights", "layers", "pixels", "half"):
            del canvas[large]
        canvas["network"] = self.fingerprint
        return found

    def __repr__(self):
        return f"DrawingPanel({things.CLASSES[int(self.logits.argmax())]})"

    def still(self) -> str:
        """What one begins with, and the soft target for it."""
        probabilities = self.logits.double().softmax(0).tolist()
        title = "draw here, in the notebook or on the course's site"
        picture = figures.soft_target(probabilities, things.CLASSES, image=self.image, title=title)
        order = sorted(range(len(probabilities)), key=lambda k: -probabilities[k])[:2]
        said = " and ".join(f"{things.CLASSES[k]} {probabilities[k]:.3f}" for k in order)
        return figures.image_tag(picture, f"A drawn thing of 32 by 32 pixels, and the soft target for it: {said}.")


class Canvas(anywidget.AnyWidget):
    """The browser's side: the sheet, the brushes and the network."""

    _esm = script("numbers.js", "convnet.js", "drawing.js")
    layers: traitlets.List = traitlets.List().tag(sync=True)  # of the network, as ``in_browser`` gives them
    weights = traitlets.Bytes().tag(sync=True)
    half = traitlets.Bool().tag(sync=True)
    classes = traitlets.List(traitlets.Unicode()).tag(sync=True)
    stops: traitlets.List = traitlets.List().tag(sync=True)  # temperatures, for each of which a sentence is written
    starts = traitlets.Dict().tag(sync=True)  # by name, what one can begin with: bytes in base 64
    start = traitlets.Unicode().tag(sync=True)
    caution = traitlets.Unicode().tag(sync=True)
    pixels = traitlets.CBytes().tag(sync=True)  # what is drawn: 3 x 32 x 32; a memoryview comes from the browser
    logits: traitlets.List = traitlets.List().tag(sync=True)  # [1][classes]
    sentences: traitlets.List = traitlets.List().tag(sync=True)  # [1][stops]

    def __repr__(self):
        return "Canvas()"


def things_to_start_from() -> dict[str, str]:
    """A drawn thing of each class: its bytes ``[3, 32, 32]`` in base 64, by the name of its class."""
    images = things.make(1, seed=START_SEED).images
    return {name: base64.b64encode(_bytes(image)).decode() for name, image in zip(things.CLASSES, images, strict=True)}


def _bytes(image):
    return image.contiguous().numpy().tobytes()
