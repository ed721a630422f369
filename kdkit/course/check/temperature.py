"""Exercises on what the temperature does: the divergence, its gradient, and the limit."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F

from kdkit import losses
from kdkit.course.check import judging
from kdkit.course.check.judging import Verdict, judge
from kdkit.course.check.loss import RAW_WEIGHTS, weighted_kl
from kdkit.course.check.record import exercise


def _kl(s, z, t, u=None):
    """KL(teacher || student); ``u``: another temperature for the student."""
    return F.kl_div((s / (u or t)).log_softmax(1), (z / t).softmax(1), reduction="batchmean")


KL_MISTAKES = {
    "student and teacher are swapped: KL(teacher || student) is weighted with the teacher's probabilities": (
        lambda s, z, t: _kl(z, s, t)
    ),
    "F.kl_div wants the LOGARITHM of the student's probabilities: log_softmax on that side": lambda s, z, t: F.kl_div(
        (s / t).softmax(1), (z / t).softmax(1), reduction="batchmean"
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
    "the batch alone": lambda s, z, t: _kl(s, z, t) / s.shape[1],
    "you added over the batch and did not divide by its size": lambda s, z, t: _kl(s, z, t) * len(s),
    "the temperature makes no difference to your answer: divide both networks' logits by it": (
        lambda s, z, t: _kl(s, z, 1.0)
    ),
    "you multiplied by the temperature: divide the logits by it": lambda s, z, t: _kl(s, z, 1 / t),
    "only the teacher was softened: divide the student's logits by the temperature too": (
        lambda s, z, t: _kl(s, z, t, 1.0)
    ),
    "the factor T^2 is in it: it belongs to the loss, and here the bare KL is wanted": (
        lambda s, z, t: t**2 * _kl(s, z, t)
    ),
    RAW_WEIGHTS: lambda s, z, t: weighted_kl(z / t, s, z, t),
    f"{RAW_WEIGHTS}, of logits / T": lambda s, z, t: weighted_kl(z, s, z, t),
    "this is the cross-entropy: subtract the teacher's entropy, so that equal networks give 0": lambda s, z, t: (
        -((z / t).softmax(1) * (s / t).log_softmax(1)).sum(1).mean()
    ),
}


@exercise
def kl_divergence(function: Callable) -> Verdict:
    """Check ``function(student_logits [B, C], teacher_logits [B, C], temperature) -> number`` against
    ``kdkit.losses.kl_divergence``: KL(teacher || student), the mean over the batch, without T^2.
    """
    cases = judging.cases(judging.logits, judging.logits, judging.temperature)
    return judge(function, cases, losses.kl_divergence, KL_MISTAKES)


@exercise
def kd_gradient(function: Callable) -> Verdict:
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
        "this is made of the raw logits: the gradient is a difference of probabilities, softmax of logits / T": (
            lambda s, z, t: t * (s - z) / len(s)
        ),
        "this is made of logits / T: the gradient is a difference of probabilities, so take the softmax of either": (
            lambda s, z, t: (s - z) / len(s)
        ),
        "you took both softmaxes at T = 1: divide the logits by the temperature": (
            lambda s, z, t: t * (s.softmax(1) - z.softmax(1)) / len(s)
        ),
    }
    return judge(function, judging.cases(judging.logits, judging.logits, judging.temperature), right, mistakes)


@exercise
def high_temperature_gradient(function: Callable) -> Verdict:
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
