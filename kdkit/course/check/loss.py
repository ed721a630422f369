"""Exercises on the loss."""

import copy
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from kdkit import losses
from kdkit.course.check import judging
from kdkit.course.check.judging import Verdict, judge
from kdkit.course.check.record import exercise


def soften(logits: Tensor, temperature: float) -> Tensor:
    """softmax(logits / T) over the last dimension, of a shape as ``logits`` ``[..., C]``."""
    return (logits / temperature).softmax(-1)


def log_soften(logits: Tensor, temperature: float) -> Tensor:
    """log softmax(logits / T) over the last dimension, of a shape as ``logits`` ``[..., C]``."""
    return (logits / temperature).log_softmax(-1)


@exercise
def soft_cross_entropy(function: Callable) -> Verdict:
    """Check ``function(student_logits [B, C], teacher_logits [B, C]) -> number``: -sum_i t_i log s_i, both at T = 1,
    the mean over the batch. The student must get its gradient.
    """

    def ce(s, z):
        return -(z.softmax(1) * s.log_softmax(1)).sum(1)

    right = losses.soft_cross_entropy
    mistakes = {
        "this is the KL divergence: here the teacher's entropy stays in": losses.kl_divergence,
        "the logarithm is missing: log s_i, with log_softmax": lambda s, z: (
            -(z.softmax(1) * s.softmax(1)).sum(1).mean()
        ),
        "student and teacher are swapped: the teacher's probabilities are the weights, the student's stand in the "
        "logarithm": lambda s, z: ce(z, s).mean(),
        "you averaged over the classes as well: it is a sum over them": lambda s, z: ce(s, z).mean() / s.shape[1],
        "you added over the batch and did not divide by its size": lambda s, z: ce(s, z).sum(),
        "one number is wanted: average over the batch": ce,
        "the sign is turned: a logarithm of a probability is negative, a loss is not": lambda s, z: -ce(s, z).mean(),
        "this is the cross-entropy with the teacher's argmax: use all of its probabilities": (
            lambda s, z: F.cross_entropy(s, z.argmax(1))
        ),
        "the teacher's logits are no weights yet: take their softmax": (
            lambda s, z: -(z * s.log_softmax(1)).sum(1).mean()
        ),
        "neither network's logits are probabilities yet: the teacher's softmax, the student's log_softmax": (
            lambda s, z: -(z * s).sum(1).mean()
        ),
        "you took the softmax of the student twice: F.cross_entropy and log_softmax want logits": (
            lambda s, z: ce(s.softmax(1), z).mean()
        ),
        "your softmax runs over the batch: classes are the last dimension, dim=1": lambda s, z: (
            -(z.softmax(0) * s.log_softmax(0)).sum(1).mean()
        ),
    }
    cases = judging.cases(judging.logits, judging.logits)
    return and_trains(judge(function, cases, right, mistakes), function, cases[0], right)


def _made_of(soft, hard=lambda s, y, t: F.cross_entropy(s, y), t_power=2):
    return lambda s, z, y, t, w: w * t**t_power * soft(s, z, t) + (1 - w) * hard(s, y, t)


def weighted_loss(s: Tensor, z: Tensor, y: Tensor, t: float, w: float) -> Tensor:
    """``kd_loss`` of student and teacher logits ``[B, C]`` and labels ``[B]``, with weights w and 1 - w: a scalar."""
    return losses.kd_loss(s, z, y, temperature=t, soft_weight=w, hard_weight=1 - w)


def weighted_kl(weights: Tensor, s: Tensor, z: Tensor, t: float) -> Tensor:
    """The sum of KL with other weights than the teacher's probabilities, all ``[..., C]``; mean over the rest."""
    return (weights * (log_soften(z, t) - log_soften(s, t))).sum(-1).mean()


def weighted_ce(weights: Tensor, s: Tensor, t: float) -> Tensor:
    """A cross-entropy with any weights before the logarithms, both ``[..., C]``; mean over the rest: a scalar."""
    return -(weights * log_soften(s, t)).sum(-1).mean()


kl, ce = losses.kl_divergence, F.cross_entropy
RAW_WEIGHTS = "the teacher's raw logits stand before the logarithms as weights, and are no probabilities: softmax first"
TRAINS_THE_SAME = (
    "the soft term is a cross-entropy: it trains the same, but does not read 0 when the student matches. Use KL"
)
TOO_WEAK = "the soft term is averaged over the classes too, and is too weak by their number: reduction='batchmean'"
KD_MISTAKES = {
    "the factor T^2 is missing: without it the soft term fades as T rises": _made_of(kl, t_power=0),
    "one T is missing: the factor is T^2, for the gradient shrinks with 1/T^2": _made_of(kl, t_power=1),
    "T^2 belongs to the soft term alone: the labels' cross-entropy does not know T": lambda s, z, y, t, w: (
        t**2 * (w * kl(s, z, t) + (1 - w) * ce(s, y))
    ),
    "you divided by T^2: multiply": _made_of(kl, t_power=-2),
    "the weights are swapped: soft_weight stands before the KL term": lambda s, z, y, t, w: weighted_loss(
        s, z, y, t, 1 - w
    ),
    "the hard term is at the temperature too: the label's cross-entropy takes the bare logits": _made_of(
        kl, lambda s, y, t: ce(s / t, y)
    ),
    "the weights of the two terms must add up to 1: 1 - soft_weight before the cross-entropy": lambda s, z, y, t, w: (
        w * t**2 * kl(s, z, t) + ce(s, y)
    ),
    "soft_weight is missing before the KL term": lambda s, z, y, t, w: t**2 * kl(s, z, t) + (1 - w) * ce(s, y),
    "neither term is weighted": lambda s, z, y, t, w: t**2 * kl(s, z, t) + ce(s, y),
    "the label is not used: a part 1 - soft_weight of the loss is its cross-entropy": lambda s, z, y, t, w: (
        w * t**2 * kl(s, z, t)
    ),
    "the teacher is not used: only the label's cross-entropy is there": lambda s, z, y, t, w: ce(s, y),
    TOO_WEAK: _made_of(lambda s, z, t: kl(s, z, t) / s.shape[1]),
    "the soft term is added over the batch: divide by its size": _made_of(lambda s, z, t: kl(s, z, t) * len(s)),
    "student and teacher are swapped in the soft term": _made_of(  # by F.kl_div, which lets the gradient through
        lambda s, z, t: F.kl_div(log_soften(z, t), soften(s, t), reduction="batchmean")
    ),
    "the student needs log_softmax in the soft term, not softmax": _made_of(
        lambda s, z, t: F.kl_div(soften(s, t), soften(z, t), reduction="batchmean")
    ),
    "only the teacher is softened: divide the student's logits by T too": _made_of(
        lambda s, z, t: F.kl_div(log_soften(s, 1), soften(z, t), reduction="batchmean")
    ),
    "only the student is softened: divide the teacher's logits by T too": _made_of(
        lambda s, z, t: F.kl_div(log_soften(s, t), soften(z, 1), reduction="batchmean")
    ),
    "the result is nan. F.kl_div wants the student's log_softmax first and the teacher's softmax second": (
        lambda s, z, y, t, w: math.nan * s.sum()
    ),
    RAW_WEIGHTS: _made_of(lambda s, z, t: weighted_kl(z / t, s, z, t)),
    f"{RAW_WEIGHTS}, of logits / T": _made_of(lambda s, z, t: weighted_kl(z, s, z, t)),
    f"{RAW_WEIGHTS}; this holds for a cross-entropy too": _made_of(lambda s, z, t: weighted_ce(z / t, s, t)),
    f"{RAW_WEIGHTS}, of logits / T; this holds for a cross-entropy too": _made_of(lambda s, z, t: weighted_ce(z, s, t)),
    "your softmax runs over the batch: classes are the last dimension, dim=1": _made_of(
        lambda s, z, t: F.kl_div((s / t).log_softmax(0), (z / t).softmax(0), reduction="batchmean")
    ),
    "you multiplied the logits by the temperature: divide them": _made_of(lambda s, z, t: kl(s, z, 1 / t)),
    "the factor T^2 and the label are missing: this is soft_weight times the bare KL": (
        lambda s, z, y, t, w: w * kl(s, z, t)
    ),
    "this is the soft term alone, without its weight: the label's part is missing": (
        lambda s, z, y, t, w: t**2 * kl(s, z, t)
    ),
    "two things at once: the factor T^2 is missing, and the soft term is averaged over the classes too": _made_of(
        lambda s, z, t: kl(s, z, t) / s.shape[1], t_power=0
    ),
    "two things at once: neither network is softened, and the factor T^2 is missing": _made_of(
        lambda s, z, t: kl(s, z, 1.0), t_power=0
    ),
    "the teacher stands in the cross-entropy with the label: the student belongs there": lambda s, z, y, t, w: (
        w * t**2 * kl(s, z, t) + (1 - w) * ce(z, y)
    ),
    "the hard term is added over the batch: divide by its size": _made_of(
        kl, lambda s, y, t: F.cross_entropy(s, y, reduction="sum")
    ),
    "the temperature is not in the soft term: divide both networks' logits by it": _made_of(
        lambda s, z, t: kl(s, z, 1.0)
    ),
    TRAINS_THE_SAME: _made_of(losses.soft_cross_entropy),
    "you took the softmax of the student twice in the hard term: F.cross_entropy wants logits": _made_of(
        kl, lambda s, y, t: ce(s.softmax(1), y)
    ),
}


@exercise
def kd_loss(function: Callable) -> Verdict:
    """Check ``function(student_logits [B, C], teacher_logits [B, C], labels [B], temperature, soft_weight) -> number``
    against ``kdkit.losses.kd_loss``: soft_weight T^2 KL + (1 - soft_weight) cross-entropy. The gradient must reach
    the student, and not the teacher.
    """
    makers = judging.logits, judging.logits, judging.labels, judging.temperature, judging.share
    cases = judging.cases(*makers)
    verdict = judge(function, cases, weighted_loss, KD_MISTAKES)
    return and_trains(verdict, function, cases[0], weighted_loss, shielded=True)


def _token_kl(s, z, t):
    """KL(teacher || student) of each token."""
    return (soften(z, t) * (log_soften(z, t) - log_soften(s, t))).sum(-1)  # [B, L]


def _sequence_kl(s, z, m, t):
    """The mean of that over the tokens that the mask selects."""
    return _token_kl(s, z, t)[m].mean()


SEQUENCE_MISTAKES = {
    "the padding counts in yours: select the tokens with the mask, for instance student_logits[mask]": (
        lambda s, z, m, t: _token_kl(s, z, t).mean()
    ),
    "you divided by the sentences: 'batchmean' on [B, L, V] divides by B alone, so long ones weigh more. Divide by "
    "the number of tokens, mask.sum()": lambda s, z, m, t: _token_kl(s, z, t)[m].sum() / len(s),
    "padding counts, and you divided by the sentences: 'batchmean' on [B, L, V] divides by B alone": (
        lambda s, z, m, t: _token_kl(s, z, t).sum() / len(s)
    ),
    "you left the padding out of the sum but not out of the mean: divide by mask.sum(), not by B times L": (
        lambda s, z, m, t: (_token_kl(s, z, t) * m).mean()
    ),
    "padding counts, and you averaged over the words of the vocabulary too": (
        lambda s, z, m, t: _token_kl(s, z, t).mean() / s.shape[-1]
    ),
    "you averaged over the words of the vocabulary too: it is a sum over them": (
        lambda s, z, m, t: _sequence_kl(s, z, m, t) / s.shape[-1]
    ),
    "the mask is turned round: True says that a token counts": lambda s, z, m, t: (
        _sequence_kl(s, z, ~m, t) if (~m).any() else _sequence_kl(s, z, m, t)
    ),
    "you averaged each sentence first: then a token of a short sentence weighs more. All tokens count alike": (
        lambda s, z, m, t: ((_token_kl(s, z, t) * m).sum(1) / m.sum(1)).mean()
    ),
    "you added and did not divide: by mask.sum(), the number of tokens": lambda s, z, m, t: _token_kl(s, z, t)[m].sum(),
    "your softmax runs over the tokens of a sentence (dim=1): words are the last dimension, dim=-1": (
        lambda s, z, m, t: ((z / t).softmax(1) * ((z / t).log_softmax(1) - (s / t).log_softmax(1))).sum(-1)[m].mean()
    ),
    "student and teacher are swapped: KL(teacher || student) is weighted with the teacher's probabilities": (
        lambda s, z, m, t: _sequence_kl(z, s, m, t)
    ),
    "the factor T^2 is in it: here the bare KL is wanted": lambda s, z, m, t: t**2 * _sequence_kl(s, z, m, t),
    "the temperature makes no difference to your answer": lambda s, z, m, t: _sequence_kl(s, z, m, 1.0),
    "you multiplied by the temperature: divide the logits by it": lambda s, z, m, t: _sequence_kl(s, z, m, 1 / t),
    "the student needs log_softmax: F.kl_div wants its LOGARITHM": lambda s, z, m, t: F.kl_div(
        soften(s[m], t), soften(z[m], t), reduction="batchmean"
    ),
    "only the teacher is softened: divide the student's logits by T too": lambda s, z, m, t: F.kl_div(
        log_soften(s[m], 1), soften(z[m], t), reduction="batchmean"
    ),
    "only the student is softened: divide the teacher's logits by T too": lambda s, z, m, t: F.kl_div(
        log_soften(s[m], t), soften(z[m], 1), reduction="batchmean"
    ),
    "the result is nan. F.kl_div wants the student's log_softmax first and the teacher's softmax second": (
        lambda s, z, m, t: math.nan * s.sum()
    ),
    RAW_WEIGHTS: lambda s, z, m, t: weighted_kl((z / t)[m], s[m], z[m], t),
    f"{RAW_WEIGHTS}, of logits / T": lambda s, z, m, t: weighted_kl(z[m], s[m], z[m], t),
    "one number is wanted: average over the tokens that count": lambda s, z, m, t: _token_kl(s, z, t)[m],
    "this is the cross-entropy: subtract the teacher's entropy, so that equal networks give 0": (
        lambda s, z, m, t: -(soften(z, t) * log_soften(s, t)).sum(-1)[m].mean()
    ),
}


@exercise
def sequence_kl(function: Callable) -> Verdict:
    """Check ``function(student_logits [B, L, V], teacher_logits [B, L, V], mask [B, L], temperature) -> number``:
    KL(teacher || student), the mean over the tokens that the mask selects, without T^2.
    """
    makers = judging.sentences, judging.sentences, judging.mask, judging.temperature
    cases = judging.cases(*makers)
    return and_trains(judge(function, cases, _sequence_kl, SEQUENCE_MISTAKES), function, cases[0], _sequence_kl)


def and_trains(verdict: Verdict, function: Callable, case: tuple, right: Callable, shielded: bool = False) -> Verdict:
    """Of an answer whose numbers are right: whether its gradient reaches the student. ``shielded``: and nobody else.

    ``case``: the student's and the teacher's tensors first, of one shape ``[B, ...]``, then the other arguments.
    """
    if not verdict.passed:
        return verdict
    student, teacher = case[0].clone().requires_grad_(), case[1].clone().requires_grad_(shielded)
    leaves = [student, teacher] if shielded else [student]
    ours = torch.autograd.grad(right(student, teacher, *case[2:]), student)[0]
    try:
        loss = function(student * 1, teacher * 1, *copy.deepcopy(case[2:]))  # no leaves: they may be changed
        if not isinstance(loss, torch.Tensor) or not loss.requires_grad:
            what = "no gradient reaches the student: .item(), .detach() or no_grad cuts it off"
            return Verdict(False, f"not yet: the number is right, but {what}")
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
