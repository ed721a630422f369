"""Two brackets, and a student that forgets which one it opened: whose prefixes, which divergence, computed exactly.

The teacher writes ``( x y … )`` or ``[ x y … ]``. The student is a bigram: it sees the last token alone. Every
expectation over texts is computed, by counting how likely each state is at each step, so nothing here is sampled.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from kdkit.data.seeds import generator

TOKENS = ("(", "[", "x", "y", ")", "]", "end")
BEGIN = len(TOKENS)  # what stands before the first token, for a student that looks back
LENGTH = 24  # tokens after which a text is cut
SLIP = 1e-3  # shared evenly among all tokens: what the teacher says by mistake
STEPS, RATE = 400, 0.05
# where a text is: nothing yet, within ( or [, behind the closing bracket, beyond repair; ended rightly, ended wrongly
START, ROUND, SQUARE, CLOSED, LOST, RIGHT, WRONG = STATES = range(7)


class Measures(NamedTuple):
    """``valid``: the probability of a right text; forward and reverse KL to the teacher, of whole texts, in nats."""

    valid: float
    forward_kl: float
    reverse_kl: float


def teacher(lost: str = "any token") -> Tensor:
    """What the teacher says in each state: probabilities ``[7 states, 7 tokens]``.

    ``lost``: what it says after a mistake, where no text of its own ever is: "any token", or it "ends".
    """
    said = {START: {"(": 0.5, "[": 0.5}, ROUND: {"x": 0.3, "y": 0.3, ")": 0.4}, SQUARE: {"x": 0.3, "y": 0.3, "]": 0.4}}
    said |= {CLOSED: {"end": 1.0}, LOST: {"end": 1.0} if lost == "ends" else {}}
    found = torch.full((len(STATES), len(TOKENS)), SLIP / len(TOKENS), dtype=torch.float64)
    for state, tokens in said.items():
        for token, probability in tokens.items():
            found[state, TOKENS.index(token)] += (1 - SLIP) * probability
    return found / found.sum(1, keepdim=True)


def moves() -> Tensor:
    """The state that each token leads to: int64 ``[7 states, 7 tokens]``."""
    found = torch.full((len(STATES), len(TOKENS)), LOST)
    found[:, -1] = WRONG
    found[START, :2] = torch.tensor([ROUND, SQUARE])
    found[ROUND, 2:4], found[ROUND, 4] = ROUND, CLOSED
    found[SQUARE, 2:4], found[SQUARE, 5] = SQUARE, CLOSED
    found[CLOSED, 6], found[RIGHT], found[WRONG] = RIGHT, RIGHT, WRONG
    return found


def visits(said: Tensor) -> list[Tensor]:
    """How likely each pair of state and last token is before each step, and after the last: ``[7, 8]`` each.

    ``said``: probabilities of the next token there, ``[7 states, 8 last tokens, 7 tokens]``.
    """
    tokens = torch.arange(len(TOKENS)).expand(len(STATES), BEGIN + 1, len(TOKENS))
    place = (moves().unsqueeze(1) * (BEGIN + 1) + tokens).flatten()  # state and last token as one number
    now = torch.zeros(len(STATES), BEGIN + 1, dtype=said.dtype)
    now[START, BEGIN] = 1.0
    found = [now]
    for _ in range(LENGTH):
        after = (now.unsqueeze(2) * said).flatten()
        now = torch.zeros(now.numel(), dtype=said.dtype).index_add(0, place, after).view_as(now)
        found.append(now)
    return found


def student_says(scores: Tensor) -> Tensor:
    """Scores ``[8 last tokens, 7 tokens]`` as what a bigram says, in whatever state: ``[7, 8, 7]``."""
    return scores.softmax(-1).expand(len(STATES), *scores.shape)


def divergence(scores: Tensor, taught: Tensor, how: str, prefixes: str) -> Tensor:
    """The loss of ``scores`` ``[8, 7]`` against ``taught`` ``[7, 7]``: a scalar, the expected sum over a text's tokens.

    ``how``: "forward", "reverse" or "jensen-shannon". ``prefixes``: of the "teacher"; its "own", each token judged by
    itself; or "whole text", its own as well, where it also answers for the states that its tokens lead to.
    """
    own = student_says(scores)
    theirs = taught.unsqueeze(1).expand(own.shape)
    middle = (own + theirs) / 2
    token = {
        "forward": lambda: (theirs * (theirs / own).log()).sum(-1),
        "reverse": lambda: (own * (own / theirs).log()).sum(-1),
        "jensen-shannon": lambda: ((theirs * (theirs / middle).log() + own * (own / middle).log()) / 2).sum(-1),
    }[how]()
    writer = {"teacher": theirs, "own": own.detach(), "whole text": own}[prefixes]
    token = token[:RIGHT]  # nothing is said where a text has ended
    return torch.stack([(now[:RIGHT] * token).sum() for now in visits(writer)[:-1]]).sum()


def fit(how: str, prefixes: str, *, lost: str = "any token", start: Tensor | None = None, seed: int = 0) -> Tensor:
    """Scores ``[8, 7]`` of a student that has learnt, from ``start`` or from small random ones: 400 steps of Adam."""
    first = 0.1 * torch.randn(BEGIN + 1, len(TOKENS), generator=generator(seed), dtype=torch.float64)
    scores = (first if start is None else start.clone()).requires_grad_()
    optimizer, taught = torch.optim.Adam([scores], lr=RATE), teacher(lost)
    for _ in range(STEPS):
        optimizer.zero_grad()
        divergence(scores, taught, how, prefixes).backward()
        optimizer.step()
    return scores.detach()


def judge(scores: Tensor, lost: str = "any token") -> Measures:
    """How right the texts of a student with these ``scores`` ``[8, 7]`` are, and how far from the teacher's."""
    taught = teacher(lost)
    valid = visits(student_says(scores))[-1][RIGHT].sum()
    whole = [divergence(scores, taught, "forward", "teacher"), divergence(scores, taught, "reverse", "own")]
    return Measures(*(value.item() for value in (valid, *whole)))
