"""An exercise on a student's shape: the best one that answers within a budget of time, here and now."""

import functools
import statistics
from collections.abc import Callable

import torch

from kdkit import models, studies
from kdkit.course import measured
from kdkit.course.check import words
from kdkit.course.check.judging import Verdict
from kdkit.course.check.record import exercise
from kdkit.measure import profiling

REFERENCE, SHARE = (16, 6), 0.85  # the budget: this share of the time that the reference takes
IMAGES = 1
CLOSE = 0.01  # an accuracy that is this near to the best within the budget is as good
ROUNDS = 7
CANNOT_TELL = f"Whether that is within {SHARE}, my clock cannot tell"


@exercise
def student_in_budget(function: Callable) -> Verdict:
    """Check ``function() -> (width, depth)``: a student that is quick enough, as timed now, and knows nearly the most.

    The budget is ``SHARE`` of the time that the student of shape ``REFERENCE`` takes for ``IMAGES`` images. Where
    the clock cannot tell, the reader is right: an answer is too slow, or another shape quick enough, if the middle half
    of the rounds says so. What each shape learns is stored (``measured/shapes-learnt.json``).
    """
    shape = function()
    if shape is Ellipsis:
        return Verdict(None, words.NOT_ATTEMPTED)
    if (refused := _refused(shape)) is not None:
        return refused
    shape, learnt = tuple(shape), accuracies()
    if shape == REFERENCE:
        return Verdict(False, f"{_name(shape)} is the one that is too slow: at most {SHARE} of its own time is wanted")
    taken = shares()
    low, high = taken[shape].quartiles
    clock = f"(middle half {low:.2f} to {high:.2f})"
    took = f"{_name(shape)} takes {taken[shape].median:.2f} of the time of {_name(REFERENCE)} here {clock}"
    if low > SHARE:
        return Verdict(False, f"{took}: more than {SHARE}. {_advice(shape, taken)}")
    kept = [other for other in learnt if other != REFERENCE and taken[other].quartiles[1] <= SHARE]
    best = max([*kept, shape], key=learnt.__getitem__)
    reached = f"{took}, and its students reached {learnt[shape]:.1%}"
    sure = high <= SHARE
    within = "Within the budget" if sure else CANNOT_TELL
    if learnt[best] - learnt[shape] > CLOSE:
        lost = 100 * (learnt[best] - learnt[shape])
        return Verdict(
            False, f"{reached}. {within}, but another shape that surely keeps it is {lost:.1f} points better"
        )
    if not kept:
        return Verdict(
            True, f"{reached}. {CANNOT_TELL}, and of no other shape either: this machine is busy. Check again"
        )
    best = max(kept, key=learnt.__getitem__)
    doubt = "" if sure else f". {CANNOT_TELL}, and counts it as kept"
    others = f"the best that surely keeps the budget is {_name(best)} with {learnt[best]:.1%}"
    return Verdict(True, f"{reached}; {others}{doubt}")


@functools.cache
def accuracies() -> dict[tuple[int, ...], float]:
    """Mean test accuracy of each shape's students, from 0 to 1, by (width, depth)."""
    kept = measured.load("shapes-learnt")
    names = dict.fromkeys(row["student"] for row in kept["rows"])
    seeds = {tuple(map(int, name.split("x"))): studies.by_seed(kept, "shapes", name, "soft") for name in names}
    return {shape: statistics.mean(values) for shape, values in seeds.items()}


def shares() -> dict[tuple[int, ...], profiling.Spread]:
    """Time of each shape in shares of the reference's, as measured now, all in turns: a ``Spread`` each."""
    calls = {REFERENCE: _call(REFERENCE), **{shape: _call(shape) for shape in accuracies()}}
    return {shape: ratio.spread for shape, ratio in profiling.compare(calls, ROUNDS).items()}


def _call(shape):
    return profiling.predicting(models.student(*shape), torch.zeros(IMAGES, 3, 32, 32, dtype=torch.uint8))


def _name(shape):
    return "{}x{}".format(*shape)


def _refused(shape):
    """What is wrong with an answer that is no shape of which students were trained, or None."""
    if shape is None:
        return Verdict(False, words.RETURN_MISSING)
    if not isinstance(shape, tuple | list) or len(shape) != 2 or not all(type(value) is int for value in shape):
        return Verdict(False, f"a pair of whole numbers is wanted, (width, depth); got {shape!r}")
    known = accuracies()
    if tuple(shape) in known:
        return None
    if tuple(reversed(shape)) in known:
        return Verdict(False, f"width comes first, then depth: did you mean {tuple(reversed(shape))}?")
    widths, depths = (sorted(set(values)) for values in zip(*known, strict=True))
    return Verdict(False, f"no students of shape {_name(shape)} were trained: widths {widths}, depths {depths}")


def _advice(shape, taken):
    """What to change, from the times of the shapes that differ from this one in one number."""
    shallower = [other for other in taken if other[0] == shape[0] and other[1] < shape[1]]
    narrower = [other for other in taken if other[1] == shape[1] and other[0] < shape[0]]
    nearest = {"depth": max(shallower, default=None), "width": max(narrower, default=None)}
    saved = {what: taken[shape].median - taken[other].median for what, other in nearest.items() if other}
    worth = [f"one step less {what} would save {share:.2f}" for what, share in saved.items() if share > 0]
    return f"Here, {' and '.join(worth)}" if worth else ""
