"""Seeds: whoever draws here draws from a ``torch.Generator`` of its own."""

import torch

from kdkit.losses.arguments import whole


def as_seed(seed: object) -> int:
    """``seed``, a whole number of any size, as torch takes it: 64 bits of it count. ``ValueError`` for all else."""
    return whole(seed, "seed") % 2**64


def generator(seed: object) -> torch.Generator:
    """A ``torch.Generator`` of its own that begins at ``seed``, as ``as_seed`` takes it."""
    return torch.Generator().manual_seed(as_seed(seed))


def epoch_seed(seed: int, epoch: int) -> int:
    """Each epoch has a seed of its own, so that a resumed run needs no generator's state from the one that died."""
    return as_seed(seed * 1_000_003 + epoch)
