"""Augmentation as a finite list of views, on a schedule that no seed changes.

A view is a flip (or none) and a shift by whole pixels. With ``flip=True, shift=2`` an image has 2 x 5 x 5 = 50
views, so a teacher has only 50 answers to give on it: they can all be kept (see ``training.cache``).
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kdkit.data.streaming import StreamedImages, pixels
from kdkit.losses.arguments import whole

_SCHEDULE_SEED = 20150309  # the day Hinton et al. 2015 went to arXiv; any fixed number would do


@dataclass(frozen=True)
class Views:
    """The views of an image: mirrored or not, shifted by up to ``shift`` steps each way, of ``step`` pixels each.

    The same images at twice the size have the same views with twice the ``step``.

    Views are numbered ``(mirrored * side + down) * side + right`` with ``side = 2 * shift + 1``. Views without a
    mirror suit digits: a mirrored 3 is no digit. Raises ``ValueError`` where ``flip`` is no truth value or ``shift`` no
    whole number from 0, ``step`` none from 1.
    """

    flip: bool = True
    shift: int = 2
    step: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.flip, bool | int | np.bool_) or self.flip not in (True, False):
            raise ValueError(f"flip must be True or False; got {self.flip!r}.")
        object.__setattr__(self, "flip", bool(self.flip))
        object.__setattr__(self, "shift", whole(self.shift, "shift", 0, advice="It is counted in steps."))
        object.__setattr__(self, "step", whole(self.step, "step", 1, advice="It is counted in pixels."))

    def __repr__(self) -> str:
        step = "" if self.step == 1 else f", step={self.step}"
        return f"Views(flip={self.flip}, shift={self.shift}{step})"

    @property
    def rim(self) -> int:
        """By how many pixels an image may be shifted."""
        return self.shift * self.step

    @property
    def side(self) -> int:
        """How many places a shift along one axis has."""
        return 2 * self.shift + 1

    @property
    def count(self) -> int:
        """How many views an image has."""
        return (2 if self.flip else 1) * self.side**2

    def schedule(self, images: int, epoch: int) -> Tensor:
        """Which view each image has in ``epoch`` (counted from 0): int64 ``[images]``.

        The same for every run, whatever its seed: the second student finds the teacher's answers to all its views
        in the cache. Mirrored and plain alternate from epoch to epoch (airbench's "alternating flip"), shifts go
        through all places before one comes again, and each image starts at one drawn for it.
        """
        generator = torch.Generator().manual_seed(_SCHEDULE_SEED)
        places = self.side**2
        start = torch.randint(places, (images,), generator=generator)
        mirror = torch.randint(2, (images,), generator=generator)
        # 11 of 25, 4 of 9: no common factor with the number of places, or some places would never come
        stride = places // 2 - (1 if places % 3 else 0)
        shift = (start + stride * epoch) % places
        return shift + places * ((mirror + epoch) % 2) if self.flip else shift

    def pad(self, images: Tensor | StreamedImages) -> Tensor:
        """Prepare uint8 images ``[N, C, H, W]`` for ``take``: a reflected rim, channels last.

        ``StreamedImages`` are read.

        Raises ``ValueError`` for images that are no larger than the rim.
        """
        if self.rim >= min(images.shape[-2:]):
            raise ValueError(f"{self} needs images of more than {self.rim} pixels; got {list(images.shape)}.")
        images = pixels(images)
        padded = F.pad(images, [self.rim] * 4, mode="reflect") if self.rim else images
        return padded.contiguous(memory_format=torch.channels_last)

    def take(self, padded: Tensor, index: Tensor, view: Tensor) -> Tensor:
        """The views ``view`` [B] of the images ``index`` [B]: float32 in [0, 1], ``[B, C, H, W]``, channels last."""
        return self.cut(padded, index, view).float().div_(255)

    def cut(self, padded: Tensor, index: Tensor, view: Tensor) -> Tensor:
        """What ``take`` gives while it is still uint8 ``[B, C, H, W]``."""
        side, height, width = self.side, *(size - 2 * self.rim for size in padded.shape[-2:])
        # [N, C, side, side, H, W], a view: no copy
        windows = padded.unfold(2, height, self.step).unfold(3, width, self.step)
        place = view % side**2
        crops = windows.permute(0, 2, 3, 4, 5, 1)[index, place // side, place % side]  # [B, H, W, C]
        if self.flip:  # by where, not by index: to find out how many are mirrored a GPU would be waited for
            crops = torch.where((view >= side**2)[:, None, None, None], crops.flip(2), crops)
        return crops.permute(0, 3, 1, 2)  # [B, C, H, W]
