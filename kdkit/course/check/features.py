"""Exercises on what a teacher computes on the way, and on its soft target taken apart."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from kdkit import losses
from kdkit.course.check import samples, words
from kdkit.course.check.judging import Verdict, judge
from kdkit.course.check.loss import and_trains
from kdkit.course.check.record import exercise


def _projected(s: Tensor, w: Tensor) -> Tensor:
    """The student's maps ``[B, S, H, W]`` with the teacher's T channels, by weights ``[T, S]`` at each place."""
    return torch.einsum("ts,bshw->bthw", w, s)


def _of_gap(reduce: Callable) -> Callable:
    return lambda s, t, w: reduce(_projected(s, w) - t)


def _hint(s, t, w):
    return losses.hint(_projected(s, w), t)


HINT_MISTAKES = {
    "you added and did not divide: the mean over all entries is wanted": _of_gap(lambda gap: gap.square().sum()),
    "you divided by the batch alone: the mean is over channels and places, too": _of_gap(
        lambda gap: gap.square().sum() / len(gap)
    ),
    "you divided by the places as well as by all entries": _of_gap(lambda gap: gap.square().mean() / gap[0, 0].numel()),
    "the square is missing: this is the mean absolute difference": _of_gap(lambda gap: gap.abs().mean()),
    "the square is missing: differences of both signs cancel": _of_gap(lambda gap: gap.mean()),
    "the root is too much: the mean of the squares is wanted": _of_gap(lambda gap: gap.square().mean().sqrt()),
    "half of it: FitNets' equation has a 1/2, here the plain mean is wanted": _of_gap(
        lambda gap: gap.square().mean() / 2
    ),
    "the sign is turned: a loss falls as the two come together": _of_gap(lambda gap: -gap.square().mean()),
    "one number is wanted: average over all entries": _of_gap(lambda gap: gap.square()),
    "you brought both features to length 1 first: then a hint sees only directions": lambda s, t, w: F.mse_loss(
        F.normalize(_projected(s, w)), F.normalize(t)
    ),
    "you averaged the places away first: a hint compares place by place": lambda s, t, w: F.mse_loss(
        _projected(s, w).mean((2, 3)), t.mean((2, 3))
    ),
    "you projected the teacher down to the student: project the student up, so that all of the teacher counts": (
        lambda s, t, w: F.mse_loss(s, torch.einsum("ts,bthw->bshw", w, t))
    ),
}


@exercise
def projected_hint(function: Callable) -> Verdict:
    """Check ``function(student_feature [B, S, H, W], teacher_feature [B, T, H, W], weight [T, S]) -> number``: the
    student's channels are mixed by the weights at each place, then the mean squared error.
    """
    cases = samples.cases(_narrow, _wide, _weights)
    verdict = and_trains(judge(function, cases, _hint, HINT_MISTAKES), function, cases[0], _hint, shielded=True)
    student, teacher, weight = cases[0]
    if verdict.passed and not _reaches(lambda w: function(student.clone(), teacher.clone(), w), weight):
        return Verdict(
            False,
            "not yet: the number is right, but no gradient reaches the projector's weight, so it would never learn",
        )
    return verdict


def _reaches(function: Callable[[Tensor], Tensor], weight: Tensor) -> bool:
    """Whether a gradient comes from what ``function`` gives, a scalar, to the ``weight`` ``[T, S]``."""
    weight = weight.clone().requires_grad_()
    loss = function(weight.clone())
    if not loss.requires_grad:
        return False
    (slope,) = torch.autograd.grad(loss, weight, allow_unused=True)
    return slope is not None and bool(slope.abs().max() > 0)


def _products(f: Tensor) -> Tensor:
    return f.flatten(1) @ f.flatten(1).T


GRAM_MISTAKES = {
    "the rows are as they come: divide each row of the table by its own length": _products,
    "you divided the features by their length, and not the rows of the table: these are cosines": lambda f: (
        F.normalize(f.flatten(1)) @ F.normalize(f.flatten(1)).T
    ),
    "these are cosines, with rows divided afterwards: leave the features as long as they are": lambda f: F.normalize(
        F.normalize(f.flatten(1)) @ F.normalize(f.flatten(1)).T
    ),
    "you divided by the columns' lengths: rows are dim=1": lambda f: F.normalize(_products(f), dim=0),
    "you divided each row by the sum of its absolute values: its length is the root of its sum of squares": (
        lambda f: F.normalize(_products(f), p=1.0)
    ),
    "you divided the whole table by one number: each row has a length of its own": lambda f: (
        _products(f) / _products(f).norm()
    ),
    "you took a softmax: divide each row by its length": lambda f: _products(f).softmax(1),
    "you averaged the places away first: flatten each image's feature to one row": lambda f: F.normalize(
        f.mean((2, 3)) @ f.mean((2, 3)).T
    ),
    "these are distances, which are small where two are alike: inner products are wanted": lambda f: F.normalize(
        torch.cdist(f.flatten(1), f.flatten(1))
    ),
    "you compared the channels of all images, not the images: rows @ rows.T": lambda f: F.normalize(
        torch.einsum("bchw,bdhw->cd", f, f)
    ),
}


@exercise
def gram(function: Callable) -> Verdict:
    """Check ``function(feature [B, C, H, W]) -> [B, B]``: the inner products of all pairs of flattened features, each
    row divided by its L2 norm.
    """
    return judge(function, samples.cases(_narrow), lambda f: F.normalize(_products(f)), GRAM_MISTAKES)


def _others(logits: Tensor, y: Tensor) -> Tensor:
    """Logits ``[B, C]`` without those of the labels: ``[B, C - 1]``."""
    kept = torch.ones_like(logits, dtype=torch.bool).scatter(1, y[:, None], False)
    return logits[kept].view(len(logits), -1)


def _other_classes(s, z, y, t):
    return losses.kl_divergence(_others(s, y), _others(z, y), t)


OTHER_MISTAKES = {
    "all classes are in it: leave the labelled one out before the softmax": lambda s, z, y, t: losses.kl_divergence(
        s, z, t
    ),
    "the labelled class is left out of the sum, but the others do not add up to 1: leave it out before the softmax": (
        lambda s, z, y, t: (
            (_others((z / t).softmax(1), y) * (_others((z / t).log_softmax(1), y) - _others((s / t).log_softmax(1), y)))
            .sum(1)
            .mean()
        )
    ),
    "the logit of the labelled class is set to 0, which is a logit like any other: -inf, or leave it out": (
        lambda s, z, y, t: losses.kl_divergence(s.scatter(1, y[:, None], 0.0), z.scatter(1, y[:, None], 0.0), t)
    ),
    "this is the first part, is it the label or not: the second is about the others among themselves": (
        lambda s, z, y, t: losses.dkd(s, z, y, temperature=t, other_weight=0.0) / t**2
    ),
    "it is weighted with the teacher's probability of all others, as KL itself does: here each image counts alike": (
        lambda s, z, y, t: losses.kl_divergence(s, z, t) - losses.dkd(s, z, y, temperature=t, other_weight=0.0) / t**2
    ),
    "the factor T^2 is in it: here the bare KL is wanted": lambda s, z, y, t: t**2 * _other_classes(s, z, y, t),
    "the temperature makes no difference to your answer": lambda s, z, y, t: _other_classes(s, z, y, 1.0),
    "student and teacher are swapped: the teacher's probabilities are the weights": lambda s, z, y, t: _other_classes(
        z, s, y, t
    ),
    "you averaged over the classes too: it is a sum over them": lambda s, z, y, t: (
        _other_classes(s, z, y, t) / (s.shape[1] - 1)
    ),
    "you added over the batch: divide by its size": lambda s, z, y, t: _other_classes(s, z, y, t) * len(s),
    words.CROSS_ENTROPY: lambda s, z, y, t: losses.soft_cross_entropy(_others(s, y), _others(z, y), t),
}


@exercise
def other_classes(function: Callable) -> Verdict:
    """Check ``function(student_logits [B, C], teacher_logits [B, C], labels [B], temperature) -> number``: the KL
    divergence of teacher and student among the classes that are not the label; mean over the batch, without T^2.
    """
    cases = samples.cases(samples.logits, samples.logits, samples.labels, samples.temperature)
    verdict = judge(function, cases, _other_classes, OTHER_MISTAKES)
    return and_trains(verdict, function, cases[0], _other_classes, shielded=True)


def _narrow(generator: torch.Generator) -> Tensor:
    """Features of a student, 4 images of 3 channels at 2 x 5 places: ``[4, 3, 2, 5]``."""
    return torch.randn(4, 3, 2, 5, generator=generator)


def _wide(generator: torch.Generator) -> Tensor:
    """Features of its teacher, with 6 channels: ``[4, 6, 2, 5]``."""
    return torch.randn(4, 6, 2, 5, generator=generator)


def _weights(generator: torch.Generator) -> Tensor:
    """Weights of a projector, ``[6, 3]``."""
    return torch.randn(6, 3, generator=generator)
