"""Exercise checks: run the reader's function on new random inputs, and say what is wrong with it."""

import math

import torch
import torch.nn.functional as F

from kdkit import losses, metrics
from kdkit.check import judging
from kdkit.check.judging import Verdict, guess, judge

__all__ = [
    "Verdict",
    "entropy",
    "guess",
    "high_temperature_gradient",
    "kd_gradient",
    "kl_divergence",
    "mean_soft_targets",
    "second_choice",
    "soft_targets",
]


def soft_targets(function):
    """Check ``function(logits [B, C], temperature) -> probabilities [B, C]`` against softmax(logits / T)."""
    mistakes = {
        "you multiplied by the temperature; divide by it: a high temperature makes the logits smaller": (
            lambda z, t: (z * t).softmax(1)
        ),
        "the temperature makes no difference to your answer: divide the logits by it": lambda z, t: z.softmax(1),
        "you divided the probabilities: divide the logits, before the softmax": lambda z, t: z.softmax(1) / t,
        "your softmax runs over the batch: classes are the last dimension, dim=1": lambda z, t: (z / t).softmax(0),
        "these are log-probabilities: softmax, not log_softmax": lambda z, t: (z / t).log_softmax(1),
        "you took the softmax twice": lambda z, t: (z / t).softmax(1).softmax(1),
    }
    return judge(
        function, judging.cases(judging.logits, judging.temperature), lambda z, t: (z / t).softmax(1), mistakes
    )


def second_choice(function):
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
    return judge(function, judging.cases(judging.probabilities, judging.labels), right, mistakes)


def mean_soft_targets(function):
    """Check ``function(logits [N, C], labels [N]) -> [C, C]``: row k is the mean soft target of pictures of class k."""

    def rows(values, groups):
        return torch.stack([values[groups == k].mean(0) for k in range(values.shape[1])])

    mistakes = {
        "you averaged the logits and took the softmax afterwards: soften each picture first, then average": (
            lambda z, y: rows(z, y).softmax(1)
        ),
        "these are mean logits: the softmax is missing": rows,
        "rows and columns are swapped: the true class belongs in the rows": lambda z, y: rows(z.softmax(1), y).T,
        "you added up and did not divide by the number of pictures of the class": lambda z, y: torch.stack(
            [z.softmax(1)[y == k].sum(0) for k in range(z.shape[1])]
        ),
        "one row for each of the C classes is wanted, and C differs from check to check: "
        "take logits.shape[1], not 10": (lambda z, y: torch.stack([z.softmax(1)[y == k].mean(0) for k in range(10)])),
        "you divided by the number of all pictures: divide by that of the class": lambda z, y: torch.stack(
            [z.softmax(1)[y == k].sum(0) / len(y) for k in range(z.shape[1])]
        ),
        "these are log-probabilities: softmax, not log_softmax": lambda z, y: rows(z.log_softmax(1), y),
        "you grouped by the network's answer (argmax): group by the label": (
            lambda z, y: rows(z.softmax(1), z.argmax(1))
        ),
        "your softmax runs over the pictures: classes are the last dimension, dim=1": lambda z, y: rows(
            z.softmax(0), y
        ),
    }
    return judge(
        function, judging.cases(judging.logits_of_many, judging.all_labels), metrics.mean_soft_targets, mistakes
    )


def entropy(function):
    """Check ``function(probabilities [B, C]) -> bits [B]``: -sum p log2 p, where 0 log 0 counts as 0."""

    right = metrics.entropy
    mistakes = {
        "a probability of 0 gave nan: 0 times minus infinity. It should add nothing: torch.special.xlogy(p, p), or "
        "clamp p inside the logarithm": lambda p: -(p * p.log2()).sum(1),
        "a probability of 0 gave nan, and the logarithm is the natural one: use torch.special.xlogy(p, p), and divide "
        "by log 2 for bits": lambda p: -(p * p.log()).sum(1),
        "this is in nats: for bits take log2, or divide by log 2": lambda p: right(p) * math.log(2),
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
        "you averaged over the pictures as well: one entropy for each row is wanted": lambda p: right(p).mean(),
        "you added over the pictures as well: one entropy for each row is wanted (dim=1)": lambda p: right(p).sum(),
    }
    return judge(function, judging.cases(judging.probabilities_with_zeros), right, mistakes)


def kl_divergence(function):
    """Check ``function(student_logits [B, C], teacher_logits [B, C], temperature) -> number`` against
    ``kdkit.losses.kl_divergence``: KL(teacher || student), the mean over the batch, without T^2.
    """

    def kl(s, z, t, u=None):
        return F.kl_div((s / (u or t)).log_softmax(1), (z / t).softmax(1), reduction="batchmean")

    mistakes = {
        "student and teacher are swapped: KL(teacher || student) is weighted with the teacher's probabilities": (
            lambda s, z, t: kl(z, s, t)
        ),
        "F.kl_div wants the LOGARITHM of the student's probabilities: log_softmax on that side": lambda s, z, t: (
            F.kl_div((s / t).softmax(1), (z / t).softmax(1), reduction="batchmean")
        ),
        "the result is nan. F.kl_div wants the student's log_softmax first and the teacher's softmax second: "
        "logarithms or bare logits in second place give nan": lambda s, z, t: torch.tensor(math.nan),
        "your softmax runs over the batch: classes are the last dimension, dim=1": lambda s, z, t: F.kl_div(
            (s / t).log_softmax(0), (z / t).softmax(0), reduction="batchmean"
        ),
        "one number is wanted: average over the batch": lambda s, z, t: F.kl_div(
            (s / t).log_softmax(1), (z / t).softmax(1), reduction="none"
        ).sum(1),
        "two things at once: a softmax where F.kl_div wants log_softmax (its first argument), and an average over the "
        "classes too (the default reduction)": lambda s, z, t: (
            F.kl_div((s / t).softmax(1), (z / t).softmax(1), reduction="sum") / s.numel()
        ),
        "you averaged over the classes as well: too small by the number of classes. reduction='batchmean' divides by "
        "the batch alone": lambda s, z, t: kl(s, z, t) / s.shape[1],
        "you added over the batch and did not divide by its size": lambda s, z, t: kl(s, z, t) * len(s),
        "the temperature makes no difference to your answer: divide both networks' logits by it": (
            lambda s, z, t: kl(s, z, 1.0)
        ),
        "you multiplied by the temperature: divide the logits by it": lambda s, z, t: kl(s, z, 1 / t),
        "only the teacher was softened: divide the student's logits by the temperature too": (
            lambda s, z, t: kl(s, z, t, 1.0)
        ),
        "the factor T^2 is in it: it belongs to the loss, and here the bare KL is wanted": (
            lambda s, z, t: t**2 * kl(s, z, t)
        ),
        "this is the cross-entropy: subtract the teacher's entropy, so that equal networks give 0": lambda s, z, t: (
            -((z / t).softmax(1) * (s / t).log_softmax(1)).sum(1).mean()
        ),
    }
    return judge(
        function, judging.cases(judging.logits, judging.logits, judging.temperature), losses.kl_divergence, mistakes
    )


def kd_gradient(function):
    """Check ``function(student_logits [B, C], teacher_logits [B, C], temperature) -> [B, C]`` against autograd:
    the gradient of T^2 KL(teacher || student), mean over the batch, by the student's logits.
    """

    def right(s, z, t):
        return judging.gradient(lambda s: t**2 * losses.kl_divergence(s, z, t), s)

    mistakes = {
        "the sign is turned: the gradient points away from the teacher (s - t), the step goes against it": (
            lambda s, z, t: -right(s, z, t)
        ),
        "this is the gradient of KL without T^2: multiply by T^2": lambda s, z, t: right(s, z, t) / t**2,
        "you kept all of T^2: the softmax has a 1/T inside, and the chain rule brings it out; one T is left": (
            lambda s, z, t: right(s, z, t) * t
        ),
        "no T is left in yours: T^2 from the loss times 1/T from the chain rule makes T": (
            lambda s, z, t: right(s, z, t) / t
        ),
        "the loss is a mean over the batch: divide by its size": lambda s, z, t: right(s, z, t) * len(s),
        "you divided by the number of classes as well: the mean runs over the batch alone": (
            lambda s, z, t: right(s, z, t) / s.shape[1]
        ),
        "this is the gradient of the bare KL for one picture, as derived above: multiply by T^2, and divide by the "
        "number of pictures": lambda s, z, t: right(s, z, t) * len(s) / t**2,
        "your softmax runs over the batch: classes are the last dimension, dim=1": (
            lambda s, z, t: t * ((s / t).softmax(0) - (z / t).softmax(0)) / len(s)
        ),
        "only one network was softened: divide both networks' logits by the temperature": (
            lambda s, z, t: t * (s.softmax(1) - (z / t).softmax(1)) / len(s)
        ),
        "you took both softmaxes at T = 1: divide the logits by the temperature": (
            lambda s, z, t: t * (s.softmax(1) - z.softmax(1)) / len(s)
        ),
    }
    return judge(function, judging.cases(judging.logits, judging.logits, judging.temperature), right, mistakes)


def high_temperature_gradient(function):
    """Check ``function(student_logits [B, C], teacher_logits [B, C]) -> [B, C]``: what the gradient of T^2 KL becomes
    when T grows without limit (Hinton et al. 2015, arXiv:1503.02531, equation 4, for logits of any mean).
    """

    def right(s, z):
        difference = s - z
        return (difference - difference.mean(1, keepdim=True)) / difference.numel()

    mistakes = {
        "the logits were not centred: adding a number to all logits of a picture changes no probability, so it must "
        "not change the gradient": lambda s, z: (s - z) / s.numel(),
        "you centred over the batch: the mean runs over the classes of each picture, dim=1": (
            lambda s, z: (s - z - (s - z).mean(0)) / s.numel()
        ),
        "you centred with the mean of everything: the mean runs over the classes of each picture, dim=1": (
            lambda s, z: (s - z - (s - z).mean()) / s.numel()
        ),
        "only one network's logits were centred: centre both, or their difference": (
            lambda s, z: (s - z + z.mean(1, keepdim=True)) / s.numel()
        ),
        "the number of classes is missing: near the uniform distribution each probability is about 1/C": (
            lambda s, z: right(s, z) * s.shape[1]
        ),
        "the loss is a mean over the batch: divide by its size": lambda s, z: right(s, z) * len(s),
        "the sign is turned: student minus teacher": lambda s, z: -right(s, z),
    }
    return judge(function, judging.cases(judging.logits, judging.logits), right, mistakes)
