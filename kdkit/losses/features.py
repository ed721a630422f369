"""Losses on what is inside: hidden states of student and teacher."""

import torch.nn.functional as F
from torch import Tensor

from kdkit.losses.arguments import at_least_float32, check_mask, check_pair, masked_mean


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
