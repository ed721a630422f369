"""The bars that all probability sliders share: drawn and computed by ``bars.js`` in the browser."""

import base64
import io

import anywidget
import traitlets
from PIL import Image
from torch import Tensor

from kdkit.course.widgets.panel import script


class Bars(anywidget.AnyWidget):
    """softmax(logits / T) of one picture among N, beside the picture, with a sentence that says the same.

    ``stop`` is a place in ``stops``, the temperatures; ``picture`` a place in ``teacher``. Sliders are linked to both
    in the browser. The bars are computed there; all sentences come from Python, where they are written.
    """

    _esm = script("numbers.js", "bars.js")

    classes = traitlets.List(traitlets.Unicode()).tag(sync=True)
    teacher: traitlets.List = traitlets.List().tag(sync=True)  # logits, [N][C]
    student: traitlets.List = traitlets.List().tag(sync=True)  # the same, or empty
    labels: traitlets.List = traitlets.List().tag(sync=True)  # the true class of each picture, or -1
    pictures = traitlets.List(traitlets.Unicode()).tag(sync=True)  # addresses of images, or empty
    picture = traitlets.Int(0).tag(sync=True)
    stops = traitlets.List([1.0]).tag(sync=True)
    stop = traitlets.Int(0).tag(sync=True)
    presets: traitlets.List = traitlets.List().tag(sync=True)
    sentences: traitlets.List = traitlets.List().tag(sync=True)  # [N][stops]
    longest = traitlets.Unicode().tag(sync=True)  # the longest that a sentence can become: room is kept for it
    state_form = traitlets.Unicode().tag(sync=True)  # what is said where a text is no state
    covered = traitlets.Bool(False).tag(sync=True)  # the bars are hidden until the reader has guessed
    caption = traitlets.Unicode().tag(sync=True)  # the picture's alt text instead of the view's own

    def __repr__(self):
        return "Bars()"


def address(image: Tensor) -> str:
    """An image, uint8 ``[C, H, W]``, as the address of a PNG that holds it."""
    pixels = image.permute(1, 2, 0).numpy()  # [C, H, W] -> [H, W, C]
    content = io.BytesIO()
    Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(content, "PNG")
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()


def short(value: float) -> str:
    """A probability in few letters, as ``bars.js`` writes it above its bar: 0.672, 7e-10."""
    if value >= 0.0005:
        return f"{value:.3f}"
    return "0" if value == 0 else f"{value:.0e}".replace("e-0", "e-")
