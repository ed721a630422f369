"""Distillation by what a teacher computes on the way: a term on features, beside the loss of the logits."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn

from kdkit.losses.arguments import check_weight, described
from kdkit.training.batch import Batch
from kdkit.training.step import Distillation, Outputs


class FeatureTerms(NamedTuple):
    """What ``Beside`` gives, scalar tensors: the total, and what it is a sum of, without weights."""

    total: Tensor
    soft: Tensor
    hard: Tensor
    feature: Tensor


class Beside(nn.Module):
    """``base``, the loss of the logits, and beside it ``weight`` times a term of your own: a ``training.Loss``.

    Parameters:
        base: ``Distillation(...)``; with ``soft_weight=0`` there are only labels beside the term.
        term: called as ``term(student_outputs, teacher_outputs)``, dicts of what both ``models.Features`` give, it
            returns a scalar. If it is a module, such as one with a ``models.Projector``, its weights learn, too.
        weight: a finite number of at least 0.

    >>> from kdkit import losses
    >>> loss = Beside(Distillation(), lambda s, t: losses.pkt(s["last"], t["last"]), weight=30.0)
    """

    def __init__(self, base: Distillation, term: Callable[[Outputs, Outputs], Tensor], weight: float):
        super().__init__()
        self.base, self.term, self.weight = base, term, check_weight("weight", weight)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> FeatureTerms:
        """The terms of one step, scalars ``()``, the total first. ``ValueError`` for a term that is no scalar."""
        total, soft, hard = self.base(student, teacher, batch)
        feature = self.term(student, teacher)
        if not isinstance(feature, Tensor) or feature.ndim != 0:
            raise ValueError(f"the term must give a scalar tensor; got {described(feature)}.")
        if self.weight > 0:
            total = total + self.weight * feature
        return FeatureTerms(total, soft, hard, feature)
