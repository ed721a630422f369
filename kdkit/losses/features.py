"""Losses on what is inside: hidden states and features of student and teacher, compared place by place."""

import torch.nn.functional as F
from torch import Tensor, finfo

from kdkit.losses.arguments import (
    at_least_float32,
    check_features,
    check_mask,
    check_pair,
    finite_on_features,
    masked_mean,
    positive,
    unit_length,
)


def hint(student_feature: Tensor, teacher_feature: Tensor) -> Tensor:
    """The mean squared error between two features: 0 where the student's is the teacher's.

    Parameters: ``student_feature`` and ``teacher_feature``, ``[B, ...]``, alike in shape. Where the student is
    narrower, put a projector between (``models.Projector``), and let its weights learn with the student's.
    Returns a scalar tensor: the mean over all entries. The teacher gets no gradient. Raises ``ValueError`` where shapes
    are not as said. Source: Romero et al. 2015, FitNets (arXiv:1412.6550), equation 3, which has half of the sum.

    >>> import torch
    >>> float(hint(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 4.0]])))
    2.0
    """
    check_features(student_feature, teacher_feature)
    loss = F.mse_loss(at_least_float32(student_feature), at_least_float32(teacher_feature.detach()))
    return finite_on_features(loss, student_feature, teacher_feature)


def log_sum(student_feature: Tensor, teacher_feature: Tensor, power: float = 4.0) -> Tensor:
    """log of the sum of |student - teacher|^power over a batch: large differences count most, their scale hardly.

    Parameters: ``student_feature`` and ``teacher_feature``, ``[B, ...]``, alike in shape, and both normalised, as
    ``models.Projector(..., normalised=True)`` makes them; ``power``, a finite number of at least 1.
    Returns a scalar tensor; where both are equal, the logarithm of the smallest normal number of its dtype. Raises
    ``ValueError`` as ``hint``. Source: Miles and Mikolajczyk 2024 (arXiv:2303.11098), section 4.3.

    >>> import torch
    >>> round(float(log_sum(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 4.0]]))), 4)  # 4 log 2
    2.7726
    """
    check_features(student_feature, teacher_feature)
    power = _power(power)
    difference = at_least_float32(student_feature) - at_least_float32(teacher_feature.detach())
    total = difference.abs().pow(power).sum()
    return finite_on_features(total.clamp(min=finfo(total.dtype).tiny).log(), student_feature, teacher_feature)


def attention_transfer(student_maps: Tensor, teacher_maps: Tensor, power: float = 2.0) -> Tensor:
    """How differently the two look at an image: the mean squared difference of their attention maps.

    Parameters: ``student_maps`` ``[B, C, H, W]`` and ``teacher_maps`` ``[B, C', H', W']``, features of the same B
    images; ``power``, a finite number of at least 1. The larger of the two is average-pooled to the height and width
    of the smaller. An attention map is the mean over channels of |feature|^power, flattened and divided by its L2 norm.
    Returns a scalar tensor: the mean over images and places. The teacher gets no gradient. Raises ``ValueError`` where
    shapes are not as said. Source: Zagoruyko and Komodakis 2017 (arXiv:1612.03928), section 3.1. The paper's equation 2
    has norms of differences, its code this mean of squares.

    >>> import torch
    >>> left, right = torch.tensor([[[[1.0, 0.0]]]]), torch.tensor([[[[0.0, 1.0]]]])
    >>> float(attention_transfer(left, right))
    1.0
    """
    check_features(student_maps, teacher_maps, shape="[B, C, H, W]", alike=False)
    student, teacher = at_least_float32(student_maps), at_least_float32(teacher_maps.detach())
    size = min(student.shape[2], teacher.shape[2]), min(student.shape[3], teacher.shape[3])
    maps = [attention_map(_pooled(features, size), power).flatten(1) for features in (student, teacher)]  # [B, h * w]
    return finite_on_features((unit_length(maps[0]) - unit_length(maps[1])).square().mean(), student_maps, teacher_maps)


def attention_map(maps: Tensor, power: float = 2.0) -> Tensor:
    """Where features ``maps`` ``[B, C, H, W]`` are large: the mean over channels of |feature|^power, ``[B, H, W]``.

    Raises ``ValueError`` for a ``power`` below 1.
    """
    return maps.abs().pow(_power(power)).mean(1)


def cosine_distance(student_hidden: Tensor, teacher_hidden: Tensor, mask: Tensor | None = None) -> Tensor:
    """1 - cos of the angle between two hidden states: 0 where they point the same way, 2 where they are opposed.

    Parameters: ``student_hidden`` and ``teacher_hidden``, ``[B, H]`` or ``[B, L, H]``, alike in shape; ``mask`` as for
    ``kd_loss``: which samples or tokens count.
    Returns a scalar tensor: the mean over what counts. The teacher gets no gradient. Raises ``ValueError`` where shapes
    are not as said. Source: Sanh et al. 2019 (arXiv:1910.01108), section 2, L_cos.

    >>> import torch
    >>> round(float(cosine_distance(torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0, 2.0]]))), 4)  # 1 - cos 45 degrees
    0.2929
    """
    check_pair(student_hidden, teacher_hidden, "hidden")
    student, teacher = at_least_float32(student_hidden), at_least_float32(teacher_hidden.detach())
    if mask is not None:
        mask = check_mask(mask, student)
        student, teacher = (hidden.masked_fill(~mask.unsqueeze(-1), 1.0) for hidden in (student, teacher))
    return masked_mean(1 - F.cosine_similarity(student, teacher, dim=-1), mask)


def _pooled(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Features ``[B, C, H, W]`` averaged to ``size`` (h, w): ``[B, C, h, w]``."""
    return maps if maps.shape[2:] == size else F.adaptive_avg_pool2d(maps, size)


def _power(power: float) -> float:
    """``power`` as a float. ``ValueError`` below 1: there the slope at 0 is infinite."""
    if positive("power", power) < 1:
        raise ValueError(f"power must be at least 1, for the slope at 0 to be finite; got {power!r}.")
    return float(power)
