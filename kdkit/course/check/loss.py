"""Exercises on the loss."""

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from kdkit import losses
from kdkit.course.check import judging, samples, words
from kdkit.course.check.judging import Verdict, judge
from kdkit.course.check.record import exercise


def _itself(t):
    return t


def each_term(
    s: Tensor,
    z: Tensor,
    t: float,
    *,
    swap: bool = False,
    log: bool = True,
    dim: int = -1,
    student_t: Callable = _itself,
    teacher_t: Callable = _itself,
    weights: Callable | None = None,
    entropy: bool = True,
) -> Tensor:
    """The terms of KL(teacher || student) of logits ``[..., C]``, not added up, ``[..., C]``: right, or with mistakes.

    ``swap``: the two networks. ``log``: log_softmax on the student's side. ``dim``: of the softmax. ``student_t``,
    ``teacher_t``: what stands in place of T. ``weights(z, T)``: in place of the teacher's probabilities. ``entropy``:
    whether the teacher's is taken off, which makes KL of the cross-entropy.
    """
    s, z = (z, s) if swap else (s, z)
    s, z = s / student_t(t), z / teacher_t(t)
    student = s.log_softmax(dim) if log else s.softmax(dim)
    teacher = z.log_softmax(dim)
    return (teacher.exp() if weights is None else weights(z, t)) * ((teacher if entropy else 0) - student)


def _mean_of_images(each):
    return each.sum(-1).mean()


def _one(t):
    return 1.0


def _four(t):
    return 4.0


SOFT_CHANGES: dict[str, dict[str, Any]] = {
    words.SWAPPED: {"swap": True},
    words.LOG_MISSING: {"log": False},
    words.NO_TEMPERATURE: {"student_t": _one, "teacher_t": _one},
    words.MULTIPLIED: {"student_t": lambda t: 1 / t, "teacher_t": lambda t: 1 / t},
    words.ONLY_TEACHER: {"student_t": _one},
    words.ONLY_STUDENT: {"teacher_t": _one},
    words.FOUR: {"student_t": _four, "teacher_t": _four},
    words.RAW_WEIGHTS: {"weights": lambda z, t: z},
    f"{words.RAW_WEIGHTS}, of logits / T": {"weights": lambda z, t: t * z},
    words.CROSS_ENTROPY: {"entropy": False},
}
IMAGE_CHANGES: dict[str, dict[str, Any]] = {
    **SOFT_CHANGES,
    words.OVER_BATCH: {"dim": 0},
    words.CLASSES_TOO: {"over": Tensor.mean},
    words.NOT_DIVIDED: {"over": Tensor.sum},
}


def kl_with(*, factor: Callable = _one, over: Callable = _mean_of_images, **change: Any) -> Callable:
    """A function of student and teacher logits ``[B, C]`` and T: KL(teacher || student), or with mistakes.

    ``factor(T)`` before it; ``over``: how its terms ``[B, C]`` become a scalar; ``change``: see ``each_term``.
    """
    return lambda s, z, t: factor(t) * over(each_term(s, z, t, **change))


KL_MISTAKES = judging.two_at_once(
    kl_with,
    {
        **IMAGE_CHANGES,
        words.NAN: {"factor": lambda t: math.nan},
        words.PER_IMAGE: {"over": lambda each: each.sum(-1)},
        words.SQUARE: {"factor": lambda t: t**2},
    },
)


@exercise
def kl_divergence(function: Callable) -> Verdict:
    """Check ``function(student_logits [B, C], teacher_logits [B, C], temperature) -> number`` against
    ``kdkit.losses.kl_divergence``: KL(teacher || student), the mean over the batch, without T^2.
    """
    cases = samples.cases(samples.logits, samples.logits, samples.temperature)
    far = samples.cases(samples.far_apart, samples.far_apart, samples.temperature)[0]
    return and_far(judge(function, cases, losses.kl_divergence, *KL_MISTAKES), function, far, losses.kl_divergence)


def _cross_entropy(*, sign=1, over=_mean_of_images, student=lambda s: s, entropy=False, **change):
    """A function of student and teacher logits ``[B, C]``: the soft cross-entropy, or with mistakes."""
    return lambda s, z: sign * over(each_term(student(s), z, 1.0, entropy=entropy, **change))


CROSS_ENTROPY_MISTAKES = judging.two_at_once(
    _cross_entropy,
    {
        "this is the KL divergence: here the teacher's entropy stays in": {"entropy": True},
        "the logarithm is missing: log s_i, with log_softmax": {"log": False},
        words.SWAPPED: {"swap": True},
        words.CLASSES_TOO: {"over": Tensor.mean},
        words.NOT_DIVIDED: {"over": Tensor.sum},
        words.PER_IMAGE: {"over": lambda each: each.sum(-1)},
        words.SIGN: {"sign": -1},
        "this is the cross-entropy with the teacher's argmax: use all of its probabilities": {
            "weights": lambda z, t: F.one_hot(z.argmax(1), z.shape[1])
        },
        "the teacher's logits are no weights yet: take their softmax": {"weights": lambda z, t: z},
        "you took the softmax of the student twice: F.cross_entropy and log_softmax want logits": {
            "student": lambda s: s.softmax(1)
        },
        words.OVER_BATCH: {"dim": 0},
    },
)
NO_SOFTMAX = "neither network's logits are probabilities yet: the teacher's softmax, the student's log_softmax"


@exercise
def soft_cross_entropy(function: Callable) -> Verdict:
    """Check ``function(student_logits [B, C], teacher_logits [B, C]) -> number``: -sum_i t_i log s_i, both at T = 1,
    the mean over the batch. The student must get its gradient.
    """
    right, (alone, pairs) = losses.soft_cross_entropy, CROSS_ENTROPY_MISTAKES
    cases = samples.cases(samples.logits, samples.logits)
    far = samples.cases(samples.far_apart, samples.far_apart)[0]
    mistakes = {**alone, NO_SOFTMAX: lambda s, z: -(z * s).sum(1).mean()}
    verdict = and_far(judge(function, cases, right, mistakes, pairs), function, far, right)
    return and_trains(verdict, function, cases[0], right)


def _label_loss(s, z, y, t):
    return F.cross_entropy(s, y)


def _square(t):
    return t**2


def _kd(*, factor=_square, soft=_itself, hard=lambda w: 1 - w, label=_label_loss, over=_mean_of_images, **change):
    """A function of student and teacher logits, labels ``[B]``, T and the soft term's weight: the loss, or mistakes."""
    return lambda s, z, y, t, w: soft(w) * factor(t) * over(each_term(s, z, t, **change)) + hard(w) * label(s, z, y, t)


def weighted_loss(s: Tensor, z: Tensor, y: Tensor, t: float, w: float) -> Tensor:
    """``kd_loss`` of student and teacher logits ``[B, C]`` and labels ``[B]``, with weights w and 1 - w: a scalar."""
    return losses.kd_loss(s, z, y, temperature=t, soft_weight=w, hard_weight=1 - w)


TRAINS_THE_SAME = (
    "the soft term is a cross-entropy: it trains the same, but does not read 0 when the student matches. Use KL"
)
TOO_WEAK = "the soft term is averaged over the classes too, and is too weak by their number: reduction='batchmean'"
KD_CHANGES: dict[str, dict[str, Any]] = {
    "the factor T^2 is missing: without it the soft term fades as T rises": {"factor": _one},
    "one T is missing: the factor is T^2, for the gradient shrinks with 1/T^2": {"factor": lambda t: t},
    "you divided by T^2: multiply": {"factor": lambda t: t**-2},
    "16 is T^2 for T = 4 alone: write temperature**2": {"factor": lambda t: 16.0},
    words.NAN: {"factor": lambda t: math.nan},
    "the weights are swapped: soft_weight stands before the KL term": {"soft": lambda w: 1 - w, "hard": lambda w: w},
    "the weights of the two terms must add up to 1: 1 - soft_weight before the cross-entropy": {"hard": _one},
    "soft_weight is missing before the KL term": {"soft": _one},
    "neither term is weighted": {"soft": _one, "hard": _one},
    "the label is not used: a part 1 - soft_weight of the loss is its cross-entropy": {"hard": lambda w: 0.0},
    "the teacher is not used: only the label's cross-entropy is there": {"soft": lambda w: 0.0, "hard": _one},
    "this is the soft term alone, without its weight: the label's part is missing": {
        "soft": _one,
        "hard": lambda w: 0.0,
    },
    "T^2 belongs to the soft term alone: the labels' cross-entropy does not know T": {
        "label": lambda s, z, y, t: t**2 * F.cross_entropy(s, y)
    },
    "the hard term is at the temperature too: the label's cross-entropy takes the bare logits": {
        "label": lambda s, z, y, t: F.cross_entropy(s / t, y)
    },
    "the teacher stands in the cross-entropy with the label: the student belongs there": {
        "label": lambda s, z, y, t: F.cross_entropy(z, y)
    },
    "the hard term is added over the batch: divide by its size": {
        "label": lambda s, z, y, t: F.cross_entropy(s, y, reduction="sum")
    },
    "you took the softmax of the student twice in the hard term: F.cross_entropy wants logits": {
        "label": lambda s, z, y, t: F.cross_entropy(s.softmax(1), y)
    },
    TOO_WEAK: {"over": Tensor.mean},
    TRAINS_THE_SAME: {"entropy": False},
    **{
        f"in the soft term, {explanation}": change
        for explanation, change in IMAGE_CHANGES.items()
        if explanation not in (words.CLASSES_TOO, words.CROSS_ENTROPY)
    },
}
KD_MISTAKES, KD_PAIRS = judging.two_at_once(_kd, KD_CHANGES)


@exercise
def kd_loss(function: Callable) -> Verdict:
    """Check ``function(student_logits [B, C], teacher_logits [B, C], labels [B], temperature, soft_weight) -> number``
    against ``kdkit.losses.kd_loss``: soft_weight T^2 KL + (1 - soft_weight) cross-entropy. The gradient must reach
    the student, and not the teacher.
    """
    others = samples.labels, samples.temperature, samples.share
    cases = samples.cases(samples.logits, samples.logits, *others)
    far = samples.cases(samples.far_apart, samples.far_apart, *others)[0]
    verdict = judge(function, cases, weighted_loss, KD_MISTAKES, KD_PAIRS)
    verdict = and_far(verdict, function, far, weighted_loss)
    return and_trains(verdict, function, cases[0], weighted_loss, shielded=True)


def mean_of_tokens(each: Tensor, m: Tensor) -> Tensor:
    """Terms ``[B, L, V]`` added over the words, then the mean over the tokens of the mask ``[B, L]``: a scalar."""
    return each.sum(-1)[m].mean()


def _sequence(*, factor=_one, over=mean_of_tokens, **change):
    """A function of student and teacher logits ``[B, L, V]``, a mask ``[B, L]`` and T: KL a token, or with mistakes."""
    return lambda s, z, m, t: factor(t) * over(each_term(s, z, t, **change), m)


TOKEN_CHANGES: dict[str, dict[str, Any]] = {
    words.PADDING: {"over": lambda each, m: each.sum(-1).mean()},
    "you divided by the sentences: 'batchmean' on [B, L, V] divides by B alone, so long ones weigh more. Divide by "
    "the number of tokens, mask.sum()": {"over": lambda each, m: each[m].sum() / len(m)},
    "padding counts, and you divided by the sentences: 'batchmean' on [B, L, V] divides by B alone": {
        "over": lambda each, m: each.sum() / len(m)
    },
    words.MEAN_OF_ALL: {"over": lambda each, m: (each.sum(-1) * m).mean()},
    "padding counts, and you averaged over the words of the vocabulary too": {"over": lambda each, m: each.mean()},
    "you averaged over the words of the vocabulary too: it is a sum over them": {
        "over": lambda each, m: each[m].mean()
    },
    words.MASK_TURNED: {"over": lambda each, m: mean_of_tokens(each, ~m if (~m).any() else m)},
    words.PER_SENTENCE: {"over": lambda each, m: ((each.sum(-1) * m).sum(1) / m.sum(1)).mean()},
    words.TOKENS_NOT_DIVIDED: {"over": lambda each, m: each[m].sum()},
    words.PER_TOKEN: {"over": lambda each, m: each.sum(-1)[m]},
    words.OVER_TOKENS: {"dim": 1},
}
SEQUENCE_MISTAKES = judging.two_at_once(
    _sequence,
    {**TOKEN_CHANGES, words.SQUARE: {"factor": _square}, words.NAN: {"factor": lambda t: math.nan}, **SOFT_CHANGES},
)


@exercise
def sequence_kl(function: Callable) -> Verdict:
    """Check ``function(student_logits [B, L, V], teacher_logits [B, L, V], mask [B, L], temperature) -> number``:
    KL(teacher || student), the mean over the tokens that the mask selects, without T^2.
    """
    right, others = _sequence(), (samples.mask, samples.temperature)
    cases = samples.cases(samples.sentences, samples.sentences, *others)
    far = samples.cases(samples.far_apart_sentences, samples.far_apart_sentences, *others)[0]
    verdict = and_far(judge(function, cases, right, *SEQUENCE_MISTAKES), function, far, right)
    return and_trains(verdict, function, cases[0], right)


def and_far(verdict: Verdict, function: Callable, case: tuple, right: Callable) -> Verdict:
    """Of an answer that is right on ordinary logits: whether it is on those of ``case``, which lie far apart."""
    if not verdict.passed:
        return verdict
    got, wanted = (judging.plain(of(*copy.deepcopy(case))).item() for of in (function, right))
    if not math.isfinite(got):
        return Verdict(False, f"not yet: {words.LOG_OF_ZERO.format(got=got)}")
    if abs(got - wanted) > judging.COARSE * abs(wanted):
        return Verdict(False, f"not yet: {words.ADDED_IN_LOG.format(got=f'{got:.4g}', wanted=f'{wanted:.4g}')}")
    return verdict


def and_trains(verdict: Verdict, function: Callable, case: tuple, right: Callable, shielded: bool = False) -> Verdict:
    """Of an answer whose numbers are right: whether its gradient reaches the student. ``shielded``: and nobody else.

    ``case``: the student's and the teacher's tensors first, ``[B, ...]``, then the other arguments.
    """
    if not verdict.passed:
        return verdict
    student, teacher = case[0].clone().requires_grad_(), case[1].clone().requires_grad_(shielded)
    leaves = [student, teacher] if shielded else [student]
    ours = torch.autograd.grad(right(student, teacher, *case[2:]), student)[0]
    try:
        loss = function(student * 1, teacher * 1, *copy.deepcopy(case[2:]))  # no leaves: they may be changed
        if not isinstance(loss, torch.Tensor) or not loss.requires_grad:
            return Verdict(False, f"not yet: {words.NO_GRADIENT}")
        mine, *others = torch.autograd.grad(loss.sum(), leaves, allow_unused=True)
    except Exception as error:
        return judging.stopped(error, function)
    if mine is None or not torch.allclose(mine, ours, rtol=1e-3, atol=judging.TOLERANCE):
        return Verdict(
            False,
            "not yet: the number is right, but the student's gradient is not that of the loss: part of its side is "
            "cut off, or something small is added inside the logarithm",
        )
    if any(other is not None and other.abs().max() > 0 for other in others):
        what = "a gradient flows into the teacher as well: take .detach() of what the teacher gave"
        return Verdict(False, f"not yet: the number is right, but {what}")
    return verdict
