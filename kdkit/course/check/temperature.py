"""Exercises on what the temperature does to the gradient, and on its limit."""

import copy
from collections.abc import Callable

import torch

from kdkit import losses
from kdkit.course.check import samples, words
from kdkit.course.check.judging import Verdict, judge
from kdkit.course.check.record import exercise


@exercise
def kd_gradient(function: Callable) -> Verdict:
    """Check ``function(student_logits [B, C], teacher_logits [B, C], temperature) -> [B, C]`` against autograd:
    the gradient of T^2 KL(teacher || student), mean over the batch, with respect to the student's logits.
    """

    def right(s, z, t):
        return samples.gradient(lambda s: t**2 * losses.kl_divergence(s, z, t), s)

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
        words.BATCH_MEAN: lambda s, z, t: right(s, z, t) * len(s),
        "you divided by the number of classes as well: the mean runs over the batch alone": (
            lambda s, z, t: right(s, z, t) / s.shape[1]
        ),
        "this is the gradient of the bare KL for one image, as derived above: multiply by T^2, and divide by the "
        "number of images": lambda s, z, t: right(s, z, t) * len(s) / t**2,
        words.OVER_BATCH: (lambda s, z, t: t * ((s / t).softmax(0) - (z / t).softmax(0)) / len(s)),
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
    cases = samples.cases(samples.logits, samples.logits, samples.temperature)
    verdict = judge(function, cases, right, mistakes)
    if verdict.passed and _walks_back(function, cases[0]):
        return Verdict(False, f"not yet: {words.AUTOGRAD}")
    return verdict


def _walks_back(function, case):
    """Whether ``function`` sends a gradient back through what it computed: then something is unpacked again."""
    unpacked = []
    with torch.autograd.graph.saved_tensors_hooks(lambda kept: kept, lambda kept: unpacked.append(1) or kept):
        try:
            function(*copy.deepcopy(case))
        except RuntimeError:  # torch.func.grad refuses these hooks
            return True
    return bool(unpacked)


@exercise
def high_temperature_gradient(function: Callable) -> Verdict:
    """Check ``function(student_logits [B, C], teacher_logits [B, C]) -> [B, C]``: what the gradient of T^2 KL becomes
    when T grows without limit (Hinton et al. 2015, arXiv:1503.02531, equation 4, for logits of any mean).
    """

    def right(s, z):
        difference = s - z
        return (difference - difference.mean(1, keepdim=True)) / difference.numel()

    mistakes = {
        "the logits were not centred: adding a number to all logits of an image changes no probability, so it must "
        "not change the gradient": lambda s, z: (s - z) / s.numel(),
        "you centred over the batch: the mean runs over the classes of each image, dim=1": (
            lambda s, z: (s - z - (s - z).mean(0)) / s.numel()
        ),
        "you centred with the mean of everything: each image has a mean of its own, over its classes (dim=1)": (
            lambda s, z: (s - z - (s - z).mean()) / s.numel()
        ),
        "only one network's logits were centred: centre both, or their difference": (
            lambda s, z: (s - z + z.mean(1, keepdim=True)) / s.numel()
        ),
        "the number of classes is missing: near the uniform distribution each probability is about 1/C": (
            lambda s, z: right(s, z) * s.shape[1]
        ),
        words.BATCH_MEAN: lambda s, z: right(s, z) * len(s),
        "the sign is turned: student minus teacher": lambda s, z: -right(s, z),
    }
    return judge(function, samples.cases(samples.logits, samples.logits), right, mistakes)
