"""A projector: what makes a student's feature comparable to a wider teacher's. It learns with the student."""

import torch.nn.functional as F
from torch import Tensor, nn

from kdkit.losses.arguments import check_features
from kdkit.models.networks import seeded


class Projector(nn.Module):
    """Makes a student's and a teacher's feature alike in shape, for a loss that compares them place by place.

    A linear map without bias, over the channels: of rows ``[B, D]`` to the teacher's width, of maps ``[B, C, H, W]`` to
    its channels (a 1x1 convolution). The larger of two maps is average-pooled to the size of the smaller. It is thrown
    away after the training: give its weights to the optimizer, or put it into a loss that ``kdkit.train`` is handed.

    Parameters:
        student_feature, teacher_feature: one of each, ``[B, D]`` or ``[B, C, H, W]``, for their widths.
        normalised: both are brought to mean 0 and variance 1 over the batch, channel by channel, in training; without
            it a student can lower the loss by making its features small.
        seed: of the initial weights.

    Source: Romero et al. 2015 (arXiv:1412.6550), section 2.2; normalised: Miles and Mikolajczyk 2024
    (arXiv:2303.11098). Raises ``ValueError`` for features that are no rows or maps of the same samples.

    >>> import torch
    >>> narrow, wide = torch.zeros(2, 8, 16, 16), torch.zeros(2, 32, 8, 8)
    >>> [tuple(feature.shape) for feature in Projector(narrow, wide)(narrow, wide)]
    [(2, 32, 8, 8), (2, 32, 8, 8)]
    """

    def __init__(self, student_feature: Tensor, teacher_feature: Tensor, *, normalised: bool = False, seed: int = 0):
        super().__init__()
        maps = isinstance(student_feature, Tensor) and student_feature.ndim == 4
        check_features(student_feature, teacher_feature, shape="[B, C, H, W]" if maps else "[B, D]", alike=False)
        ours, theirs = student_feature.shape[1], teacher_feature.shape[1]
        with seeded(seed):
            self.linear = nn.Conv2d(ours, theirs, 1, bias=False) if maps else nn.Linear(ours, theirs, bias=False)
        norm = nn.BatchNorm2d if maps else nn.BatchNorm1d
        self.norms = nn.ModuleList([norm(theirs, affine=False) for _ in range(2)] if normalised else [])
        self.to(student_feature.device, student_feature.dtype)

    def forward(self, student_feature: Tensor, teacher_feature: Tensor) -> tuple[Tensor, Tensor]:
        """Both, ``[B, D']`` or ``[B, C', h, w]``: of the teacher's width, the smaller size; the teacher's detached."""
        both = [self.linear(student_feature), teacher_feature.detach()]
        if both[0].ndim == 4:
            height, width = (min(feature.shape[axis] for feature in both) for axis in (2, 3))
            both = [F.adaptive_avg_pool2d(feature, (height, width)) for feature in both]
        if self.norms:
            both = [norm(feature) for norm, feature in zip(self.norms, both, strict=True)]
        return both[0], both[1]
