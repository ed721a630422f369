"""The temperature slider on real logits."""

import math
import re
from collections.abc import Sequence

import ipywidgets
from torch import Tensor

from kdkit import losses
from kdkit.course import figures
from kdkit.course.figures import inputs
from kdkit.course.widgets.bars import Bars, address, short
from kdkit.course.widgets.panel import Panel
from kdkit.losses import arguments
from kdkit.losses.arguments import whole

STOPS = (
    *(0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.25, 2.5, 2.75, 3.0, 3.5, 4.0, 4.5),
    *(5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 12.0, 14.0, 16.0, 18.0, 20.0),
)
PRESETS = (0.2, 1.0, 4.0, 20.0)


class TemperaturePanel(Panel):
    """A slider for T over the bars of softmax(logits / T), and a sentence that says the same in words.

    Parameters:
        logits: the teacher's ``[N, C]`` on N images.
        classes: C names.
        labels: the true classes ``[N]``; their bars are hatched.
        student_logits: a student's ``[N, C]``: its bars stand beside the teacher's, and the sentence says the KL and
            the norm of its gradient as well.
        images: uint8 ``[N, channels, H, W]``, shown beside the bars.
        temperature: where the slider begins, one of its stops (0.2 to 20, finer at the low end).

    Bars are computed in the browser, and the sentences for all stops are written beforehand, so it also moves on a
    web page without a kernel. The arrow keys move the slider once it has the focus. From code: ``panel.slider.value =
    4.0``; ``panel.chooser.index = 1`` for another image; ``panel.state`` gives both as a text that can be shared, and
    takes it back.

    Raises ``ValueError`` for logits that do not fit, and for a temperature or state that the slider does not have.
    """

    def __init__(
        self,
        logits: Tensor,
        classes: Sequence[str],
        labels: Tensor | Sequence[int],
        *,
        student_logits: Tensor | None = None,
        images: Tensor | None = None,
        temperature: float = 1.0,
    ):
        inputs.check_names("classes", classes)
        if images is not None:
            inputs.check_images("images", images, 4)
        self.classes = tuple(classes)
        self.logits = _checked("logits", logits, len(self.classes))
        self.student_logits = None
        if student_logits is not None:
            self.student_logits = _checked("student_logits", student_logits, len(self.classes), len(self.logits))
        self.labels = _labels(labels, len(self.classes))
        for name, given in ("labels", self.labels), ("images", self.labels if images is None else images):
            if len(given) != len(self.logits):
                raise ValueError(f"{name}: one for each of {len(self.logits)} images is wanted; got {len(given)}.")
        self.slider = ipywidgets.SelectionSlider(
            options=[(f"{stop:g}", stop) for stop in STOPS],
            value=_stop(temperature),
            description="Temperature",
            style={"description_width": "initial"},
            layout={"width": "98%"},
        )
        names = [f"{number}: {self.classes[label]}" for number, label in enumerate(self.labels)]
        self.chooser = ipywidgets.Dropdown(options=names, index=0, description="Image")
        self.bars = self._made_bars([] if images is None else [address(image) for image in images])
        links = [((self.slider, "index"), (self.bars, "stop"))]
        chooser = [self.chooser] if len(names) > 1 else []
        links += [((menu, "index"), (self.bars, "picture")) for menu in chooser]
        super().__init__([*chooser, self.slider, self.bars], links)

    def _made_bars(self, pictures):
        """The bars, which will follow the slider and the chooser in the browser."""
        sentences = [[self._words(which, stop) for stop in STOPS] for which in range(len(self.logits))]
        return Bars(
            classes=list(self.classes),
            teacher=self.logits.tolist(),
            student=[] if self.student_logits is None else self.student_logits.tolist(),
            labels=self.labels,
            pictures=pictures,
            stops=list(STOPS),
            stop=self.slider.index,
            presets=list(PRESETS),
            sentences=sentences,
            longest=max((words for row in sentences for words in row), key=len),
            state_form=self._state_form(),
        )

    @property
    def probabilities(self) -> Tensor:
        """softmax(logits / T) of the chosen image at the slider's temperature: float64 ``[C]``."""
        return (self.logits[self.chooser.index] / self.slider.value).softmax(0)

    @property
    def sentence(self) -> str:
        """What the bars show, in words."""
        return self.bars.sentences[self.chooser.index][self.slider.index]

    def _words(self, which, temperature):
        """What the bars show of an image at a temperature."""
        logits, order = self.logits[which].sort(descending=True, stable=True)
        names = [self.classes[k] for k in order]
        t = (logits / temperature).softmax(0)
        top = ", ".join(f"{name} {short(p)}" for name, p in zip(names[:3], t[:3].tolist(), strict=False))
        says = "" if self.student_logits is None else ", the teacher says"
        words = f"At T = {temperature:g}{says}: {top}; least {names[-1]} {short(t[-1].item())}."
        if len(names) > 1:
            words += f" First to second: {_ratio((logits[0] - logits[1]).item() / temperature)} to 1."
        if self.student_logits is None:
            return words
        s = (self.student_logits[which] / temperature).softmax(0)
        best = int(s.argmax())
        kl = losses.kl_divergence(self.student_logits[[which]], self.logits[[which]], temperature).item()
        gradient = (s[order] - t).norm().item() / temperature  # of KL, with respect to the student's logits
        plain, times_squared = ((_precise(factor * kl), _precise(factor * gradient)) for factor in (1, temperature**2))
        return (
            f"{words} The student: {self.classes[best]} {short(s[best].item())}. "
            f"KL {plain[0]} nats, gradient norm {plain[1]}; times T²: {times_squared[0]} and {times_squared[1]}."
        )

    @property
    def state(self) -> str:
        """Where the slider and the chooser stand, as a text: "T=4 image=0".

        Setting it moves them; raises ``ValueError`` for a text that is no state.
        """
        return f"T={self.slider.value:g} image={self.chooser.index}"

    @state.setter
    def state(self, text: str):
        parts = re.fullmatch(r"\s*T=(\d+(?:\.\d+)?)\s+image=(\d+)\s*", str(text))
        if not parts or float(parts[1]) not in STOPS or int(parts[2]) >= len(self.logits):
            raise ValueError(f"{self._state_form()}; got {text!r}.")
        self.slider.value, self.chooser.index = float(parts[1]), int(parts[2])

    def _state_form(self):
        stops = f"{STOPS[0]:g}, {STOPS[1]:g} … {STOPS[-1]:g}"
        return f'a state looks like "T=4 image=0": T a stop of the slider ({stops}), image 0 to {len(self.logits) - 1}'

    def __repr__(self):
        return f"TemperaturePanel({self.sentence})"

    def still(self) -> str:
        """The bars where they stand now."""
        which, student = self.chooser.index, None
        if self.student_logits is not None:
            student = (self.student_logits[which] / self.slider.value).softmax(0).tolist()
        picture = figures.soft_target(
            self.probabilities.tolist(),
            self.classes,
            label=self.labels[which],
            student=student,
            title=f"temperature {self.slider.value:g}",
        )
        return figures.image_tag(picture, self.sentence)


def _checked(name, logits, classes, count=None):
    shape = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    fits = isinstance(logits, Tensor) and logits.ndim == 2 and logits.shape[1] == classes
    if not fits or count not in (None, len(logits)) or len(logits) == 0:
        wanted = f"[{'N' if count is None else count}, {classes}]"
        raise ValueError(f"{name} must be a tensor {wanted}, one row an image, for {classes} classes; got {shape}.")
    arguments.check_dense(name, logits)
    if not logits.isfinite().all():
        raise ValueError(f"{name} must be finite numbers; got nan or infinity among them.")
    return logits.detach().double()


def _labels(labels, classes):
    """True classes as a list of numbers, each below ``classes``."""
    if isinstance(labels, Tensor):
        arguments.check_dense("labels", labels)
    advice = "It is the number of a class."
    found = [whole(label, "a label", advice=advice) for label in inputs.parts("labels", labels)]
    if not all(0 <= label < classes for label in found):
        raise ValueError(f"labels must be numbers of classes, 0 to {classes - 1}; got {found}.")
    return found


def _stop(temperature):
    temperature = arguments.check_temperature(temperature)
    if temperature not in STOPS:
        raise ValueError(f"T={temperature:g} is no stop of this slider: {', '.join(f'{stop:g}' for stop in STOPS)}.")
    return temperature


def _ratio(power):
    """e to a power that is not negative: 6.0, 1,293.6, 4e15."""
    if power > 700:  # math.exp overflows
        return "more than 1e300"
    value = math.exp(power)
    return f"{value:,.1f}" if value < 1e6 else f"{value:.0e}".replace("e+", "e").replace("e0", "e")


def _precise(value):
    """Three digits."""
    if value == 0:
        return "0"
    if value < 0.0005:
        return f"{value:.1e}".replace("e-0", "e-")
    return f"{float(f'{value:.3g}'):g}"
