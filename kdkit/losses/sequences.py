"""Losses for models that write: which divergence, of which tokens, from how much of the teacher.

A causal model's logits ``[B, L, V]`` at place i are about token i + 1: ``next_token`` shifts the two against each
other, once. What comes out goes into the losses here, and into ``kl_divergence`` and ``kd_loss``, which also take a
``mask``. Whose text the tokens are, the teacher's, a data set's or the student's own, is a choice apart from these.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kdkit.losses.arguments import (
    IGNORE_INDEX,
    INTEGERS,
    at_least_float32,
    check_classes,
    check_dense,
    check_flag,
    check_labels,
    check_logits,
    check_mask,
    check_pair,
    check_temperature,
    check_weight,
    described,
    masked_mean,
    may_look,
    whole,
)
from kdkit.losses.rows import finite_on_logits, mean_over_rows, relative_entropy, where_any

MASS = 1.05  # of the teacher's k classes at most: log-probabilities kept in bfloat16 may add up to a little over 1


def reverse_kl(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0, mask: Tensor | None = None
) -> Tensor:
    """KL(student || teacher) = sum_i s_i (log s_i - log t_i): what the student says must be likely for the teacher.

    What the teacher says and the student does not costs nothing here; ``kl_divergence`` makes that dear. On sequences
    that the student wrote this is the per-token loss of on-policy distillation, with no sampling noise within a token.

    Parameters as for ``kl_divergence``. Returns a scalar tensor, the mean over samples or tokens, without T^2. Raises
    ``ValueError`` as it does; where the teacher rules a class out (-inf), so must the student, or the loss is infinite.
    Source: Gu et al. 2024, MiniLLM (arXiv:2306.08543), equation 1; per token: Agarwal et al. 2024 (arXiv:2306.13649).

    >>> import torch
    >>> student, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[2.0, 0.0]])
    >>> round(float(reverse_kl(student, teacher)), 4)  # KL(teacher || student) is 0.3278
    0.4338
    """
    loss = mean_over_rows(_backwards, student_logits, teacher_logits, temperature, mask)
    if may_look(loss) and loss.item() == math.inf and _says_more(student_logits, teacher_logits, mask):
        raise ValueError(
            "the loss is inf: the teacher rules a class out (-inf) that the student gives something. Rule it out in "
            "both, student_logits.masked_fill(teacher_logits == -torch.inf, -torch.inf), or take kl_divergence or "
            "jensen_shannon, which stay finite."
        )
    return finite_on_logits(loss, student_logits, teacher_logits, mask)


def jensen_shannon(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    beta: float = 0.5,
    temperature: float = 1.0,
    mask: Tensor | None = None,
) -> Tensor:
    """Between the two KLs: beta KL(t || m) + (1 - beta) KL(s || m), with the mixture m = beta t + (1 - beta) s.

    Divided by beta it becomes KL(t || s) as beta -> 0; divided by 1 - beta, KL(s || t) as beta -> 1. It is itself 0 at
    both ends, whatever the student says, so a small beta also is a small gradient. TRL has the same formula and sides
    (``GKDTrainer``, ``beta``), and jumps to the full KLs at exactly 0 and 1: here those two are refused by name.

    Parameters: as for ``kl_divergence``; ``beta``, a number between 0 and 1, both excluded. At most
    -beta log(beta) - (1 - beta) log(1 - beta), so ln 2 for one half; finite wherever classes are ruled out (-inf).
    Returns a scalar tensor, never below 0: the mean over samples or tokens, without T^2. Raises ``ValueError`` as
    ``kl_divergence``. Source: Agarwal et al. 2024 (arXiv:2306.13649), equation 1.

    >>> import torch
    >>> student, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[2.0, 0.0]])
    >>> round(float(jensen_shannon(student, teacher)), 4)
    0.0895
    """
    beta = _between_the_ends(beta)

    def divergence(log_s, log_t):
        return _jensen_shannon(log_s, log_t, beta)

    loss = mean_over_rows(divergence, student_logits, teacher_logits, temperature, mask)
    return finite_on_logits(loss, student_logits, teacher_logits, mask)


class TopK(NamedTuple):
    """Of each row the teacher's k likeliest classes: ``log_probabilities`` and ``indices``, ``[..., k]`` each."""

    log_probabilities: Tensor
    indices: Tensor


def top_k(teacher_logits: Tensor, k: int, temperature: float = 1.0) -> TopK:
    """What is worth storing of a teacher with a large vocabulary: its ``k`` likeliest words and how likely they are.

    Parameters: ``teacher_logits``, ``[B, C]`` or ``[B, L, V]``; ``k``, from 1 to the number of classes;
    ``temperature``, that of the loss, since what is left out counts in the softmax.
    Returns ``TopK``, ``[..., k]`` each, without gradient; a row of NaN stays one. Raises ``ValueError``
    for anything else.

    >>> import torch
    >>> top_k(torch.tensor([[0.0, 2.0, 1.0]]), 2).indices.tolist()
    [[1, 2]]
    """
    check_logits("teacher_logits", teacher_logits)
    check_classes(teacher_logits)
    k = whole(k, "k", 1, teacher_logits.shape[-1])
    logits = at_least_float32(teacher_logits.detach()) / check_temperature(temperature)
    values, indices = logits.topk(k, -1)
    return TopK(values - logits.logsumexp(-1, keepdim=True), indices)


def top_k_kl(
    student_logits: Tensor,
    log_probabilities: Tensor,
    indices: Tensor,
    *,
    tail: bool = True,
    temperature: float = 1.0,
    mask: Tensor | None = None,
) -> Tensor:
    """KL(teacher || student) from the teacher's k likeliest classes alone: ``top_k_kl(student, *top_k(teacher, 20))``.

    ``tail=True``: all other classes together are one class more, so that the student learns how much lies there, not
    where. It is a KL of k + 1 classes: at least 0, at most the full one, and equal to it for k = all. ``tail=False``:
    both sides are renormalised to the k classes, so what the student gives the others costs nothing. The bare partial
    sum, with neither, is no divergence: it has its minimum, m ln m < 0 for a teacher's mass m in the k classes, at
    t / m: a student that is too sure, as if there were no others.

    Parameters: ``student_logits``, ``[B, C]`` or ``[B, L, V]``; ``log_probabilities``, floats ``[B, k]`` or
    ``[B, L, k]``, the teacher's log softmax(z / T), and ``indices``, integers of the same shape, each class once;
    ``temperature`` and ``mask`` as for ``kl_divergence``.
    Returns a scalar tensor, the mean over samples or tokens, without T^2. Raises ``ValueError`` where shapes, kinds or
    ranges are not as said, and for a loss that is not finite.

    >>> import torch
    >>> student, teacher = torch.tensor([[0.0, 0.0, 0.0]]), torch.tensor([[2.0, 0.0, 0.0]])
    >>> round(float(top_k_kl(student, *top_k(teacher, 1))), 4)  # of (0.787, 0.213) against (1/3, 2/3)
    0.433
    """
    loss = unchecked_top_k_kl(student_logits, log_probabilities, indices, tail=tail, temperature=temperature, mask=mask)
    return finite_on_logits(loss, student_logits, log_probabilities, mask)


def unchecked_top_k_kl(
    student_logits: Tensor,
    log_probabilities: Tensor,
    indices: Tensor,
    *,
    tail: bool = True,
    temperature: float = 1.0,
    mask: Tensor | None = None,
) -> Tensor:
    """``top_k_kl``, all as there, ``[..., k]`` and ``ValueError`` too, but that nobody looks whether it is finite."""
    check_logits("student_logits", student_logits)
    check_classes(student_logits)
    temperature, classes = check_temperature(temperature), student_logits.shape[-1]
    k = _check_kinds(student_logits, log_probabilities, indices)
    log_t = at_least_float32(log_probabilities.detach())
    if mask is not None:  # as in mean_over_rows; any k classes of less than all will do
        mask = check_mask(mask, student_logits)
        out = ~mask.unsqueeze(-1)
        student_logits, log_t = student_logits.masked_fill(out, 0.0), log_t.masked_fill(out, -math.log(k + 1))
        indices = torch.where(out, torch.arange(k, device=indices.device), indices)
    if may_look(indices):
        _check_values(log_t, indices, classes)
    log_s = F.log_softmax(at_least_float32(student_logits) / temperature, -1)
    known = log_s.gather(-1, indices.long())
    if not check_flag("tail", tail):
        known, log_t = F.log_softmax(known, -1), F.log_softmax(log_t, -1)
    elif k < classes:
        known, log_t = torch.cat([known, _rest(log_s, indices.long())], -1), torch.cat([log_t, _left_over(log_t)], -1)
    return masked_mean(relative_entropy(known, log_t), mask)


class NextToken(NamedTuple):
    """``logits`` ``[B, L - 1, V]``, the ``labels`` that they are about ``[B, L - 1]``, and which count (``mask``).

    Labels are -100 where the mask is False, as ``hard_cross_entropy`` wants them; a loss of two sets of logits takes
    the mask.
    """

    logits: Tensor
    labels: Tensor
    mask: Tensor


def next_token(logits: Tensor, tokens: Tensor, loss_mask: Tensor | None = None) -> NextToken:
    """Shift a causal model's logits and its tokens against each other, once: what it says at i is about i + 1.

    Parameters: ``logits`` ``[B, L, V]``, student's or teacher's, asked about ``tokens``, integers ``[B, L]``, 0..V-1;
    ``loss_mask``, bool or 0/1 ``[B, L]``: which *tokens* are to be learnt, neither the prompt nor padding (see
    ``completion_mask``), all where left out. The first token has nothing before it and never counts.
    Returns ``NextToken``. Raises ``ValueError`` for other shapes and kinds, and where it sees that the shift was made
    before: logits one place shorter than the tokens, or labels of -100 among the tokens. A model that is given
    ``labels=`` (Hugging Face) shifts inside: it wants tokens as they are.

    >>> import torch
    >>> shifted = next_token(torch.zeros(1, 4, 9), torch.tensor([[5, 6, 7, 8]]), torch.tensor([[0, 0, 1, 1]]))
    >>> list(shifted.logits.shape), shifted.labels.tolist()
    ([1, 3, 9], [[-100, 7, 8]])
    """
    check_logits("logits", logits)
    _check_tokens(tokens)
    if logits.ndim == 3 and tuple(logits.shape[:2]) == (tokens.shape[0], tokens.shape[1] - 1):
        raise ValueError(
            f"logits {list(logits.shape)} are one place shorter than tokens {list(tokens.shape)}: they have been "
            "shifted already. Hand in both as the model took and gave them."
        )
    if logits.ndim != 3 or logits.shape[:2] != tokens.shape or tokens.shape[1] < 2:
        raise ValueError(
            f"logits must be [B, L, V] and tokens [B, L], with L of at least 2; got {list(logits.shape)} and "
            f"{list(tokens.shape)}."
        )
    if may_look(tokens) and (tokens.long() == IGNORE_INDEX).any():
        raise ValueError(
            "tokens hold -100: these are labels, which may have been shifted before. Hand in the tokens that the model "
            "was asked about, and loss_mask for those that count."
        )
    check_labels(tokens, logits)
    mask = torch.ones_like(tokens, dtype=torch.bool) if loss_mask is None else check_mask(loss_mask, logits)
    mask = mask[:, 1:]
    if may_look(mask) and not mask.any():
        raise ValueError("loss_mask selects only first tokens, which nothing predicts: there is nothing to learn.")
    return NextToken(logits[:, :-1], tokens[:, 1:].long().masked_fill(~mask, IGNORE_INDEX), mask)


def completion_mask(tokens: Tensor, prompt: int, end: int) -> Tensor:
    """Which of the ``tokens``, integers ``[B, L]``, are to be learnt: those after the prompt, to the first ``end``.

    Parameters: ``prompt``, the number of tokens before the answer, its padding on the left included; ``end``, the
    number of the token that ends a text. It counts itself, or a student never learns to stop; what stands behind it is
    padding, even where the padding is the same token. Returns bool ``[B, L]``. Raises ``ValueError`` for other shapes
    and kinds, or where nothing is left after the prompt.

    >>> import torch
    >>> completion_mask(torch.tensor([[5, 6, 7, 0, 0]]), prompt=2, end=0).long().tolist()
    [[0, 0, 1, 1, 0]]
    """
    _check_tokens(tokens)
    prompt, end = whole(prompt, "prompt", 0, tokens.shape[1] - 1), whole(end, "end", 0, torch.iinfo(tokens.dtype).max)
    here = torch.arange(tokens.shape[1], device=tokens.device) >= prompt
    ends = (tokens == end) & here
    return here & (ends.cumsum(1) - ends.long() == 0)


def sampled_reverse_kl(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, *, to_go: bool = False
) -> Tensor:
    """Reverse KL from the tokens alone that the student has drawn: log s - log t of each (k1), as a policy gradient.

    The value is the mean of k1, which is right on average. Differentiating k1 itself would be of no use: the expected
    gradient is 0 (and that of k3, t/s - 1 - log t/s, is the one of the *forward* KL). So each token's log-probability
    is weighted by its k1, less the mean of the other sequences at the same place, which takes away noise and no more.
    ``to_go=True``: weighted by the sum of k1 from here to the end of the sequence: what a token leads to counts as
    well, and the gradient is that of the KL of whole sequences, divided by their mean length.

    Parameters: logits ``[B, L, V]``, and ``labels``, integers ``[B, L]`` as ``next_token`` gives them, drawn from this
    student at temperature 1; -100 where nothing counts.
    Returns a scalar tensor. Raises ``ValueError`` as ``kd_loss`` does. Without ``to_go``, ``reverse_kl`` is the same
    on average and has no noise within a token, but needs all of the teacher's logits.
    Source: Gu et al. 2024, MiniLLM (arXiv:2306.08543), equation 2; k1 and k3: joschu.net/blog/kl-approx.html.

    >>> import torch
    >>> student, teacher = torch.tensor([[[0.0, 0.0]]]), torch.tensor([[[2.0, 0.0]]])
    >>> round(float(sampled_reverse_kl(student, teacher, torch.tensor([[1]]))), 4)  # ln 0.5 - ln 0.1192
    1.4338
    """
    check_pair(student_logits, teacher_logits)
    check_classes(student_logits)
    if student_logits.ndim != 3:
        raise ValueError(f"logits must be [B, L, V], of whole sequences; got shape {list(student_logits.shape)}.")
    check_labels(labels, student_logits)
    mask = labels != IGNORE_INDEX
    drawn = labels.long().masked_fill(~mask, 0).unsqueeze(-1)
    student, teacher = (
        F.log_softmax(at_least_float32(logits.masked_fill(~mask.unsqueeze(-1), 0.0)), -1).gather(-1, drawn).squeeze(-1)
        for logits in (student_logits, teacher_logits.detach())
    )  # [B, L]: the log-probabilities of what was drawn
    k1 = (student.detach() - teacher).masked_fill(~mask, 0.0)
    value = finite_on_logits(masked_mean(k1, mask), student_logits, teacher_logits, mask)
    credit = k1.flip(1).cumsum(1).flip(1) if check_flag("to_go", to_go) else k1
    surrogate = masked_mean((credit - _mean_of_others(credit, mask)) * student, mask)
    return value + surrogate - surrogate.detach()


def _backwards(log_s, log_t):
    return relative_entropy(log_t, log_s)


def _says_more(student, teacher, mask):
    """Whether the student says anything that the teacher rules out."""
    found = (teacher == -math.inf) & (student > -math.inf)
    return bool((found if mask is None else found[mask.bool()]).any())


def _between_the_ends(beta):
    beta = check_weight("beta", beta)
    if 0 < beta < 1:
        return beta
    instead = {0.0: " Use kl_divergence for beta = 0.", 1.0: " Use reverse_kl for beta = 1."}.get(beta, "")
    raise ValueError(
        f"beta must lie between 0 and 1, without the two; got {beta:g}. At both ends the divergence is 0 whatever the "
        f"student says; libraries that take them switch to a full KL there.{instead}"
    )


def _jensen_shannon(log_s: Tensor, log_t: Tensor, beta: float) -> Tensor:
    """Of each row ``[..., C]``: ``[...]``. From the differences of the logarithms, so that equal rows give exactly 0.

    Each class adds beta t log t + (1 - beta) s log s - m log m, at least 0 since x log x is convex: what falls below
    is rounding.
    """
    s, t = log_s.exp(), log_t.exp()
    gap = (log_s - log_t).masked_fill((s == 0) & (t == 0), 0.0)
    share = torch.full_like(gap, 1 - beta).masked_fill(gap > 0, beta)  # of the smaller of s and t in m
    below = torch.log1p(share * torch.expm1(-gap.abs()))  # log m - log of the larger
    of_t = beta * t * where_any(t, below + gap.relu())
    of_s = (1 - beta) * s * where_any(s, below + (-gap).relu())
    return -(of_t + of_s).clamp(max=0.0).sum(-1)


def _rest(log_s: Tensor, indices: Tensor) -> Tensor:
    """The log-probability ``[..., 1]`` of all classes of ``log_s`` ``[..., C]`` but ``indices`` ``[..., k]``."""
    others = log_s.scatter(-1, indices, -math.inf)
    nothing = (others == -math.inf).all(-1, keepdim=True)
    others = others.masked_fill(nothing, 0.0)  # a softmax of nothing but -inf would leave NaN in gradients
    return others.logsumexp(-1, keepdim=True).masked_fill(nothing, -math.inf)


def _left_over(log_t: Tensor) -> Tensor:
    """log(1 - the sum of these probabilities ``[..., k]``): ``[..., 1]``."""
    return (-log_t.logsumexp(-1, keepdim=True).expm1()).clamp(min=0.0).log()


def _mean_of_others(credit: Tensor, mask: Tensor) -> Tensor:
    """At each place ``[B, L]`` the mean of ``credit`` over the other sequences that have a token there; else 0."""
    credit = credit.masked_fill(~mask, 0.0)
    return (credit.sum(0) - credit) / (mask.sum(0) - 1).clamp(min=1)


def _check_tokens(tokens):
    if not isinstance(tokens, Tensor) or tokens.dtype not in INTEGERS or tokens.ndim != 2 or tokens.numel() == 0:
        raise ValueError(f"tokens must be an integer tensor [B, L], not empty; got {described(tokens)}.")
    check_dense("tokens", tokens)


def _check_kinds(student_logits, log_probabilities, indices):
    """k. ``ValueError`` unless the teacher's two tensors are alike in shape, and fit the student's."""
    rows = list(student_logits.shape[:-1])
    for name, tensor, good in (
        (
            "log_probabilities",
            log_probabilities,
            isinstance(log_probabilities, Tensor) and log_probabilities.is_floating_point(),
        ),
        ("indices", indices, isinstance(indices, Tensor) and indices.dtype in INTEGERS),
    ):
        if not good or list(tensor.shape[:-1]) != rows or tensor.ndim != len(rows) + 1:
            kind = "floats" if name == "log_probabilities" else "integers"
            raise ValueError(
                f"{name} must be {kind} {[*rows, 'k']}, k for each row of logits; got {described(tensor)}."
            )
        check_dense(name, tensor, student_logits)
    k, other, classes = log_probabilities.shape[-1], indices.shape[-1], student_logits.shape[-1]
    if k != other or not 1 <= k <= classes:
        raise ValueError(
            f"log_probabilities and indices must be of the same k classes, 1 to {classes}; got {k} and {other}."
        )
    return k


def _check_values(log_t, indices, classes):
    low, high = (int(value) for value in indices.long().aminmax())
    if low < 0 or high >= classes:
        raise ValueError(f"indices must lie in 0..{classes - 1}; got {low if low < 0 else high}.")
    if (indices.long().sort(-1).values.diff(dim=-1) == 0).any():
        raise ValueError("indices must name each class once in a row; got one twice.")
    mass = float(log_t.logsumexp(-1).exp().amax())
    if not mass <= MASS:
        raise ValueError(
            f"log_probabilities must be logarithms of probabilities that add up to at most 1; got {mass:.3g}. Are "
            "these logits? losses.top_k(teacher_logits, k) gives what is wanted."
        )
