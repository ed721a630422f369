"""The losses of knowledge distillation, as plain functions of logits.

Logits are ``[B, C]`` (B samples, C classes) or ``[B, L, V]`` (B sequences of L tokens, V words). With
t = softmax(teacher / T) and s = softmax(student / T), means run over samples, or over all B * L tokens.
Everything is computed in log space and in at least float32; the teacher's logits never get a gradient.

A logit of -inf rules a class out. Where the teacher gives a class nothing (0 log 0 = 0), neither side's -inf counts;
where a student's -inf meets a class that the teacher gives something, the true loss is infinite. An infinite loss, and
NaN, which comes of NaN, of +inf or of a row of only -inf, is a ``ValueError`` on the CPU. A GPU would have to be waited
for to know: there the number comes back as it is, and whoever reads it has to look. So it does, on any device, from
``kd_terms`` and ``hard_cross_entropy``: loops are made of them, which read their losses anyway. ``kd_step`` looks, and
refuses before it changes a weight.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kdkit.losses.arguments import (
    IGNORE_INDEX,
    at_least_float32,
    centred,
    check_classes,
    check_labels,
    check_logits,
    check_pair,
    check_reduction,
    check_temperature,
    check_weight,
    check_weights,
    masked_mean,
    may_look,
    unit_length,
)
from kdkit.losses.rows import cross_entropy, each_row, finite_on_logits, mean_over_rows, relative_entropy
from kdkit.losses.sequences import TopK, unchecked_top_k_kl


class KDTerms(NamedTuple):
    """``total = soft_weight * soft + hard_weight * hard``, with ``soft`` = T^2 KL and ``hard`` = cross-entropy."""

    total: Tensor
    soft: Tensor
    hard: Tensor


def soft_cross_entropy(student_logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Cross-entropy against the teacher's probabilities instead of a one-hot label: -sum_i t_i log s_i.

    With a one-hot t this is the usual cross-entropy. It does not read 0 when the student matches the teacher, but
    the teacher's entropy.

    Parameters: ``student_logits`` and ``teacher_logits``, ``[B, C]`` or ``[B, L, V]``, alike in shape;
    ``temperature``, a finite number above 0.
    Returns a scalar tensor: the mean over samples or tokens, without a factor T^2.
    Raises ``ValueError`` where shapes or temperature are not as said, for a single class, and (see above) for a loss
    that is not finite.
    Source: Hinton et al. 2015 (arXiv:1503.02531), section 2.

    >>> import torch
    >>> logits = torch.tensor([[2.0, 0.0]])
    >>> round(float(soft_cross_entropy(logits, logits)), 4)  # the entropy of (0.8808, 0.1192)
    0.3653
    """
    loss = mean_over_rows(cross_entropy, student_logits, teacher_logits, temperature)
    return finite_on_logits(loss, student_logits, teacher_logits)


def kl_divergence(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0, mask: Tensor | None = None
) -> Tensor:
    """KL(teacher || student) = sum_i t_i (log t_i - log s_i): 0 exactly when the student matches the teacher.

    It is ``soft_cross_entropy`` minus the teacher's entropy. That entropy does not depend on the student, so both
    have the same gradient.

    Parameters, shapes and errors as for ``soft_cross_entropy``; ``mask`` as for ``kd_loss``. Returns a scalar tensor,
    without a factor T^2. With the two swapped: ``reverse_kl``.
    Source: Kullback and Leibler 1951; as a distillation loss in the code of DistilBERT (arXiv:1910.01108), whose
    section 2 gives the cross-entropy.

    >>> import torch
    >>> logits = torch.tensor([[2.0, 0.0]])
    >>> float(kl_divergence(logits, logits))
    0.0
    """
    loss = mean_over_rows(relative_entropy, student_logits, teacher_logits, temperature, mask)
    return finite_on_logits(loss, student_logits, teacher_logits, mask)


def hard_cross_entropy(student_logits: Tensor, labels: Tensor, reduction: str = "mean") -> Tensor:
    """The usual cross-entropy against labels, averaged over those that are not -100.

    Parameters: ``student_logits``, ``[B, C]`` or ``[B, L, V]``; ``labels``, integers ``[B]`` or ``[B, L]`` in
    0..C-1, or -100 for "no label here" (what the student says there, NaN included, does not count); ``reduction``, as
    for ``kd_loss``.
    Returns a scalar tensor. Raises ``ValueError`` where shapes, kinds or ranges do not fit.
    """
    check_logits("student_logits", student_logits)
    check_classes(student_logits)
    check_labels(labels, student_logits)
    check_reduction(reduction)
    shape = labels.shape
    logits, labels = at_least_float32(student_logits).flatten(0, -2), labels.flatten().long()  # [N, C], [N]
    # F.cross_entropy ignores -100 too, but a NaN in an ignored row would still reach the gradient as 0 * NaN.
    logits = logits.masked_fill((labels == IGNORE_INDEX).unsqueeze(1), 0.0)
    loss = F.cross_entropy(logits, labels, ignore_index=IGNORE_INDEX, reduction=reduction)
    return loss if reduction == "mean" else loss.view(shape)


def kd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor | None = None,
    *,
    temperature: float = 4.0,
    soft_weight: float | None = None,
    hard_weight: float | None = None,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The distillation loss: soft_weight * T^2 * KL(teacher || student) + hard_weight * cross-entropy(labels).

    Gradients of the KL term shrink as 1/T^2; the factor T^2 takes that back, so that the weights keep their meaning
    when T changes. The gradient of T^2 KL with respect to the student's logits is T (s - t) / B.

    Parameters:
        student_logits, teacher_logits: ``[B, C]`` or ``[B, L, V]``, alike in shape.
        labels: integers ``[B]`` or ``[B, L]``, or None. Labels of -100 do not count in the hard term.
        temperature: a finite number above 0.
        soft_weight, hard_weight: numbers of at least 0, not both 0. Left out: 0.9 and 0.1 with labels, 1 and 0
            without. A term of weight 0 is not computed.
        mask: bool or 0/1, ``[B]`` or ``[B, L]``; it selects the samples or tokens of the soft term (1 is "counts",
            as in an attention mask). What stands elsewhere, NaN included, does not count.
        reduction: "mean" over what counts; or "none": the loss of each sample or token, ``[B]`` or ``[B, L]``, for
            weights of your own. A term reads 0 where it does not count.

    Returns a scalar tensor unless ``reduction`` is "none". Raises ``ValueError`` for anything that is not as said.
    Source: Hinton et al. 2015 (arXiv:1503.02531), section 2 and equation 4.

    >>> import torch
    >>> student, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[2.0, 0.0]])
    >>> round(float(kd_loss(student, teacher, temperature=1.0)), 4)  # ln 2 - 0.3653
    0.3278
    """
    total, *_ = kd_terms(
        student_logits,
        teacher_logits,
        labels,
        temperature=temperature,
        soft_weight=soft_weight,
        hard_weight=hard_weight,
        mask=mask,
        reduction=reduction,
    )
    return finite_on_logits(total, student_logits, teacher_logits, mask)


def kd_terms(
    student_logits: Tensor,
    teacher_logits: Tensor | TopK,
    labels: Tensor | None = None,
    *,
    temperature: float = 4.0,
    soft_weight: float | None = None,
    hard_weight: float | None = None,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> KDTerms:
    """``kd_loss`` and the two terms that it is made of, as ``KDTerms``; a term left out reads 0.

    Scalars; ``[B]`` or ``[B, L]`` where ``reduction`` is "none".

    Parameters, shapes and errors as for ``kd_loss``, but whether the terms are finite is left to whoever reads them;
    ``why_not_finite`` then tells what made them so. Instead of ``teacher_logits`` there may be what ``top_k`` gives of
    them at this ``temperature``, ``[..., k]`` each: all other classes together are then one (``top_k_kl``).
    """
    soft_weight, hard_weight = resolve_weights(soft_weight, hard_weight, labels is not None)
    temperature = check_temperature(temperature)
    check_reduction(reduction)
    if isinstance(teacher_logits, TopK):
        check_logits("student_logits", student_logits)
    else:
        check_pair(student_logits, teacher_logits)
        teacher_logits = at_least_float32(teacher_logits)
    # here, once for both terms: their gradients then add up in float32, and are rounded to half precision once
    student_logits = at_least_float32(student_logits)
    soft = hard = student_logits.new_zeros(() if reduction == "mean" else student_logits.shape[:-1])
    if soft_weight > 0:
        soft = temperature**2 * _kl(student_logits, teacher_logits, temperature, mask, reduction)
    if hard_weight > 0:
        assert labels is not None  # resolve_weights has refused that
        hard = hard_cross_entropy(student_logits, labels, reduction)
    return KDTerms(_weighted_sum((soft_weight, soft), (hard_weight, hard)), soft, hard)


def dkd(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    *,
    temperature: float = 4.0,
    target_weight: float = 1.0,
    other_weight: float = 8.0,
) -> Tensor:
    """Decoupled distillation: "is it the labelled class?" and "if not, which other?" as two terms with two weights.

    T^2 (target_weight KL(b_t || b_s) + other_weight KL(o_t || o_s)), with b the probabilities of the labelled class and
    of all others together, and o those of the others among themselves. KL itself is the same sum with the weights 1 and
    1 - b_t: where the teacher is sure, it hardly looks at the others. With two classes the second term is 0.

    Parameters: ``student_logits`` and ``teacher_logits``, ``[B, C]`` or ``[B, L, V]``, alike in shape; ``labels``,
    integers ``[B]`` or ``[B, L]``, -100 for rows that do not count; ``temperature``, a finite number above 0; weights
    of at least 0.
    Returns a scalar tensor: the mean over what counts. In log space, so that no margin is too large: log(softmax(z)),
    as in the authors' code, is infinite from a margin of about 104 on. Raises ``ValueError`` as ``kd_loss`` does.
    Source: Zhao et al. 2022 (arXiv:2203.08679), equation 7.

    >>> import torch
    >>> student, teacher = torch.tensor([[0.0, 0.0, 0.0]]), torch.tensor([[2.0, 0.0, 0.0]])
    >>> label = torch.tensor([0])
    >>> float(dkd(student, teacher, label, temperature=1.0, target_weight=0.0))  # among the others they agree
    0.0
    """
    check_pair(student_logits, teacher_logits)
    check_classes(student_logits)
    check_labels(labels, student_logits)
    target_weight, other_weight = check_weights(target_weight=target_weight, other_weight=other_weight)
    temperature = check_temperature(temperature)
    counted = labels != IGNORE_INDEX  # [B] or [B, L]
    chosen = labels.long().masked_fill(~counted, 0).unsqueeze(-1)
    s, t = (
        _decoupled(logits.masked_fill(~counted.unsqueeze(-1), 0.0) / temperature, chosen)
        for logits in (at_least_float32(student_logits), at_least_float32(teacher_logits.detach()))
    )
    target = relative_entropy(s.target, t.target)
    other = relative_entropy(s.others, t.others).masked_fill(t.alone, 0.0)
    terms = _weighted_sum((target_weight, target), (other_weight, other))
    return finite_on_logits(temperature**2 * masked_mean(terms, counted), student_logits, teacher_logits)


def dist(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    temperature: float = 1.0,
    inter_weight: float = 1.0,
    intra_weight: float = 1.0,
) -> Tensor:
    """Distillation of relations: how the two networks' probabilities are *correlated*, not whether they are equal.

    T^2 (inter_weight (1 - r over classes, mean of rows) + intra_weight (1 - r over samples, mean of columns)), with r
    Pearson's correlation of softmax(student / T) and softmax(teacher / T).

    Parameters: ``student_logits`` and ``teacher_logits``, ``[B, C]`` or ``[B, L, V]`` (then all B * L tokens are rows),
    alike in shape; ``temperature``, a finite number above 0; weights of at least 0.
    Returns a scalar tensor. Where one side is constant, or below 1e-12, r counts as 0, as over samples
    in a batch of one. Raises ``ValueError`` as ``soft_cross_entropy`` does.
    Source: Huang et al. 2022 (arXiv:2205.10536), equations 8 to 10.

    >>> import torch
    >>> logits = torch.tensor([[2.0, 0.0, 1.0], [0.0, 3.0, 1.0]])
    >>> round(float(dist(logits, logits)), 4)
    0.0
    """
    check_pair(student_logits, teacher_logits)
    check_classes(student_logits)
    temperature = check_temperature(temperature)
    inter_weight, intra_weight = check_weights(inter_weight=inter_weight, intra_weight=intra_weight)
    student, teacher = at_least_float32(student_logits), at_least_float32(teacher_logits.detach())
    s, t = ((logits / temperature).softmax(-1).flatten(0, -2) for logits in (student, teacher))  # [N, C]
    between = inter_weight * (1 - _correlation(s, t)) + intra_weight * (1 - _correlation(s.T, t.T))
    return finite_on_logits(temperature**2 * between, student_logits, teacher_logits)


def standardised(logits: Tensor) -> Tensor:
    """(z - mean) / standard deviation over the classes: what two networks say, apart from how large their numbers are.

    ``logits``, ``[B, C]`` or ``[B, L, V]``; returns the like, in at least float32, with its gradient. Give it student's
    and teacher's to ``kd_loss``. The deviation is that of n - 1; rows that are constant become 0. Raises ``ValueError``
    where the shape is not as said, and on the CPU for logits that are not finite.
    Source: Sun et al. 2024 (arXiv:2403.01427), equation 8.

    >>> import torch
    >>> [round(z, 4) for z in standardised(torch.tensor([[1.0, 2.0, 3.0]]))[0].tolist()]
    [-1.0, 0.0, 1.0]
    """
    check_logits("logits", logits)
    check_classes(logits)
    if may_look(logits) and not logits.isfinite().all():
        raise ValueError("logits must be finite to have a mean and a deviation; got -inf, +inf or NaN among them.")
    return unit_length(centred(at_least_float32(logits))) * math.sqrt(logits.shape[-1] - 1)


def resolve_weights(soft_weight: float | None, hard_weight: float | None, have_labels: bool) -> tuple[float, float]:
    """Fill in the weights that were left out (0.9 and 0.1 with labels, 1 and 0 without); refuse impossible ones.

    Returns ``(soft_weight, hard_weight)`` as floats. Raises ``ValueError``.
    """
    default_soft, default_hard = (0.9, 0.1) if have_labels else (1.0, 0.0)
    soft_weight = check_weight("soft_weight", default_soft if soft_weight is None else soft_weight)
    hard_weight = check_weight("hard_weight", default_hard if hard_weight is None else hard_weight)
    if soft_weight == 0 and hard_weight == 0:
        raise ValueError("soft_weight and hard_weight are both 0: nothing is left to learn from. Give one above 0.")
    if hard_weight > 0 and not have_labels:
        raise ValueError(
            f"hard_weight={hard_weight:g} asks for a cross-entropy with labels, but labels is None. "
            "Pass labels, or set hard_weight=0."
        )
    return soft_weight, hard_weight


def _kl(
    student_logits: Tensor, teacher_logits: Tensor | TopK, temperature: float, mask: Tensor | None, reduction: str
) -> Tensor:
    if isinstance(teacher_logits, TopK):
        if reduction != "mean":
            raise ValueError(f"of the teacher's likeliest classes there is only the mean; got reduction={reduction!r}.")
        return unchecked_top_k_kl(student_logits, *teacher_logits, temperature=temperature, mask=mask)
    over_rows = mean_over_rows if reduction == "mean" else each_row
    return over_rows(relative_entropy, student_logits, teacher_logits, temperature, mask)


def _weighted_sum(*terms: tuple[float, Tensor]) -> Tensor:
    """Leave out terms of weight 0 and factors of 1, so that "hard label alone" is the cross-entropy to the bit."""
    kept = [term if weight == 1 else weight * term for weight, term in terms if weight > 0]
    return kept[0] if len(kept) == 1 else kept[0] + kept[1]


class _Decoupled(NamedTuple):
    """Logarithms of (the target, all others) ``[..., 2]`` and of the others among themselves ``[..., C]``.

    ``alone``, bool ``[...]``: every other class is ruled out, and there is nothing to say of them.
    """

    target: Tensor
    others: Tensor
    alone: Tensor


def _decoupled(logits: Tensor, target: Tensor) -> _Decoupled:
    """Of ``logits`` ``[..., C]`` and the number of each row's target, ``[..., 1]``."""
    others = logits.scatter(-1, target, -math.inf)
    alone = (others == -math.inf).all(-1)
    others = others.masked_fill(alone.unsqueeze(-1), 0.0)  # a softmax of nothing but -inf would leave NaN in gradients
    rest = others.logsumexp(-1).masked_fill(alone, -math.inf)
    ends = torch.stack([logits.gather(-1, target).squeeze(-1), rest], -1)
    return _Decoupled(F.log_softmax(ends, -1), F.log_softmax(others, -1), alone)


def _correlation(s: Tensor, t: Tensor) -> Tensor:
    """The mean over rows of Pearson's correlation of ``s`` and ``t`` ``[N, K]``; 0 for rows without any spread."""
    s, t = (unit_length(centred(rows), least=1e-12) for rows in (s, t))
    return (s * t).sum(1).mean()
