"""What the divergences of two sets of logits are made of: log-probabilities, a number for each row, the mean of those.

Rows are those of ``[B, C]``, or the tokens of ``[B, L, V]``. Log-probabilities, probabilities and products take
several times the memory of the logits themselves, and a vocabulary may have 150,000 words. So where there are many
numbers they are computed in pieces of some rows, and with each piece its gradient, which is all that is kept. Beside
both sets of logits, the peak is then 3 times one of them for a KL, not 6, and 4 times for the JSD, not 19
(``benchmarks/vocabulary.py``).
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from kdkit.losses.arguments import (
    at_least_float32,
    check_classes,
    check_mask,
    check_pair,
    check_temperature,
    masked_mean,
    may_look,
)

PIECE = 2**24  # numbers that are computed with at once: 64 MiB of each kind in float32


def mean_over_rows(
    divergence: Callable[[Tensor, Tensor], Tensor],
    student_logits: Tensor,
    teacher_logits: Tensor,
    temperature: float = 1.0,
    mask: Tensor | None = None,
) -> Tensor:
    """The mean of ``divergence`` over the rows that ``mask`` selects: a scalar. ``ValueError`` for bad input.

    ``divergence(log_s, log_t)`` of log-probabilities ``[..., C]`` at this temperature gives ``[...]``; logits,
    temperature and mask are those of ``kd_loss``. The teacher gets no gradient.
    """
    whole, of_rows = _prepared(divergence, student_logits, teacher_logits, temperature, mask)
    if student_logits.numel() <= PIECE or torch.compiler.is_compiling():
        return masked_mean(of_rows(*whole), whole[2])
    return _InPieces.apply(*whole, of_rows)


def each_row(
    divergence: Callable[[Tensor, Tensor], Tensor],
    student_logits: Tensor,
    teacher_logits: Tensor,
    temperature: float = 1.0,
    mask: Tensor | None = None,
) -> Tensor:
    """The same without the mean: ``[B]`` or ``[B, L]``, 0 where ``mask`` does not select a row. Not in pieces."""
    whole, of_rows = _prepared(divergence, student_logits, teacher_logits, temperature, mask)
    found = of_rows(*whole)
    return found if whole[2] is None else found.masked_fill(~whole[2], 0.0)


def _prepared(divergence, student_logits, teacher_logits, temperature, mask):
    """The checked arguments of ``of_rows``, and ``of_rows`` itself."""
    check_pair(student_logits, teacher_logits)
    check_classes(student_logits)
    temperature = check_temperature(temperature)
    mask = None if mask is None else check_mask(mask, student_logits)

    def of_rows(student, teacher, mask):
        if mask is not None:  # what stands elsewhere does not count, NaN included: a product would leave 0 * NaN
            student, teacher = (logits.masked_fill(~mask.unsqueeze(-1), 0.0) for logits in (student, teacher))
        return divergence(*(F.log_softmax(at_least_float32(z) / temperature, -1) for z in (student, teacher)))

    return (student_logits, teacher_logits.detach(), mask), of_rows


class _InPieces(torch.autograd.Function):
    """``masked_mean(of_rows(...), mask)``, the gradient of each piece computed as long as the piece is there."""

    @staticmethod
    def forward(ctx, student, teacher, mask, of_rows):
        values = student.new_empty(student.shape[:-1], dtype=torch.promote_types(student.dtype, torch.float32))
        weights = values.new_ones(()).expand_as(values) if mask is None else mask.to(values.dtype)
        weights = weights / weights.sum()  # the gradient of the mean
        slope = torch.empty_like(student) if ctx.needs_input_grad[0] else None
        for piece in _pieces(student):
            with torch.set_grad_enabled(slope is not None):
                part = student[piece].detach().requires_grad_(slope is not None)
                found = of_rows(part, teacher[piece], None if mask is None else mask[piece])
            values[piece] = found.detach()
            if slope is not None:
                slope[piece] = torch.autograd.grad(found, part, weights[piece])[0]
        ctx.save_for_backward(slope)
        return masked_mean(values, mask)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        return ctx.saved_tensors[0] * grad, None, None, None


def _pieces(logits):
    """Indices of ``logits`` ``[..., C]`` that take them row by row, at most ``PIECE`` numbers at once."""
    count, rows = logits.shape[-2], max(PIECE // logits.shape[-1], 1)
    for start in range(0, count, rows):
        here = slice(start, start + rows)
        yield from ((b, here) for b in range(len(logits))) if logits.ndim == 3 else (here,)


def cross_entropy(log_s: Tensor, log_t: Tensor) -> Tensor:
    """-sum_i t_i log s_i of each row ``[..., C]``: ``[...]``."""
    t = log_t.exp()
    return -(t * where_any(t, log_s)).sum(-1)


def relative_entropy(log_s: Tensor, log_t: Tensor) -> Tensor:
    """KL(t || s) of each row ``[..., C]``: ``[...]``."""
    t = log_t.exp()
    return (t * (where_any(t, log_t) - where_any(t, log_s))).sum(-1)


def where_any(t: Tensor, logarithms: Tensor) -> Tensor:
    """``logarithms`` ``[..., C]``, but 0 where ``t`` is, so that their product is, as 0 log 0 = 0 says.

    Before the product, not after it: 0 * -inf would be NaN, and leave NaN in the gradient.
    """
    return logarithms.masked_fill(t == 0, 0.0)


def finite_on_logits(
    loss: Tensor, student_logits: Tensor, teacher_logits: Tensor, mask: Tensor | None = None
) -> Tensor:
    """``loss`` ``[...]`` of logits ``[..., C]``; where looking is free, ``ValueError`` unless it is finite."""
    if may_look(loss) and not math.isfinite(total := loss.sum().item()):
        raise ValueError(f"the loss is {total}: {why_not_finite(student_logits, teacher_logits, mask)}")
    return loss


def why_not_finite(student_logits: Tensor, teacher_logits: Tensor, mask: Tensor | None = None) -> str:
    """What in these logits ``[..., C]`` makes a loss of them NaN or infinite, in words. On a GPU the host waits."""
    if mask is not None:
        student_logits, teacher_logits = student_logits[mask.bool()], teacher_logits[mask.bool()]  # [tokens, V]
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
