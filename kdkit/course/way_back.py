"""Exposure bias, exactly: a student that slips, and whether it has ever been shown the way back.

A text is a row of moves L, S and R: left, straight, right. The teacher keeps to the middle of a road of 17 lanes; where
it is off it, it steers back. Its own texts never leave the middle (its slips, 1 in 10,000, are left out there). The
student sees where it is, but its hand trembles: three moves in a hundred are drawn evenly. So it comes to places that
the teacher's texts do not hold. How likely each place is at each move is counted, so nothing here is sampled.

Made up to show one thing. On-policy training helps here because three things come together: slips, places that the data
lack, and a teacher that knows the way back (``knows``, which can be taken away).
"""

import torch
from torch import Tensor

from kdkit.data.seeds import generator

LANES, MIDDLE = 17, 8
MOVES = ("L", "S", "R")
LENGTH = 40  # moves
TREMBLE, SLIP = 0.03, 1e-4  # of the student's moves, of the teacher's: shared evenly among the three
STEPS, RATE = 120, 0.05


def teacher(knows: bool = True) -> Tensor:
    """What the teacher says in each lane: probabilities ``[17, 3]``; off the middle at random, unless it ``knows``."""
    found = torch.full((LANES, 3), SLIP / 3, dtype=torch.float64)
    for lane in range(LANES):
        found[lane, MOVES.index("S" if lane == MIDDLE else "R" if lane < MIDDLE else "L")] += 1 - SLIP
    if not knows:
        found[torch.arange(LANES) != MIDDLE] = 1 / 3
    return found


def says(scores: Tensor) -> Tensor:
    """Scores ``[17, 3]`` as what a student does whose hand trembles: probabilities ``[17, 3]``."""
    return (1 - TREMBLE) * scores.softmax(-1) + TREMBLE / 3


def visits(said: Tensor) -> list[Tensor]:
    """How likely each lane ``[17]`` is before each of the moves, of one that begins in the middle."""
    place = (torch.arange(LANES).unsqueeze(1) + torch.tensor([-1, 0, 1])).clamp(0, LANES - 1).flatten()
    now = torch.zeros(LANES, dtype=said.dtype)
    now[MIDDLE] = 1.0
    found = [now]
    for _ in range(LENGTH - 1):
        now = torch.zeros_like(now).index_add(0, place, (now.unsqueeze(1) * said).flatten())
        found.append(now)
    return found


def off_the_track(scores: Tensor) -> list[float]:
    """How likely a student of ``scores`` ``[17, 3]``, on its own, is off the middle before each of its moves."""
    return [1 - now[MIDDLE].item() for now in visits(says(scores))]


def fit(
    prefixes: str, *, knows: bool = True, how: str = "forward", start: Tensor | None = None, seed: int = 0
) -> Tensor:
    """Scores ``[17, 3]`` after 120 steps of Adam on the "teacher"'s prefixes or its "own", from ``start`` if given.

    ``how``: "forward" or "reverse", which KL of the next move. On its teacher's prefixes the lanes beside the middle
    hardly ever come up, and keep the scores that they began with.
    """
    first = 0.5 * torch.randn(LANES, 3, generator=generator(seed), dtype=torch.float64)
    scores = (first if start is None else start.clone()).requires_grad_()
    optimizer, taught = torch.optim.Adam([scores], lr=RATE), teacher(knows)
    middle_only = torch.eye(LANES, dtype=taught.dtype)[MIDDLE]
    for _ in range(STEPS):
        own = says(scores)
        weight = torch.stack(visits(own.detach())).mean(0) if prefixes == "own" else middle_only
        token = (taught * (taught / own).log()) if how == "forward" else (own * (own / taught).log())
        optimizer.zero_grad()
        (weight * token.sum(-1)).sum().backward()
        optimizer.step()
    return scores.detach()
