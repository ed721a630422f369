"""What one step learns from: a ``Batch``, made of what data loaders give."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

Inputs = Tensor | tuple | list | Mapping[str, Any]


class Batch(NamedTuple):
    """What one step learns from.

    ``inputs``: what both networks are given: a tensor, a tuple or list (handed over in order), or a mapping (by name).
    ``labels``: integers ``[B]`` or ``[B, L]``, or whatever a loss of your own takes; ``mask``, bool ``[B, L]``: which
    tokens count in the soft term. ``image`` and ``view``, int64 ``[B]``: the number of each image and of its augmented
    view, the keys of a cache. They stay on the CPU, where the cache is.
    """

    inputs: Inputs
    labels: Tensor | None = None
    mask: Tensor | None = None
    image: Tensor | None = None
    view: Tensor | None = None


def as_batch(batch: Any) -> Batch:
    """``batch`` as a ``Batch``: a pair of inputs and labels, or a mapping with "labels" among its values, becomes one.

    ``ValueError`` for anything else.
    """
    if isinstance(batch, Batch):
        return batch
    if isinstance(batch, Mapping):
        return Batch({name: value for name, value in batch.items() if name != "labels"}, batch.get("labels"))
    if isinstance(batch, tuple | list) and len(batch) == 2:
        return Batch(*batch)
    raise ValueError(f"a batch must be a Batch, a pair (inputs, labels) or a mapping; got {type(batch).__name__}.")
