"""The morph slider: one thing turns into another, and a network says at each step what it sees."""

import html
import re
from collections.abc import Sequence
from typing import Any

import ipywidgets
import torch
from torch import Tensor, nn

from kdkit.course import figures
from kdkit.course.widgets.bars import Bars, address, short
from kdkit.course.widgets.panel import Panel, state_of
from kdkit.data import things
from kdkit.losses.arguments import whole
from kdkit.measure import metrics

STEPS = 50
AMOUNTS = torch.linspace(0, 1, STEPS + 1)
SEEDS = 2**64  # as many as torch knows
COVERED = "What will the network say? Move the slider to where YOU would switch to the other name, and keep that."


class MorphPanel(Panel):
    """A thing that a slider turns into a thing of another class, live through a network; the reader guesses first.

    Parameters: ``model``, a network for Things; ``start`` and ``end``, names of classes; ``seed``, which thing;
    ``watched``, a class whose probability the sentence always says.

    The bars are covered until a guess is kept (or skipped): the amount at which the reader would switch from one name
    to the other. It then stands beside the network's own tipping point. From code: ``panel.slider.value = 0.4``,
    ``panel.keep(0.4)`` or ``panel.keep(None)``; ``panel.state`` is a text that can be shared, and takes it back.
    Raises ``ValueError`` for unknown names and for states that are none.
    """

    guess: float | None

    def __init__(
        self,
        model: nn.Module,
        start: str = "chair",
        end: str = "armchair",
        *,
        seed: int = 0,
        watched: str = "mushroom",
    ):
        self.model, self.watched, self.seed = model, _name(watched), _seed(seed)
        self.guess, self.covered, self._restoring = None, True, False
        wide = {"description_width": "initial"}
        self.start = ipywidgets.Dropdown(options=things.CLASSES, value=_name(start), description="From", style=wide)
        self.end = ipywidgets.Dropdown(options=things.CLASSES, value=_name(end), description="to", style=wide)
        self.slider = ipywidgets.FloatSlider(
            value=0.0,
            min=0.0,
            max=1.0,
            step=1 / STEPS,
            description="How far",
            style=wide,
            layout={"width": "98%"},
        )
        self.guess_button = ipywidgets.Button(description="I would switch here", icon="check", layout={"width": "auto"})
        self.skip_button = ipywidgets.Button(description="show without a guess", layout={"width": "auto"})
        self.bars = Bars(classes=list(things.CLASSES), labels=[-1])
        self.field = ipywidgets.Text(
            description="state to share", continuous_update=False, style=wide, layout={"width": "34em"}
        )
        self.problem = ipywidgets.HTML()
        self._prepare()
        self.start.observe(self._choose, "value")
        self.end.observe(self._choose, "value")
        self.slider.observe(self._redraw, "value")
        self.field.observe(self._restore, "value")
        self.guess_button.on_click(lambda _: self.keep(self.slider.value))
        self.skip_button.on_click(lambda _: self.keep(None))
        names = ipywidgets.HBox([self.start, self.end])
        buttons = ipywidgets.HBox([self.guess_button, self.skip_button])
        super().__init__([names, self.slider, buttons, self.bars, self.field, self.problem])

    def keep(self, guess: float | None) -> None:
        """Keep the reader's tipping point, an amount from 0 to 1 (None: no guess), and uncover the bars.

        Raises ``ValueError`` for an amount outside of that.
        """
        if guess is not None and not 0 <= guess <= 1:
            raise ValueError(f"a guess is an amount from 0 (all start) to 1 (all end), or None; got {guess!r}.")
        self.guess, self.covered = guess, False
        self._redraw()

    @property
    def probabilities(self) -> Tensor:
        """What the network says about the picture that is shown: float64 ``[10]``."""
        return self.logits.double().softmax(0)

    @property
    def tipping_points(self) -> list[float]:
        """The amounts at which the network changes its mind as to which of start and end is likelier: mostly one."""
        start, end = (things.CLASSES.index(menu.value) for menu in (self.start, self.end))
        leads = self.scan[:, end] > self.scan[:, start]
        return [round(AMOUNTS[step].item(), 2) for step in range(1, STEPS + 1) if leads[step] != leads[step - 1]]

    @property
    def sentence(self) -> str:
        """What is to be seen, in words, and how the reader's guess compares."""
        return COVERED if self.covered else f"{self._seen(self.slider.value, self.logits)} {self._compared(self.guess)}"

    def _longest(self):
        """The longest that the sentence can become between these two classes."""
        seen = max(map(self._seen, AMOUNTS.tolist(), self.scan), key=len)
        return max(COVERED, f"{seen} {self._compared(0.0)}", key=len)

    def _seen(self, amount, logits):
        probabilities = logits.double().softmax(0)
        values, order = probabilities.sort(descending=True, stable=True)
        said = [f"{things.CLASSES[k]} {short(p)}" for k, p in zip(order[:2], values[:2].tolist(), strict=True)]
        if not any(words.startswith(f"{self.watched} ") for words in said):
            said.append(f"{self.watched} {short(probabilities[things.CLASSES.index(self.watched)].item())}")
        return f"{amount:.2f} of the way from {self.start.value} to {self.end.value}: {', '.join(said)}."

    def _compared(self, guess):
        tips = self.tipping_points
        if not tips:
            said = "" if guess is None else f"; you said {guess:.2f}"
            return f"Between {self.start.value} and {self.end.value} the network never changes its mind here{said}."
        words = f"For the network it tips at {tips[0]:.2f}"
        if len(tips) > 1:
            words += f", and back and forth until {tips[-1]:.2f}"
        if guess is None:
            return f"{words}."
        apart = round(guess - tips[-1], 2)
        where = "the same place" if apart == 0 else f"{abs(apart):.2f} {'later' if apart > 0 else 'earlier'}"
        return f"{words}; you said {guess:.2f}: {where}."

    @property
    def state(self) -> str:
        """What is shown, as a text: "chair>armchair at 0.34 seed=0 guess=0.50" (guess=none: not guessed, shown).

        Setting it shows that; raises ``ValueError`` for a text that is no state.
        """
        text = f"{self.start.value}>{self.end.value} at {self.slider.value:.2f} seed={self.seed}"
        if self.covered:
            return text
        return f"{text} guess={'none' if self.guess is None else format(self.guess, '.2f')}"

    @state.setter
    def state(self, text: str):
        form = r"\s*(\w+)>(\w+) at (0|1|[01]\.\d+) seed=(\d+)(?: guess=(none|0|1|[01]\.\d+))?\s*"
        parts: Any = re.fullmatch(form, str(text))
        amounts = [float(part) for part in parts.group(3, 5) if part not in (None, "none")] if parts else [2]
        if max(amounts) > 1:
            raise ValueError(f'a state looks like "chair>armchair at 0.34 seed=0 guess=0.50"; got {text!r}.')
        start, end, seed = _name(parts[1]), _name(parts[2]), _seed(int(parts[4]))  # all good before anything changes
        self.seed, self._restoring = seed, True
        try:
            self.start.value, self.end.value = start, end
            self.slider.value = round(float(parts[3]) * STEPS) / STEPS
        finally:
            self._restoring = False
        self.covered = parts[5] is None
        self.guess = None if parts[5] in (None, "none") else float(parts[5])
        self._prepare()

    def _prepare(self):
        """Draw all steps between the two classes, and ask the network about them."""
        self.images = things.morph(self.start.value, self.end.value, AMOUNTS, seed=self.seed)
        self.scan = metrics.predict(self.model, self.images)
        self.bars.longest = self._longest()
        self._draw()

    def _draw(self):
        image = self.images[round(self.slider.value * STEPS)]
        self.logits = metrics.predict(self.model, image[None])[0]
        with self.bars.hold_sync():
            self.bars.teacher, self.bars.pictures = [self.logits.tolist()], [address(image)]
            self.bars.covered, self.bars.sentences = self.covered, [[self.sentence]]
            self.bars.caption = f"{self.slider.value:.2f} of the way from {self.start.value} to {self.end.value}."
        self.field.value = self.state
        self.problem.value = ""

    def _choose(self, change):
        if self._restoring:
            return
        self.guess, self.covered = None, True  # a guess for other classes counts no longer
        with _ErrorsIn(self.problem):
            self._prepare()

    def _redraw(self, change=None):
        if self._restoring:
            return
        with _ErrorsIn(self.problem):
            self._draw()

    def _restore(self, change):
        with _ErrorsIn(self.problem):
            if change["new"] != self.state:
                self.state = change["new"]
            self.problem.value = ""

    def alive(self) -> dict[str, Any]:
        """On a page the slider moves between the frames that were prepared for these two classes."""
        logits = [[round(value, 5) for value in row] for row in self.scan.tolist()]
        name = f"{self.start.value}-{self.end.value}"
        step = round(self.slider.value * STEPS)
        longest = f"{self._longest()} At T = 1: least umbrella 0.000. First to second: 1,000.0 to 1."
        return on_a_page({name: self.images}, [1.0], longest, logits={name: logits}, step=step, guessing=True)

    def __repr__(self):
        return f"MorphPanel({self.state}: {self.sentence})"

    def still(self) -> str:
        """A few steps on the way."""
        some = list(range(0, STEPS + 1, 10))
        strip = figures.pictures(self.images[some], [f"{AMOUNTS[step]:.1f}" for step in some], columns=6)
        alt = f"Six steps from {self.start.value} to {self.end.value}: the measures of its parts change bit by bit."
        return figures.image_tag(strip, alt)


def on_a_page(images: dict[str, Tensor], stops: Sequence[float], longest: str, **state: Any) -> dict[str, Any]:
    """A morph and its bars as ``Panel.alive`` gives them; ``images``, the frames of each pair, by "start-end",
    uint8 ``[N, 3, 32, 32]``.

    ``stops`` are temperatures, ``longest`` is as long as a sentence becomes. ``state`` says where the morph stands, and
    holds "logits", by pair one row for each frame, or the fingerprint of the "network" that the page is to ask.
    """
    classes, pair = list(things.CLASSES), next(iter(images))
    strips = {name: address(frames.transpose(0, 1).flatten(1, 2)) for name, frames in images.items()}  # [3, N H, W]
    morph = {"classes": classes, "stops": list(stops), "strips": strips, "pair": pair, "step": 0} | state
    bars = Bars(classes=classes, labels=[-1], stops=list(stops), longest=longest)
    bars.teacher, bars.pictures = [[0.0] * len(classes)], [address(images[pair][0])]
    bars.sentences = [[""] * len(stops)]
    followed = {name: name for name in ("sentences", "pictures", "caption", "covered")} | {"logits": "teacher"}
    return {
        "parts": [{"kind": "morph", "state": morph}, state_of(bars)],
        "links": [[0, f"{name}_now", 1, follower] for name, follower in followed.items()],
    }


class _ErrorsIn:
    """An error in a callback would vanish: write it where the reader looks."""

    def __init__(self, place):
        self.place = place

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if isinstance(error, Exception):
            self.place.value = f'<p role="alert">{html.escape(f"{error}" or repr(error))}</p>'
        return isinstance(error, Exception)


def _name(name):
    if name not in things.CLASSES:
        raise ValueError(f"there is no thing called {name!r}; choose one of {', '.join(things.CLASSES)}.")
    return name


def _seed(seed):
    return whole(seed, "seed", 0, SEEDS - 1)
