"""Seeds: whoever draws here draws from a ``torch.Generator`` of its own."""

import torch

from kdkit.losses.arguments import whole


def as_seed(seed):
    """``seed``, a whole number of any size, as torch takes it: 64 bits of it count. ``ValueError`` for all else."""
    return whole(seed, "seed") % 2**64


def generator(seed):
    """A ``torch.Generator`` of its own that begins at ``seed``, as ``as_seed`` takes it."""
    return torch.Generator().manual_seed(as_seed(seed))
