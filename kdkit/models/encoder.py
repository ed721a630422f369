"""A Transformer to measure: what its layers cost, at any width and depth."""

from torch import nn

from kdkit.losses.arguments import whole
from kdkit.models.networks import check_total, seeded


def encoder(width: int, depth: int, seed: int = 0) -> nn.TransformerEncoder:
    """``depth`` Transformer layers as BERT has them (torch's own), for measuring: ``[N, length, width]`` in and out.

    A layer holds about 12 ``width``^2 parameters: attention, and a feed-forward of four times the width; a head for
    each 64 of ``width``. Embeddings and output are left out: no time of a layer hides there. Weights are torch's own
    initial ones, drawn from ``seed``; the global random state is neither read nor changed.

    Raises ``ValueError`` for sizes that are not whole numbers, too small, or too large together, and for a width that
    its heads cannot share.

    >>> import torch
    >>> encoder(64, 2)(torch.zeros(1, 5, 64)).shape
    torch.Size([1, 5, 64])
    """
    width, depth = whole(width, "width", 1), whole(depth, "depth", 1)
    check_total(12 * depth * width**2)
    heads = max(1, width // 64)
    if width % heads:
        raise ValueError(f"width must be a multiple of its {heads} heads (one for each 64); got {width}.")
    with seeded(seed):
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, dropout=0.1, activation="gelu", batch_first=True)
        return nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
