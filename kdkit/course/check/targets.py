"""Exercises on probabilities: soft targets, what stands second in them, how undecided they are."""

import math
from collections.abc import Callable

import torch

from kdkit.course.check import samples, words
from kdkit.course.check.judging import Verdict, judge
from kdkit.course.check.record import exercise
from kdkit.measure import metrics


@exercise
def soft_targets(function: Callable) -> Verdict:
    """Check ``function(logits [B, C], temperature) -> probabilities [B, C]`` against softmax(logits / T)."""
    mistakes = {
        "you multiplied by the temperature; divide by it: a high temperature makes the logits smaller": (
            lambda z, t: (z * t).softmax(1)
        ),
        words.ONE_TEMPERATURE: lambda z, t: z.softmax(1),
        "you divided the probabilities: divide the logits, before the softmax": lambda z, t: z.softmax(1) / t,
        words.OVER_BATCH: lambda z, t: (z / t).softmax(0),
        words.LOG_PROBABILITIES: lambda z, t: (z / t).log_softmax(1),
        "you took the softmax twice": lambda z, t: (z / t).softmax(1).softmax(1),
    }
    return judge(
        function, samples.cases(samples.logits, samples.temperature), lambda z, t: (z / t).softmax(1), mistakes
    )


@exercise
def second_choice(function: Callable) -> Verdict:
    """Check ``function(probabilities [B, C], labels [B]) -> classes [B]``: the likeliest of the wrong classes."""

    def right(p, y):
        return p.scatter(1, y[:, None], -1).argmax(1)

    mistakes = {
        "that is the first choice, which is mostly the label itself: leave the label out, then take the largest": (
            lambda p, y: p.argmax(1)
        ),
        "you took the second place of the ranking: where the network errs, the label may stand there, and the first "
        "place is the wrong class that is wanted": lambda p, y: p.argsort(1, descending=True)[:, 1],
        "these are probabilities: return the numbers of the classes (argmax, not max)": (
            lambda p, y: p.scatter(1, y[:, None], -1).amax(1)
        ),
        "that is the least likely class: sort the other way round": lambda p, y: p.argmin(1),
        "you sorted upwards: that is the second least likely class": lambda p, y: p.argsort(1)[:, 1],
        "you took the classes of ALL labels out of every row: probabilities[:, labels] names whole columns; "
        "probabilities[torch.arange(B), labels] names one place in each row": lambda p, y: p.index_fill(
            1, y, -1
        ).argmax(1),
        "that is a place among the wrong classes alone: behind the label all numbers have moved up by one; set the "
        "label's probability to 0 instead of taking it out": lambda p, y: torch.stack(
            [torch.cat([row[:k], row[k + 1 :]]).argmax() for row, k in zip(p, y.tolist(), strict=True)]
        ),
    }
    return judge(function, samples.cases(samples.probabilities, samples.labels), right, mistakes)


@exercise
def mean_soft_targets(function: Callable) -> Verdict:
    """Check ``function(logits [N, C], labels [N]) -> [C, C]``: row k is the mean soft target of images of class k."""

    def rows(values, groups):
        return torch.stack([values[groups == k].mean(0) for k in range(values.shape[1])])

    mistakes = {
        words.LOGITS_AVERAGED: (lambda z, y: rows(z, y).softmax(1)),
        "these are mean logits: the softmax is missing": rows,
        "rows and columns are swapped: the true class belongs in the rows": lambda z, y: rows(z.softmax(1), y).T,
        "you added up and did not divide by the number of images of the class": lambda z, y: torch.stack(
            [z.softmax(1)[y == k].sum(0) for k in range(z.shape[1])]
        ),
        "one row for each of the C classes is wanted, and C differs from check to check: "
        "take logits.shape[1], not 10": (lambda z, y: torch.stack([z.softmax(1)[y == k].mean(0) for k in range(10)])),
        "you divided by the number of all images: divide by that of the class": lambda z, y: torch.stack(
            [z.softmax(1)[y == k].sum(0) / len(y) for k in range(z.shape[1])]
        ),
        words.LOG_PROBABILITIES: lambda z, y: rows(z.log_softmax(1), y),
        words.BY_ANSWER: (lambda z, y: rows(z.softmax(1), z.argmax(1))),
        "your softmax runs over the images: classes are the last dimension, dim=1": lambda z, y: rows(z.softmax(0), y),
    }
    return judge(
        function, samples.cases(samples.logits_of_many, samples.all_labels), metrics.mean_soft_targets, mistakes
    )


def _mean_of(values, labels):
    """Of each row of ``values`` ``[N, C]``, the mean over the rows of the same label."""
    return torch.stack([values[labels == label].mean(0) for label in labels])


def _beyond(targets, mean):
    """The mean KL divergence of ``targets`` ``[N, C]`` from ``mean`` ``[N, C]``, in bits."""
    return (targets * (targets / mean).log2()).sum(1)


def _beyond_class(z, y, t):
    soft = (z / t).softmax(1)
    return _beyond(soft, _mean_of(soft, y)).mean()


def _of_soft(compute):
    """``compute`` of soft targets and labels, as a function of logits, labels and temperature."""
    return lambda z, y, t: compute((z / t).softmax(1), y)


BEYOND_MISTAKES = {
    words.NATS: lambda z, y, t: _beyond_class(z, y, t) * math.log(2),
    words.ONE_TEMPERATURE: lambda z, y, t: _beyond_class(z, y, 1.0),
    "you multiplied by the temperature: divide the logits by it": lambda z, y, t: _beyond_class(z, y, 1 / t),
    "the sign is turned: the mean of the entropies is less than the entropy of the mean": lambda z, y, t: (
        -_beyond_class(z, y, t)
    ),
    "that is the entropy of the mean target: what the class alone leaves open. Take off the mean of the entropies": (
        _of_soft(lambda p, y: metrics.entropy(_mean_of(p, y)).mean())
    ),
    "that is the mean of the entropies, how undecided single targets are: how far do they lie from their class's "
    "mean?": _of_soft(lambda p, y: metrics.entropy(p).mean()),
    "you took the mean of all images: then the class itself counts as information. Take the mean of each class": (
        _of_soft(lambda p, y: _beyond(p, p.mean(0)).mean())
    ),
    "the two are swapped: each image's own target is the weight, the mean of its class stands in the denominator": (
        _of_soft(lambda p, y: _beyond(_mean_of(p, y), p).mean())
    ),
    "you averaged each class first, and then the classes: images count alike, and classes differ in size": (
        _of_soft(lambda p, y: torch.stack([_beyond(p, _mean_of(p, y))[y == k].mean() for k in y.unique()]).mean())
    ),
    words.LOGITS_AVERAGED: (lambda z, y, t: _beyond((z / t).softmax(1), (_mean_of(z, y) / t).softmax(1)).mean()),
    words.BY_ANSWER: _of_soft(lambda p, y: _beyond(p, _mean_of(p, p.argmax(1))).mean()),
    "one number is wanted: average over the images": _of_soft(lambda p, y: _beyond(p, _mean_of(p, y))),
    "you added over the images: the mean is wanted": _of_soft(lambda p, y: _beyond(p, _mean_of(p, y)).sum()),
    "you averaged over the classes too: a divergence is a sum over them": _of_soft(
        lambda p, y: _beyond(p, _mean_of(p, y)).mean() / p.shape[1]
    ),
    "the factor T^2 is in it: it belongs to a loss, and here bits are wanted": lambda z, y, t: (
        t**2 * _beyond_class(z, y, t)
    ),
}


@exercise
def beyond_class(function: Callable) -> Verdict:
    """Check ``function(logits [N, C], labels [N], temperature) -> bits``: the mean over images of the KL divergence
    from the mean soft target of the image's class to its own.
    """
    cases = samples.cases(samples.logits_of_many, samples.all_labels, samples.temperature)
    return judge(function, cases, _beyond_class, BEYOND_MISTAKES)


@exercise
def entropy(function: Callable) -> Verdict:
    """Check ``function(probabilities [B, C]) -> bits [B]``: -sum p log2 p, where 0 log 0 counts as 0."""

    right = metrics.entropy
    mistakes = {
        "a probability of 0 gave nan: 0 times minus infinity. It should add nothing: torch.special.xlogy(p, p), or "
        "clamp p inside the logarithm": lambda p: -(p * p.log2()).sum(1),
        "a probability of 0 gave nan, and the logarithm is the natural one: use torch.special.xlogy(p, p), and divide "
        "by log 2 for bits": lambda p: -(p * p.log()).sum(1),
        words.NATS: lambda p: right(p) * math.log(2),
        "the sign is wrong: the logarithm of a probability is negative, an entropy is not": lambda p: -right(p),
        "you took the logarithm to base 10: for bits take log2": lambda p: right(p) * math.log10(2),
        "each logarithm must be weighted with its probability: p log2 p, not log2 p alone": (
            lambda p: -p.clamp(min=1e-30).log2().sum(1)
        ),
        "these are probabilities already: no further softmax": lambda p: right(p.softmax(1)),
        "you added over the batch (dim=0): one entropy for each row is wanted (dim=1)": (
            lambda p: -torch.special.xlogy(p, p).sum(0) / math.log(2)
        ),
        "you averaged over the classes: an entropy is a sum over them": lambda p: right(p) / p.shape[1],
        "you averaged over the images as well: one entropy for each row is wanted": lambda p: right(p).mean(),
        "you added over the images as well: one entropy for each row is wanted (dim=1)": lambda p: right(p).sum(),
    }
    return judge(function, samples.cases(samples.probabilities_with_zeros), right, mistakes)
