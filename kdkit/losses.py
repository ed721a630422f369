"""The losses of knowledge distillation, as plain functions of logits.

Logits are ``[B, C]`` (B samples, C classes) or ``[B, L, V]`` (B sequences of L tokens, V words). With
t = softmax(teacher / T) and s = softmax(student / T), means run over samples, or over all B * L tokens.
Everything is computed in log space and in at least float32; the teacher's logits never get a gradient.

A logit of -inf rules a class out. Where the teacher gives a class nothing (0 log 0 = 0), neither side's -inf counts;
where a student's -inf meets a class that the teacher gives something, the true loss is infinite. An infinite loss, and
NaN, which comes of NaN, of +inf or of a row of only -inf, is a ``ValueError`` on the CPU. A GPU would have to be waited
for to know: there the number comes back as it is, and whoever reads it has to look. So it does, on any device, from
``kd_terms``, ``hard_cross_entropy`` and ``cosine_distance``: loops are made of them, which read their losses anyway.
``kd_step`` looks, and refuses before it changes a weight.
"""

import math
import numbers
from typing import NamedTuple

import torch
import torch.nn.functional as F

IGNORED = -100  # the label that PyTorch and Hugging Face give to tokens that have none
INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


class KDTerms(NamedTuple):
    """``total = soft_weight * soft + hard_weight * hard``, with ``soft`` = T^2 KL and ``hard`` = cross-entropy."""

    total: torch.Tensor
    soft: torch.Tensor
    hard: torch.Tensor


def soft_cross_entropy(student_logits, teacher_logits, temperature=1.0):
    """Cross-entropy against the teacher's probabilities instead of a one-hot label: -sum_i t_i log s_i.

    With a one-hot t this is the usual cross-entropy. It does not read 0 when the student matches the teacher, but
    the teacher's entropy.

    Parameters: ``student_logits`` and ``teacher_logits``, ``[B, C]`` or ``[B, L, V]``, alike in shape;
    ``temperature``, a finite number above 0.
    Returns a scalar tensor: the mean over samples or tokens, without a factor T^2.
    Raises ``ValueError`` where shapes or temperature are not as said, for a single class, and (see above) for a loss
    that is not finite.
    Source: Hinton et al. 2015 (arXiv:1503.02531), section 2.

    >>> logits = torch.tensor([[2.0, 0.0]])
    >>> round(float(soft_cross_entropy(logits, logits)), 4)  # the entropy of (0.8808, 0.1192)
    0.3653
    """
    log_s, t = _probabilities(student_logits, teacher_logits, temperature)[:2]
    return _looked_at(-(t * log_s).sum(-1).mean(), student_logits, teacher_logits)


def kl_divergence(student_logits, teacher_logits, temperature=1.0):
    """KL(teacher || student) = sum_i t_i (log t_i - log s_i): 0 exactly when the student matches the teacher.

    It is ``soft_cross_entropy`` minus the teacher's entropy. That entropy does not depend on the student, so both
    have the same gradient.

    Parameters, shapes and errors as for ``soft_cross_entropy``. Returns a scalar tensor, without a factor T^2.
    Source: Kullback and Leibler 1951; as a distillation loss in the code of DistilBERT (arXiv:1910.01108), whose
    section 2 gives the cross-entropy.

    >>> logits = torch.tensor([[2.0, 0.0]])
    >>> float(kl_divergence(logits, logits))
    0.0
    """
    return _looked_at(_kl(student_logits, teacher_logits, temperature), student_logits, teacher_logits)


def hard_cross_entropy(student_logits, labels):
    """The usual cross-entropy against labels, averaged over those that are not -100.

    Parameters: ``student_logits``, ``[B, C]`` or ``[B, L, V]``; ``labels``, integers ``[B]`` or ``[B, L]`` in
    0..C-1, or -100 for "no label here" (what the student says there, NaN included, does not count).
    Returns a scalar tensor. Raises ``ValueError`` where shapes, kinds or ranges do not fit.
    """
    _check_logits("student_logits", student_logits)
    _check_classes(student_logits)
    _check_labels(labels, student_logits)
    logits, labels = _at_least_float32(student_logits).flatten(0, -2), labels.flatten().long()
    # F.cross_entropy ignores -100 too, but a NaN in an ignored row would still reach the gradient as 0 * NaN.
    logits = logits.masked_fill((labels == IGNORED).unsqueeze(1), 0.0)
    return F.cross_entropy(logits, labels, ignore_index=IGNORED)


def kd_loss(
    student_logits, teacher_logits, labels=None, *, temperature=4.0, soft_weight=None, hard_weight=None, mask=None
):
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

    Returns a scalar tensor. Raises ``ValueError`` for anything that is not as said above.
    Source: Hinton et al. 2015 (arXiv:1503.02531), section 2 and equation 4.

    >>> student, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[2.0, 0.0]])
    >>> round(float(kd_loss(student, teacher, temperature=1.0)), 4)  # ln 2 - 0.3653
    0.3278
    """
    weights = {"soft_weight": soft_weight, "hard_weight": hard_weight}
    terms = kd_terms(student_logits, teacher_logits, labels, temperature=temperature, mask=mask, **weights)
    return _looked_at(terms.total, student_logits, teacher_logits, mask)


def kd_terms(
    student_logits, teacher_logits, labels=None, *, temperature=4.0, soft_weight=None, hard_weight=None, mask=None
):
    """``kd_loss`` and the two terms that it is made of, as ``KDTerms(total, soft, hard)``; a term left out reads 0.

    Parameters, shapes and errors as for ``kd_loss``, but whether the terms are finite is left to whoever reads them;
    ``why_not_finite`` then tells what made them so.
    """
    soft_weight, hard_weight = resolve_weights(soft_weight, hard_weight, labels is not None)
    _check_pair(student_logits, teacher_logits)
    temperature = check_temperature(temperature)
    # here, once for both terms: their gradients then add up in float32, and are rounded to half precision once
    student_logits, teacher_logits = _at_least_float32(student_logits), _at_least_float32(teacher_logits)
    soft = hard = student_logits.new_zeros(())
    if soft_weight > 0:
        pair = _select(student_logits, teacher_logits, mask)
        soft = temperature**2 * _kl(*pair, temperature)
    if hard_weight > 0:
        hard = hard_cross_entropy(student_logits, labels)
    return KDTerms(_weighted_sum((soft_weight, soft), (hard_weight, hard)), soft, hard)


def cosine_distance(student_hidden, teacher_hidden, mask=None):
    """1 - cos of the angle between two hidden states: 0 where they point the same way, 2 where they are opposed.

    Parameters: ``student_hidden`` and ``teacher_hidden``, ``[B, H]`` or ``[B, L, H]``, alike in shape; ``mask`` as for
    ``kd_loss``: which samples or tokens count.
    Returns a scalar tensor: the mean over what counts. The teacher gets no gradient. Raises ``ValueError`` where shapes
    are not as said. Source: Sanh et al. 2019 (arXiv:1910.01108), section 2, L_cos.

    >>> round(float(cosine_distance(torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0, 2.0]]))), 4)  # 1 - cos 45 degrees
    0.2929
    """
    _check_pair(student_hidden, teacher_hidden, "hidden")
    student, teacher = _select(student_hidden, teacher_hidden, mask)
    return (1 - F.cosine_similarity(_at_least_float32(student), _at_least_float32(teacher.detach()), dim=-1)).mean()


def resolve_weights(soft_weight, hard_weight, have_labels):
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


def check_temperature(temperature):
    """``temperature`` as a float; ``ValueError`` unless it is a finite number above 0."""
    value = _number("temperature", temperature)
    if not (math.isfinite(value) and value > 0):
        raise ValueError(
            f"temperature must be a finite number above 0; got {value:g}. "
            "(T -> 0 would be the argmax, T -> inf the uniform distribution.)"
        )
    return value


def _weighted_sum(*terms):
    """Leave out terms of weight 0 and factors of 1, so that "hard label alone" is the cross-entropy to the bit."""
    kept = [term if weight == 1 else weight * term for weight, term in terms if weight > 0]
    return kept[0] if len(kept) == 1 else kept[0] + kept[1]


def _kl(student_logits, teacher_logits, temperature):
    log_s, t, log_t = _probabilities(student_logits, teacher_logits, temperature)
    return (t * (log_t - log_s)).sum(-1).mean()


def _probabilities(student_logits, teacher_logits, temperature):
    """log s, t and log t; both logarithms are 0 where t is, so that their product is, as 0 log 0 = 0 says.

    Before the product, not after it: 0 * -inf would be NaN, and leave NaN in the gradient.
    """
    _check_pair(student_logits, teacher_logits)
    _check_classes(student_logits)
    temperature = check_temperature(temperature)
    student, teacher = _at_least_float32(student_logits), _at_least_float32(teacher_logits.detach())
    log_s, log_t = F.log_softmax(student / temperature, -1), F.log_softmax(teacher / temperature, -1)
    t = log_t.exp()
    nothing = t == 0
    return log_s.masked_fill(nothing, 0.0), t, log_t.masked_fill(nothing, 0.0)


def _looked_at(loss, student_logits, teacher_logits, mask=None):
    """``loss``; on the CPU, where looking costs nothing, a ``ValueError`` unless it is finite."""
    if loss.device.type == "cpu" and not torch.compiler.is_compiling() and not math.isfinite(loss.item()):
        raise ValueError(f"the loss is {loss.item()}: {why_not_finite(student_logits, teacher_logits, mask)}")
    return loss


def why_not_finite(student_logits, teacher_logits, mask=None):
    """What in these logits makes a loss of them NaN or infinite, in a sentence. It looks at values: a GPU waits."""
    student_logits, teacher_logits = _select(student_logits, teacher_logits, mask)
    for name, logits in ("teacher_logits", teacher_logits), ("student_logits", student_logits):
        for kind, found in ("NaN", logits.isnan()), ("+inf", logits == math.inf):
            if found.any():
                return f"{name} hold {kind} in {int(found.any(-1).sum())} of {found[..., 0].numel()} rows."
        if (logits == -math.inf).all(-1).any():
            return f"{name} hold a row of only -inf, which rules every class out."
    if (student_logits == -math.inf).any():
        return (
            "the student rules a class out (-inf) that the teacher or the label asks for. Rule out the same classes "
            "in both."
        )
    return "the logits are finite, but too large for their dtype once divided by T, or their loss times T^2 is."


def _at_least_float32(logits):
    """bfloat16 times T^2 is 6 % off at T = 20; float64 stays float64."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _select(student_logits, teacher_logits, mask):
    """The rows that the mask selects, as ``[N, C]``. Indexing, not multiplying: 0 * NaN would be NaN."""
    if mask is None:
        return student_logits, teacher_logits
    mask = _check_mask(mask, student_logits)
    return student_logits[mask], teacher_logits[mask]


def _check_pair(student_logits, teacher_logits, kind="logits"):
    _check_logits(f"student_{kind}", student_logits)
    _check_logits(f"teacher_{kind}", teacher_logits)
    student, teacher = tuple(student_logits.shape), tuple(teacher_logits.shape)
    if student == teacher:
        check_dense(f"teacher_{kind}", teacher_logits, student_logits)
        return
    if kind == "hidden":
        raise ValueError(
            f"hidden states must be alike in shape to have an angle; got student_hidden {list(student)}, "
            f"teacher_hidden {list(teacher)}."
        )
    what = "class counts" if student[:-1] == teacher[:-1] else "shapes"
    if len(student) == len(teacher) and student[1:] == teacher[1:]:
        what = "batch sizes"
    raise ValueError(
        f"student and teacher must answer on the same samples and the same classes, but their {what} differ: "
        f"student_logits {list(student)}, teacher_logits {list(teacher)}."
    )


def answered(logits):
    """Which rows of ``logits`` ``[N, C]`` are an answer: bool ``[N]``, False for NaN, +inf, or nothing but -inf."""
    return logits.amax(-1).isfinite()  # NaN where there is one, -inf where every class is ruled out


def described(value):
    """What ``value`` is, in words: of a tensor its dtype and shape, of anything else its type."""
    return f"{value.dtype} {list(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__name__


def check_dense(name, tensor, beside=None):
    """``ValueError`` unless ``tensor`` is dense, holds real numbers, and lies on the device where ``beside`` does."""
    if tensor.layout != torch.strided or tensor.is_meta or tensor.is_complex():
        got = f"{tensor.layout} of {tensor.dtype} on {tensor.device}"
        raise ValueError(f"{name} must be a dense tensor of real numbers; got {got}.")
    if beside is not None and tensor.device != beside.device:
        raise ValueError(f"{name} must lie on {beside.device}, as what it belongs to does; got {tensor.device}.")


def _check_classes(logits):
    if logits.shape[-1] == 1:
        raise ValueError(
            f"logits {list(logits.shape)} have a single class, whose softmax is 1 whatever the network says: there is "
            "nothing to learn. For two classes with one logit z, give [0, z]: torch.cat([torch.zeros_like(z), z], -1); "
            "or use a sigmoid loss, such as F.binary_cross_entropy_with_logits against torch.sigmoid(teacher / T)."
        )


def _check_logits(name, logits):
    if not isinstance(logits, torch.Tensor):
        raise ValueError(f"{name} must be a tensor of logits; got {type(logits).__name__}. (Take `.logits` of it?)")
    if not logits.is_floating_point():
        raise ValueError(f"{name} must hold floating-point logits; got {logits.dtype}. Labels go into `labels`.")
    if logits.ndim not in (2, 3):
        raise ValueError(f"{name} must be [B, C] or [B, L, V]; got shape {list(logits.shape)}.")
    if logits.numel() == 0:
        raise ValueError(f"{name} is empty: shape {list(logits.shape)}. A mean needs at least one sample.")
    check_dense(name, logits)


def _check_labels(labels, logits):
    expected = list(logits.shape[:-1])
    if not isinstance(labels, torch.Tensor) or labels.dtype not in INTEGERS:
        got = labels.dtype if isinstance(labels, torch.Tensor) else type(labels).__name__
        raise ValueError(f"labels must be an integer tensor {expected} of class numbers; got {got}.")
    if list(labels.shape) != expected:
        raise ValueError(f"labels must be {expected}, one for each row of logits; got shape {list(labels.shape)}.")
    check_dense("labels", labels, logits)
    labels = labels.long()  # first: as uint8, -100 would be 156
    _check_label_range(labels[labels != IGNORED], logits.shape[-1])


def _check_label_range(labels, classes):
    if labels.numel() == 0:
        raise ValueError("every label is -100 (ignored): the hard term has nothing to average. Set hard_weight=0.")
    low, high = (int(value) for value in labels.aminmax())
    if low < 0 or high >= classes:
        bad = low if low < 0 else high
        raise ValueError(f"labels must lie in 0..{classes - 1} for {classes} classes (or be -100); got {bad}.")


def _check_mask(mask, logits):
    expected = list(logits.shape[:-1])
    if not isinstance(mask, torch.Tensor) or list(mask.shape) != expected:
        got = f"shape {list(mask.shape)}" if isinstance(mask, torch.Tensor) else type(mask).__name__
        raise ValueError(f"mask must be a tensor {expected}, one value for each row of logits; got {got}.")
    check_dense("mask", mask, logits)
    chosen = mask.bool()
    if not torch.equal(chosen.to(mask.dtype), mask):
        raise ValueError("mask must be bool or hold only 0 and 1 (1: this token counts); got other values.")
    if not chosen.any():
        raise ValueError("mask selects nothing: the soft term has no token to average. 1 (or True) means 'counts'.")
    return chosen


def check_weight(name, weight):
    """``weight`` as a float; ``ValueError`` unless it is a finite number of at least 0."""
    value = _number(name, weight)
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} must be a finite number of at least 0; got {value:g}.")
    return value


def _number(name, value):
    # float() would also take "4", True, and a tensor, whose gradient it would drop
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ValueError(f"{name} must be a plain number; got {value!r}.")
    try:
        return float(value)
    except OverflowError:
        return math.inf
