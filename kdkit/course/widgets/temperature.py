"""The temperature slider on real logits."""

import re
from collections.abc import Sequence

import ipywidgets
import torch
from torch import Tensor

from kdkit import losses
from kdkit.course import figures
from kdkit.course.figures import inputs
from kdkit.course.widgets.bars import Bars, address, short
from kdkit.course.widgets.panel import Panel
from kdkit.losses import arguments
from kdkit.losses.arguments import whole
from kdkit.measure import metrics

STOPS = (
    *(0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.25, 2.5, 2.75, 3.0, 3.5, 4.0, 4.5),
    *(5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 12.0, 14.0, 16.0, 18.0, 20.0),
)
PRESETS = (0.2, 1.0, 4.0, 20.0)


class TemperaturePanel(Panel):
    """A slider for T over the bars of softmax(logits / T), and a sentence that says the same in words.

    Parameters:
        logits: the teacher's ``[N, C]`` on N pictures.
        classes: C names.
        labels: the true classes ``[N]``; their bars are hatched.
        student_logits: a student's ``[N, C]``: its bars stand beside the teacher's, and the sentence tells KL and the
            length of its gradient as well.
        images: the pictures, uint8 ``[N, channels, H, W]``, shown beside the bars.
        temperature: where the slider begins, one of its stops (0.2 to 20, finer at the low end).

    All that moves is computed in the browser, so it also moves in an HTML copy without a kernel. The arrow keys move
    the slider once it has the focus. From code: ``panel.slider.value = 4.0``; ``panel.chooser.index = 1`` for another
    picture; ``panel.state`` gives both as a text that can be shared, and takes it back.

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
                raise ValueError(f"{name}: one for each of {len(self.logits)} pictures is wanted; got {len(given)}.")
        self.slider = ipywidgets.SelectionSlider(
            options=[(f"{stop:g}", stop) for stop in STOPS],
            value=_stop(temperature),
            description="Temperature",
            style={"description_width": "initial"},
            layout={"width": "98%", "max_width": "860px"},
        )
        names = [f"{number}: {self.classes[label]}" for number, label in enumerate(self.labels)]
        self.chooser = ipywidgets.Dropdown(options=names, index=0, description="Picture")
        self.bars = self._linked_bars([] if images is None else [address(image) for image in images])
        super().__init__([*([self.chooser] if len(names) > 1 else []), self.slider, self.bars])

    def _linked_bars(self, pictures):
        """The bars, which follow the slider and the chooser in the browser."""
        bars = Bars(
            classes=list(self.classes),
            teacher=self.logits.tolist(),
            student=[] if self.student_logits is None else self.student_logits.tolist(),
            labels=self.labels,
            pictures=pictures,
            stops=list(STOPS),
            stop=self.slider.index,
            presets=list(PRESETS),
            slider_name="Temperature",
        )
        ipywidgets.jslink((self.slider, "index"), (bars, "stop"))
        ipywidgets.jslink((self.chooser, "index"), (bars, "picture"))
        return bars

    @property
    def probabilities(self) -> Tensor:
        """softmax(logits / T) of the chosen picture at the slider's temperature: float64 ``[C]``."""
        return (self.logits[self.chooser.index] / self.slider.value).softmax(0)

    @property
    def sentence(self) -> str:
        """What the bars show, in words."""
        temperature, which = self.slider.value, self.chooser.index
        values, order = self.probabilities.sort(descending=True, stable=True)
        top = ", ".join(f"{self.classes[k]} {short(p)}" for k, p in zip(order[:3], values[:3].tolist(), strict=True))
        bits = metrics.entropy(values).item()
        says = "" if self.student_logits is None else ", the teacher says"
        words = f"At T = {temperature:g}{says}: {top}; least {self.classes[order[-1]]} {short(values[-1].item())}. "
        words += f"Entropy {bits:.2f} bits."
        if self.student_logits is None:
            return words
        student = self.student_logits[which : which + 1]
        best = (student[0] / temperature).softmax(0).max(0)
        kl, gradient = kl_and_gradient(student, self.logits[which : which + 1], temperature)
        return (
            f"{words} The student: {self.classes[best.indices]} {short(best.values.item())}. KL {_precise(kl)} nats, "
            f"its gradient {_precise(gradient)} long; "
            f"times T²: {_precise(temperature**2 * kl)} and {_precise(temperature**2 * gradient)}."
        )

    @property
    def state(self) -> str:
        """Where the slider and the chooser stand, as a text: "T=4 picture=0".

        Setting it moves them; raises ``ValueError`` for a text that is no state.
        """
        return f"T={self.slider.value:g} picture={self.chooser.index}"

    @state.setter
    def state(self, text: str):
        parts = re.fullmatch(r"\s*T=(\d+(?:\.\d+)?)\s+picture=(\d+)\s*", str(text))
        if not parts:
            raise ValueError(f'a state looks like "T=4 picture=0"; got {text!r}.')
        if int(parts[2]) >= len(self.logits):
            raise ValueError(f"there is no picture {parts[2]}: they are numbered 0 to {len(self.logits) - 1}.")
        self.slider.value, self.chooser.index = _stop(float(parts[1])), int(parts[2])

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


def kl_and_gradient(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> tuple[float, float]:
    """KL(teacher || student) in nats at ``temperature``, and the length of its gradient by the student's logits.

    Both logits: ``[N, C]``.
    """
    student_logits = student_logits.detach().clone().requires_grad_()
    kl = losses.kl_divergence(student_logits, teacher_logits, temperature)
    (gradient,) = torch.autograd.grad(kl, student_logits)
    return kl.item(), gradient.norm().item()


def _checked(name, logits, classes, count=None):
    shape = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    fits = isinstance(logits, Tensor) and logits.ndim == 2 and logits.shape[1] == classes
    if not fits or count not in (None, len(logits)) or len(logits) == 0:
        wanted = f"[{'N' if count is None else count}, {classes}]"
        raise ValueError(f"{name} must be a tensor {wanted}, one row a picture, for {classes} classes; got {shape}.")
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


def _precise(value):
    """Three digits, as the browser writes them."""
    if value == 0:
        return "0"
    if value < 0.0005:
        return f"{value:.1e}".replace("e-0", "e-")
    return f"{float(f'{value:.3g}'):g}"
