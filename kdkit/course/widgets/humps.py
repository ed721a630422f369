"""One Gaussian for a teacher of two humps: a slider for beta, from covering both to committing to one."""

import math
from typing import NamedTuple

import anywidget
import ipywidgets
import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from kdkit.course import figures
from kdkit.course.figures.axes import BLACK, BLUE, GREEN, SMALL, VERMILION, WIDTH, describe, new_axes
from kdkit.course.widgets.panel import Panel, script

TEACHER = ((0.6, -3.0), (0.4, 3.0))  # weights and means of its two humps, each of standard deviation 1
STARTS = {  # where a student begins: mean and standard deviation; the last is where the forward KL is lowest
    "left": (-3.0, 1.0),
    "right": (3.0, 1.0),
    "wide": (-0.6, math.sqrt(9.64)),
}
RESTS = {  # where descend(beta) takes the three, by beta: mean and standard deviation
    0: ((-0.600, 3.105), (-0.600, 3.105), (-0.600, 3.105)),
    0.05: ((-0.599, 3.101), (-0.599, 3.101), (-0.599, 3.101)),
    0.1: ((-0.598, 3.098), (-0.598, 3.098), (-0.598, 3.098)),
    0.2: ((-2.954, 1.077), (-0.597, 3.090), (-0.597, 3.090)),
    0.3: ((-2.968, 1.053), (-0.595, 3.082), (-0.595, 3.082)),
    0.4: ((-2.974, 1.041), (2.927, 1.116), (-0.592, 3.074)),
    0.5: ((-2.978, 1.034), (2.950, 1.078), (-0.590, 3.064)),
    0.6: ((-2.981, 1.030), (2.960, 1.061), (-0.587, 3.052)),
    0.7: ((-2.983, 1.026), (2.967, 1.049), (-0.583, 3.037)),
    0.8: ((-2.985, 1.023), (2.973, 1.041), (-0.576, 3.016)),
    0.9: ((-2.986, 1.021), (2.977, 1.035), (-0.565, 2.979)),
    0.95: ((-2.987, 1.020), (2.978, 1.032), (-0.553, 2.943)),
    1: ((-2.988, 1.019), (2.980, 1.029), (-0.471, 2.703)),
}
GAP = 1.0  # between the humps: less than this from 0
X = torch.linspace(-20, 20, 801, dtype=torch.double)
LOOKS = {"left": (BLUE, "none"), "right": (VERMILION, "9 4"), "wide": (GREEN, "9 3 2 3")}  # colour and dashes


class Rest(NamedTuple):
    """Where students come to rest that began at one of ``starts``, and what the loss is there."""

    starts: tuple[str, ...]
    mean: float
    deviation: float
    loss: float
    gap: float  # how much of it lies between the humps


class HumpsPanel(Panel):
    """A slider for beta: where one Gaussian comes to rest that goes downhill to a teacher of two humps.

    The loss is JSD(beta) / (beta (1 - beta)), so 0 is KL(teacher || student) and 1 is KL(student || teacher). The
    student begins three times: on the left hump, on the right one, and wide, where the forward KL is lowest. ``rests``
    has what is drawn, a dict of beta to a list of ``Rest``; ``teacher_gap``, how much of the teacher lies between the
    humps. It is drawn in the browser and works without a kernel too. From code: ``panel.slider.index = 6``.
    """

    def __init__(self):
        self.rests, self.teacher_gap = (
            {beta: rests(beta) for beta in RESTS},
            sum(share * _gap(mean, 1.0) for share, mean in TEACHER),
        )
        sentences = [self._words(beta) for beta in RESTS]
        self.slider = ipywidgets.SelectionSlider(
            options=[({0: "0, forward KL", 1: "1, reverse KL"}.get(beta, f"{beta:g}"), beta) for beta in RESTS],
            value=0,
            description="Beta",
            style={"description_width": "initial"},
            layout={"width": "98%"},
        )
        self.humps = Humps(
            teacher=[list(hump) for hump in TEACHER],
            curves=[[_curve(rest, self.rests[beta]) for rest in self.rests[beta]] for beta in RESTS],
            sentences=sentences,
            longest=max(sentences, key=len),
        )
        super().__init__([self.slider, self.humps], [((self.slider, "index"), (self.humps, "stop"))])

    @property
    def sentence(self) -> str:
        """What is to be seen, in words."""
        return self.humps.sentences[self.slider.index]

    def _words(self, beta):
        found = self.rests[beta]
        told = "; ".join(map(_told, found))
        lowest = f" The loss is lowest where it {_does(_lowest(found))}." if len(found) > 1 else ""
        return f"At {_name(beta)}: {told}.{lowest} The teacher has {100 * self.teacher_gap:.0f} % between the humps."

    def __repr__(self):
        return f"HumpsPanel({self.sentence})"

    def still(self) -> str:
        """The students where they rest at the beta of the slider."""
        return figures.image_tag(_drawing(self.slider.value, self.rests[self.slider.value]), self.sentence)


class Humps(anywidget.AnyWidget):
    """The browser's side: the teacher's humps, and at each stop the students' curves and a sentence."""

    _esm = script("svg.js", "humps.js")
    teacher: traitlets.List = traitlets.List().tag(sync=True)  # weight and mean of each hump
    curves: traitlets.List = traitlets.List().tag(sync=True)  # [stops][students], a dict each
    sentences = traitlets.List(traitlets.Unicode()).tag(sync=True)
    longest = traitlets.Unicode().tag(sync=True)
    stop = traitlets.Int(0).tag(sync=True)

    def __repr__(self):
        return "Humps()"


def rests(beta: float) -> list[Rest]:
    """The places at which the three students come to rest, as ``RESTS`` has them, with those that are one as one."""
    groups: dict[tuple[float, float], tuple[str, ...]] = {}
    for start, place in zip(STARTS, RESTS[beta], strict=True):
        same = next((known for known in groups if abs(known[0] - place[0]) < 0.1), place)
        groups[same] = (*groups.get(same, ()), start)
    losses = _loss(torch.tensor([[mean, math.log(deviation)] for mean, deviation in groups]).double(), beta).tolist()
    return [Rest(groups[at], *at, loss, _gap(*at)) for at, loss in zip(groups, losses, strict=True)]


def descend(beta: float, steps: int = 250) -> list[tuple[float, float]]:
    """Where the three students come to rest, mean and standard deviation: in small steps, each of them downhill."""
    at = torch.tensor([[mean, math.log(deviation)] for mean, deviation in STARTS.values()]).double().requires_grad_()
    rate, loss = torch.full((len(STARTS), 1), 0.1, dtype=torch.double), _loss(at, beta)
    for _ in range(steps):
        step = rate * torch.autograd.grad(loss.sum(), at)[0]
        step = step / (step.norm(dim=1, keepdim=True) / 0.1).clamp(min=1.0)  # at most 0.1: none leaps over a ridge
        better = (_loss(at - step, beta) <= loss)[:, None]
        rate = torch.where(better, 1.2 * rate, 0.3 * rate)
        at = torch.where(better, at - step, at).detach().requires_grad_()
        loss = _loss(at, beta)
    return [(mean, math.exp(log_deviation)) for mean, log_deviation in at.tolist()]


def _student(at: Tensor) -> Tensor:
    """log-probabilities of the places ``X`` for means and logarithms of deviations ``[N, 2]``: ``[N, X]``."""
    return (-0.5 * ((X - at[:, :1]) / at[:, 1:].exp()) ** 2).log_softmax(-1)


def _teacher() -> Tensor:
    """log-probabilities of the places ``X``."""
    humps = [math.log(share) - 0.5 * (X - mean) ** 2 for share, mean in TEACHER]
    return torch.logsumexp(torch.stack(humps), 0).log_softmax(-1)


def _loss(at: Tensor, beta: float) -> Tensor:
    """JSD / (beta (1 - beta)) of students ``[N, 2]``, and its limits at both ends: ``[N]``."""
    log_s, log_t = _student(at), _teacher()
    if beta == 0:
        return (log_t.exp() * (log_t - log_s)).sum(-1)
    if beta == 1:
        return (log_s.exp() * (log_s - log_t)).sum(-1)
    log_m = torch.logaddexp(math.log(beta) + log_t, math.log(1 - beta) + log_s)
    of_t, of_s = (log_t.exp() * (log_t - log_m)).sum(-1), (log_s.exp() * (log_s - log_m)).sum(-1)
    return of_t / (1 - beta) + of_s / beta


def _gap(mean, deviation):
    """How much of a Gaussian lies less than ``GAP`` from 0."""
    below, above = (math.erf((end - mean) / (deviation * math.sqrt(2))) / 2 for end in (-GAP, GAP))
    return above - below


def _lowest(found):
    return min(found, key=lambda rest: rest.loss)


def _name(beta):
    return {0: "beta 0, KL(teacher ‖ student)", 1: "beta 1, KL(student ‖ teacher)"}.get(beta, f"beta {beta:g}")


def _does(rest):
    return "covers both humps" if rest.deviation > 2 else f"keeps to the {'left' if rest.mean < 0 else 'right'} one"


def _told(rest):
    return (
        f"begun {' or '.join(rest.starts)}, it {_does(rest)}: mean {rest.mean:.2f}, standard deviation "
        f"{rest.deviation:.2f}, {100 * rest.gap:.0f} % between the humps, loss {rest.loss:.2f}"
    )


def _curve(rest, found):
    """What the browser draws of a student, with two lines of words above it."""
    colour, dash = LOOKS[rest.starts[-1]]
    lowest = ", lowest" if len(found) > 1 and rest is _lowest(found) else ""
    words = ["begun " + " or ".join(rest.starts), f"loss {rest.loss:.2f}{lowest}"]
    return {"mean": rest.mean, "deviation": rest.deviation, "words": words, "colour": colour, "dash": dash}


def _drawing(beta: float, found: list[Rest]) -> Figure:
    """The same as a still picture."""
    fig, axes = new_axes(1, 1, (WIDTH, 4))
    axis, width = axes[0, 0], float(X[1] - X[0])
    axis.fill_between(X, _teacher().exp() / width, color="#dddddd", edgecolor=BLACK)
    axis.annotate("teacher", (-5, 0.1), ha="right", fontsize=SMALL)
    for curve in (_curve(rest, found) for rest in found):
        density = _student(torch.tensor([[curve["mean"], math.log(curve["deviation"])]]).double())[0].exp() / width
        style = {"none": "-", "9 4": "--"}.get(curve["dash"], "-.")
        axis.plot(X, density, color=curve["colour"], linestyle=style, linewidth=2)
        look = {"textcoords": "offset points", "ha": "center", "color": curve["colour"], "fontsize": SMALL}
        axis.annotate("\n".join(curve["words"]), (curve["mean"], float(density.max())), (0, 6), **look)
    axis.set(xlim=(-9, 9), ylim=(0, 0.5), yticks=[], xlabel="x")
    name = _name(beta)
    return describe(fig, f"{name[0].upper()}{name[1:]}", "; ".join(map(_told, found)))
