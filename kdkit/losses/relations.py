"""Losses on how samples of a batch relate to each other: widths may differ, and no projector is needed.

What a network gives for the samples of a batch is compared *within* the batch, for the student and for the teacher, and
the two tables are compared then. So a batch of one says nothing, and a loss depends on what else is in the batch. The
teacher gets no gradient; all is computed in at least float32.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from kdkit.losses.arguments import (
    at_least_float32,
    check_features,
    finite_on_features,
    inner_products,
    unit_length,
)

TINY = 1e-7  # below it a kernel's value counts as this much in a logarithm: log 0 would be infinite


def similarity_preserving(student: Tensor, teacher: Tensor) -> Tensor:
    """How differently the two compare the samples of a batch: the distance of their Gram matrices.

    Parameters: ``student`` ``[B, ...]`` and ``teacher`` ``[B, ...]``, any features of the same B samples; they are
    flattened to rows. With G the inner products of all pairs of rows ``[B, B]``, each row of G divided by its L2 norm,
    the loss is the sum of squared differences / B^2.
    Returns a scalar tensor. Raises ``ValueError`` where shapes are not as said.
    Source: Tung and Mori 2019 (arXiv:1907.09682), equations 1 to 4. (One library divides rows by their L1 norm.)

    >>> apart, alike = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0], [1.0]])
    >>> round(float(similarity_preserving(apart, alike)), 4)  # rows (1, 0) against (0.7071, 0.7071)
    0.2929
    """
    rows_s, rows_t = _rows(student, teacher, flat=True)  # [B, D] and [B, D']
    difference = gram_table(rows_s) - gram_table(rows_t)  # [B, B]
    return finite_on_features(difference.square().sum() / len(rows_s) ** 2, student, teacher)


def gram_table(feature: Tensor) -> Tensor:
    """How alike a network finds the samples of a batch, by ``feature`` ``[B, ...]``: the table ``[B, B]`` of that loss.

    The inner products of all pairs, each row divided by its L2 norm.
    """
    rows = at_least_float32(feature).flatten(1)
    largest = rows.detach().abs().amax()  # products of small numbers would be 0; a row's length takes it back
    return unit_length(inner_products(rows / torch.where(largest > 0, largest, 1.0)))


def rkd_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """How differently the two space out the samples of a batch: smooth L1 between their tables of distances.

    Parameters: ``student`` ``[B, D]`` and ``teacher`` ``[B, D']`` of the same B samples. Each table of distances
    ``[B, B]`` is divided by the mean of those that are not 0; the loss is the mean over all B^2 entries.
    Returns a scalar tensor; 0 for a batch of one. Raises ``ValueError`` where shapes are not as said.
    Source: Park et al. 2019 (arXiv:1904.05068), equations 5 to 8. Where two rows are equal, the gradient is 0.

    >>> float(rkd_distance(torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([[0.0], [2.0], [6.0]])))  # a scale is free
    0.0
    """
    rows_s, rows_t = _rows(student, teacher)
    loss = F.smooth_l1_loss(_relative_distances(rows_s), _relative_distances(rows_t))
    return finite_on_features(loss, student, teacher)


def rkd_angle(student: Tensor, teacher: Tensor) -> Tensor:
    """How differently the two place the samples of a batch: smooth L1 between the cosines of all their angles.

    Parameters: ``student`` ``[B, D]`` and ``teacher`` ``[B, D']`` of the same B samples. The angle at sample j between
    the directions to i and k is taken for all B^3 triples; the loss is the mean over them.
    Returns a scalar tensor; 0 for a batch of one. Raises ``ValueError`` where shapes are not as said.
    Source: Park et al. 2019 (arXiv:1904.05068), equations 9 to 11. Memory grows with B^2 D and B^3.

    >>> corner = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> round(float(rkd_angle(corner, 3 * corner + 1)), 6)  # neither scale nor place changes an angle
    0.0
    """
    rows_s, rows_t = _rows(student, teacher)
    return finite_on_features(F.smooth_l1_loss(_cosines(rows_s), _cosines(rows_t)), student, teacher)


def pkt(student: Tensor, teacher: Tensor) -> Tensor:
    """How differently the two say who is whose neighbour: KL(teacher || student) between rows of likeness.

    Parameters: ``student`` ``[B, D]`` and ``teacher`` ``[B, D']`` of the same B samples. Likeness of two samples is
    (cosine + 1) / 2; each row ``[B]`` is divided by its sum. The loss is the mean of t log(t / s) over all B^2 entries.
    Returns a scalar tensor. Raises ``ValueError`` where shapes are not as said.
    Source: Passalis and Tefas 2018 (arXiv:1803.10837), equations 5 to 7, with the mean of the authors' code.

    >>> features = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    >>> float(pkt(5 * features, features))  # only directions count
    0.0
    """
    s, t = (_neighbours(rows) for rows in _rows(student, teacher))  # [B, B]
    return finite_on_features((t * (t.clamp(min=TINY).log() - s.clamp(min=TINY).log())).mean(), student, teacher)


def _rows(student: Tensor, teacher: Tensor, flat: bool = False) -> tuple[Tensor, Tensor]:
    """Both as rows ``[B, D]`` and ``[B, D']`` to compute with; ``flat``: of features of any shape ``[B, ...]``."""
    check_features(student, teacher, shape="[B, ...]" if flat else "[B, D]", alike=False)
    return at_least_float32(student).flatten(1), at_least_float32(teacher.detach()).flatten(1)


def _relative_distances(rows: Tensor) -> Tensor:
    """Distances of all pairs of ``rows`` ``[B, D]``, in units of the mean of those that are not 0: ``[B, B]``."""
    # by differences, not by a matrix product, which leaves 0.001 between equal rows
    distances = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
    mean = distances.sum() / (distances > 0).sum().clamp(min=1)
    return distances / torch.where(mean > 0, mean, 1.0)


def _cosines(rows: Tensor) -> Tensor:
    """``[B, B, B]``: entry (j, i, k) is the cosine of the angle at row j between the ways to rows i and k."""
    return inner_products(unit_length(rows.unsqueeze(0) - rows.unsqueeze(1)))  # [1, B, D] - [B, 1, D] -> [B, B, D]


def _neighbours(rows: Tensor) -> Tensor:
    """``[B, B]``: how alike each row is to the others, as shares of its row."""
    likeness = (inner_products(unit_length(rows)) + 1) / 2
    return likeness / likeness.sum(1, keepdim=True)
