"""What is left of a teacher's next token if its k likeliest are kept: a slider for k."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import anywidget
import ipywidgets
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from kdkit.course import figures
from kdkit.course.figures import inputs
from kdkit.course.figures.axes import BLACK, BLUE, ORANGE, SMALL, WIDTH, describe, new_axes
from kdkit.course.widgets.bars import short
from kdkit.course.widgets.panel import Panel, script
from kdkit.losses.arguments import check_dense, described

KEPT_STOPS = 1, 2, 3, 5, 10, 20, 50, 100, 300, 1000, 3000, 10_000, 30_000, 100_000  # and all tokens
WITH_BARS = 12  # tokens that have a bar of their own
SMALL_VOCABULARY = 2**16  # tokens whose place can be told in two bytes


class Kept(NamedTuple):
    """What the k likeliest tokens hold of a teacher's probability, and what is lost with the others, in nats.

    ``evenly``: KL(teacher || truncation) where the tail is spread evenly over the others, all that is known of them;
    ``renormalised``: KL(truncation || teacher) without a tail, which is -ln of ``share``.
    """

    k: int
    share: float
    tail: float
    evenly: float
    renormalised: float


class TopKPanel(Panel):
    """A slider for k over the bars of a teacher's next token: what is kept, what the tail holds, what both cost.

    Parameters:
        logits: the teacher's ``[N, V]`` at N places.
        tokens: V names.
        prefixes: N texts, each what stands before its place.

    ``kept`` has what is said, a list of ``Kept`` for each place. It is drawn in the browser and works without a kernel
    too. From code: ``panel.slider.index = 3``; ``panel.chooser.index = 1`` for another place. Raises ``ValueError`` for
    what does not fit together.
    """

    def __init__(self, logits: Tensor, tokens: Sequence[str], prefixes: Sequence[str]):
        inputs.check_names("tokens", tokens)
        ordered, order = _one_row_a_place(logits, len(tokens)).log_softmax(-1).sort(-1, descending=True)
        inputs.check_names("prefixes", prefixes, len(logits))
        self.prefixes, self.vocab_size = tuple(prefixes), len(tokens)
        stops = [stop for stop in KEPT_STOPS if stop < self.vocab_size] + [self.vocab_size]
        self.kept = [[_what_is_kept(row, k) for k in stops] for row in ordered]
        self.tops = [
            [(tokens[at], math.exp(value)) for at, value in zip(places, row, strict=True)]
            for places, row in zip(order[:, :WITH_BARS].tolist(), ordered[:, :WITH_BARS].tolist(), strict=True)
        ]
        self.slider = ipywidgets.SelectionSlider(
            options=[(f"{k:,}" if k < self.vocab_size else f"{k:,}, all", k) for k in stops],
            value=min(5, self.vocab_size),
            description="Tokens kept, k",
            style={"description_width": "initial"},
            layout={"width": "98%"},
        )
        style = {"description_width": "initial"}
        self.chooser = ipywidgets.Dropdown(options=self.prefixes, index=0, description="After", style=style)
        self.bars = self._made_bars()
        chooser = [self.chooser] if len(self.prefixes) > 1 else []
        links = [((menu, "index"), (self.bars, "place")) for menu in chooser]
        links.append(((self.slider, "index"), (self.bars, "stop")))
        super().__init__([*chooser, self.slider, self.bars], links)

    def _made_bars(self):
        """The bars, which will follow the slider and the chooser in the browser."""
        sentences = [[self._words(place, kept) for kept in row] for place, row in enumerate(self.kept)]
        return TopKBars(
            tokens=[[token for token, _ in row] for row in self.tops],
            teacher=[[probability for _, probability in row] for row in self.tops],
            stops=[kept.k for kept in self.kept[0]],
            shares=[[kept.share for kept in row] for row in self.kept],
            vocab_size=self.vocab_size,
            sentences=sentences,
            longest=max((words for row in sentences for words in row), key=len),
            stop=self.slider.index,
        )

    @property
    def shown(self) -> Kept:
        """What is said of the chosen place at the k of the slider."""
        return self.kept[self.chooser.index][self.slider.index]

    @property
    def sentence(self) -> str:
        """What the bars show, in words."""
        return self._words(self.chooser.index, self.shown)

    def _words(self, place, kept):
        k, left = kept.k, self.vocab_size - kept.k
        stored = bytes_a_token(k, self.vocab_size)
        begins = f"After “{self.prefixes[place]}”, k = {k:,}: "
        costs = f" {stored:,} bytes a token"
        if left == 0:
            return f"{begins}nothing is left out, and nothing is lost.{costs}."
        tokens = "token holds" if k == 1 else "tokens hold"
        return (
            f"{begins}the likeliest {tokens} {100 * kept.share:.1f} % of the teacher's probability, the tail of "
            f"{left:,} others {100 * kept.tail:.1f} %. With the tail, spread evenly: KL(teacher ‖ truncation) "
            f"{kept.evenly:.3f} nats. Renormalised: each kept one is {1 / kept.share:.2f} times as likely, "
            f"KL(truncation ‖ teacher) {kept.renormalised:.3f}, the other way round infinite.{costs} "
            f"instead of {bytes_a_token(self.vocab_size, self.vocab_size):,}."
        )

    def __repr__(self):
        return f"TopKPanel({self.sentence})"

    def still(self) -> str:
        """The bars where they stand now."""
        drawing = _draw_kept(self.tops[self.chooser.index], self.shown, self.vocab_size)
        return figures.image_tag(drawing, self.sentence)


class TopKBars(anywidget.AnyWidget):
    """The browser's side: the likeliest tokens of each place, what is kept of them at each stop, and a sentence."""

    _esm = script("numbers.js", "svg.js", "top_k.js")
    tokens: traitlets.List = traitlets.List().tag(sync=True)  # [places][WITH_BARS], the likeliest first
    teacher: traitlets.List = traitlets.List().tag(sync=True)  # their probabilities
    stops: traitlets.List = traitlets.List().tag(sync=True)  # k
    shares: traitlets.List = traitlets.List().tag(sync=True)  # [places][stops], probability of the k likeliest
    vocab_size = traitlets.Int(0).tag(sync=True)
    sentences: traitlets.List = traitlets.List().tag(sync=True)  # [places][stops]
    longest = traitlets.Unicode().tag(sync=True)
    stop = traitlets.Int(0).tag(sync=True)
    place = traitlets.Int(0).tag(sync=True)

    def __repr__(self):
        return "TopKBars()"


def bytes_a_token(k: int, vocab_size: int) -> int:
    """What ``k`` of a teacher's log-probabilities take on disk, in half precision.

    Each needs its place in the vocabulary beside it, two bytes or four, unless all are kept.

    >>> bytes_a_token(20, 3000), bytes_a_token(3000, 3000), bytes_a_token(20, 150_000)
    (80, 6000, 120)
    """
    return 2 * k if k == vocab_size else k * (4 if vocab_size <= SMALL_VOCABULARY else 6)


def _one_row_a_place(logits, vocab_size):
    if not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape[1] != vocab_size or len(logits) == 0:
        got = list(logits.shape) if isinstance(logits, Tensor) else described(logits)
        raise ValueError(
            f"logits must be a tensor [N, {vocab_size}], one row a place, for {vocab_size} tokens; got {got}."
        )
    check_dense("logits", logits)
    if not logits.isfinite().all():
        raise ValueError("logits must be finite numbers; got nan or infinity among them.")
    return logits.detach().double()


def _what_is_kept(log_t, k):
    """``Kept`` of log-probabilities ``[V]``, the largest first."""
    t, left = log_t.exp(), len(log_t) - k
    share, tail = min(1.0, t[:k].sum().item()), t[k:].sum().item()
    evenly = (t[k:] * (log_t[k:] - math.log(tail / left))).sum().item() if left and tail else 0.0
    return Kept(k, share, tail, max(0.0, evenly), -math.log(share))


def _bars_of(top, kept, vocab_size):
    """Names, probabilities and whether they are kept, of all bars: tokens, further ones, tail."""
    rows = [(token, probability, number < kept.k) for number, (token, probability) in enumerate(top)]
    seen, further = sum(probability for _, probability in top), max(0, kept.k - len(top))
    if kept.k < len(top):
        seen = sum(probability for _, probability, is_kept in rows if is_kept)
    return [
        *rows,
        (f"{further:,} more kept", max(0.0, kept.share - seen), True),
        (f"tail: {vocab_size - kept.k:,} tokens", kept.tail, False),
    ]


def _draw_kept(top, kept: Kept, vocab_size: int) -> Figure:
    """The same as a still picture."""
    rows = _bars_of(top, kept, vocab_size)
    fig, axes = new_axes(1, 1, (WIDTH, 0.27 * len(rows) + 1))
    axis, last = axes[0, 0], len(rows) - 1
    for at, (_, probability, is_kept) in enumerate(rows):
        look = {"color": BLUE} if is_kept else {"facecolor": "white", "edgecolor": BLACK, "linestyle": ":"}
        if at == last:
            look = {"facecolor": ORANGE, "edgecolor": BLACK, "hatch": "//"}
        axis.barh(at, probability, 0.8, **look)
        if is_kept:
            axis.barh(at, probability / kept.share, 0.8, facecolor="none", edgecolor=BLACK, linestyle="--")
        words = short(probability) + (
            f", renormalised {short(probability / kept.share)}" if is_kept and probability else ""
        )
        place = probability / kept.share if is_kept else probability
        axis.annotate(words, (place, at), (5, 0), textcoords="offset points", va="center", fontsize=SMALL)
    axis.set_yticks(range(len(rows)), [name for name, *_ in rows])
    axis.set(xlim=(0, 1.3), ylim=(last + 0.6, -0.6), xlabel="probability", xticks=[0, 0.25, 0.5, 0.75, 1])
    title = f"k = {kept.k:,} keeps {100 * kept.share:.0f} % of the probability"
    return describe(fig, title, "; ".join(f"{name} {short(probability)}" for name, probability, _ in rows))
