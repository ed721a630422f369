"""Exercises on a fair comparison: the teacher's own labels, and how sure a handful of seeds can make one."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F

from kdkit.course.check import samples, words
from kdkit.course.check.judging import Verdict, judge
from kdkit.course.check.loss import and_trains
from kdkit.course.check.record import exercise

NORMAL = 1.959964  # the 97.5 % quantile


@exercise
def argmax_loss(function: Callable) -> Verdict:
    """Check ``function(student_logits [B, C], teacher_logits [B, C]) -> number``: cross-entropy with the argmax."""

    def right(s, z):
        return F.cross_entropy(s, z.argmax(1))

    mistakes = {
        "that is the soft cross-entropy: of the teacher's answer only the likeliest class counts here": (
            lambda s, z: F.cross_entropy(s, z.softmax(1))
        ),
        "roles are swapped: the teacher's answer is the label, and the student is to learn it": (
            lambda s, z: F.cross_entropy(z, s.argmax(1))
        ),
        "you took the argmax of the student: it would learn from itself": lambda s, z: F.cross_entropy(s, s.argmax(1)),
        "you took the class that the teacher thinks the least likely: argmax, not argmin": (
            lambda s, z: F.cross_entropy(s, z.argmin(1))
        ),
        words.SOFTMAX_FIRST: (lambda s, z: F.cross_entropy(s.softmax(1), z.argmax(1))),
        "you added over the batch: the mean is wanted": lambda s, z: F.cross_entropy(s, z.argmax(1), reduction="sum"),
        "you took the teacher's logit, or the student's, where its log-probability belongs: log_softmax first": (
            lambda s, z: F.nll_loss(s, z.argmax(1))
        ),
        words.MINUS: (lambda s, z: -F.cross_entropy(s, z.argmax(1))),
        "one number for the whole batch is wanted, the mean over it": (
            lambda s, z: F.cross_entropy(s, z.argmax(1), reduction="none")
        ),
    }
    cases = samples.cases(samples.logits, samples.logits)
    return and_trains(judge(function, cases, right, mistakes), function, cases[0], right)


def _margin(values, quantile=None, below=None):
    """How far the interval of a mean reaches to either side, or a wrong one: with another quantile or divisor."""
    n = len(values)
    return (quantile or _t(n - 1)) * values.std() / (below or math.sqrt(n))


def _spread(first, second):
    """The standard deviation of a difference, were the two unrelated."""
    return (first.var() + second.var()).sqrt()


MARGIN_MISTAKES = {
    "you treated the two as unrelated groups: what varies from seed to seed in both is no doubt about their "
    "difference. Subtract first, seed by seed": lambda a, b: _t(len(a) - 1) * _spread(a, b) / math.sqrt(len(a)),
    "you treated the two as unrelated groups: subtract first, seed by seed": lambda a, b: (
        _t(2 * len(a) - 2) * _spread(a, b) / math.sqrt(len(a))
    ),
    "1.96 is for many seeds; with a handful the t quantile is larger": lambda a, b: _margin(b - a, NORMAL),
    "the t quantile has n - 1 degrees of freedom: one was used up by the mean": (
        lambda a, b: _margin(b - a, _t(len(a)))
    ),
    "that is the 95 % quantile, which leaves 5 % on one side: 2.5 % on each side are wanted, 0.975": (
        lambda a, b: _margin(b - a, _t(len(a) - 1, 0.95))
    ),
    "you divided by n where n - 1 belongs: leave std() as it is (correction=1)": (
        lambda a, b: _t(len(a) - 1) * (b - a).std(correction=0) / math.sqrt(len(a))
    ),
    "you did not divide by the square root of n: that is how far single seeds spread, not how sure their mean is": (
        lambda a, b: _margin(b - a, below=1.0)
    ),
    "multiply by the standard deviation, and divide by the square root of n: the more seeds, the shorter": (
        lambda a, b: _margin(b - a, below=1 / math.sqrt(len(a)))
    ),
    "you divided by the square root of n - 1: that belongs to std(correction=0); std() has it already": (
        lambda a, b: _margin(b - a, below=math.sqrt(len(a) - 1))
    ),
    "twice the standard error is for many seeds; with a handful the t quantile is larger": (
        lambda a, b: _margin(b - a, 2.0)
    ),
    "that is an end of the interval: only how far it reaches from the mean is wanted": (
        lambda a, b: (b - a).mean() + _margin(b - a)
    ),
    "you treated the two as unrelated groups, with 1.96: subtract first, seed by seed, and take the t quantile": (
        lambda a, b: NORMAL * _spread(a, b) / math.sqrt(len(a))
    ),
    "that is the spread of one of the two: it is the difference that counts, second - first": (lambda a, b: _margin(b)),
    "you divided by n instead of its square root": lambda a, b: _margin(b - a, below=len(a)),
    "that is the standard error: times the t quantile, it is half an interval": lambda a, b: _margin(b - a, 1.0),
    "that is the whole width: half of it is wanted": lambda a, b: 2 * _margin(b - a),
    "that is the mean difference itself: how far does its interval reach?": lambda a, b: (b - a).mean(),
    "you took the variance: its square root, std(), has the unit of an accuracy": lambda a, b: (
        _t(len(a) - 1) * (b - a).var() / math.sqrt(len(a))
    ),
}


@exercise
def margin_of_error(function: Callable) -> Verdict:
    """Check ``function(first [n], second [n]) -> number``: half the 95 % t interval of the mean paired difference."""
    return judge(function, _seeds(), lambda a, b: _margin(b - a), MARGIN_MISTAKES)


def _t(freedom, quantile=0.975):
    from scipy.stats import t

    return float(t.ppf(quantile, freedom))


def _seeds():
    """Accuracies, in per cent, of 4 to 9 pairs of students: what a seed does to both is more than what parts them."""
    generator, made = samples.fresh_generator(), []
    for _ in range(samples.ROUNDS):
        n = int(torch.randint(4, 10, (), generator=generator))
        both, own = torch.randn(n, generator=generator) * 2, torch.randn(2, n, generator=generator)
        made.append((70 + both + own[0] / 2, 72 + both + own[1]))
    return made
