"""What one step learns from: a ``Batch``, made of what data loaders give, and dealt into parts."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from kdkit.losses.arguments import IGNORE_INDEX, may_look

Inputs = Tensor | tuple | list | Mapping[str, Any]


class Batch(NamedTuple):
    """What one step learns from.

    ``inputs``: what both networks are given: a tensor, a tuple or list (handed over in order), or a mapping (by name).
    ``labels``: integers ``[B]`` or ``[B, L]``, or whatever a loss of your own takes; ``mask``, bool ``[B, L]``: which
    tokens count in the soft term. ``image`` and ``view``, int64 ``[B]``: the number of each image and of its augmented
    view, the keys of a cache. They stay on the CPU, where the cache is. ``share``: what a part of a batch weighs in the
    update (``deal``); None for a whole batch.
    """

    inputs: Inputs
    labels: Tensor | None = None
    mask: Tensor | None = None
    image: Tensor | None = None
    view: Tensor | None = None
    share: float | Tensor | None = None


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


def deal(batch: Batch, count: int) -> list[Batch]:
    """``batch`` in ``count`` parts of neighbouring samples, as equal as can be; fewer where there are fewer samples.

    A mean over the whole is the sum of each part's ``share`` times the mean over it, if means go over samples, or over
    what ``mask`` selects. Where labels of -100 leave out others than the mask does, two means would need two shares:
    ``ValueError``, where looking is free. So for inputs that hold another number of samples than labels or mask.
    """
    if count == 1:
        return [batch]
    size = samples(batch)
    count, counted = min(count, size), _counted(batch)
    bounds = [(size * part // count, size * (part + 1) // count) for part in range(count)]
    return [_cut(batch, counted, begin, end, size) for begin, end in bounds]


def samples(batch: Batch) -> int:
    """How many samples there are: the length of the first tensor of the inputs. ``ValueError`` if there is none."""
    inputs = batch.inputs
    several = (
        inputs.values() if isinstance(inputs, Mapping) else inputs if isinstance(inputs, tuple | list) else [inputs]
    )
    for tensor in several:
        if isinstance(tensor, Tensor) and tensor.ndim:
            return len(tensor)
    raise ValueError("a batch whose inputs hold no tensor [B, ...] cannot be dealt into parts.")


def _cut(batch: Batch, counted: Tensor | None, begin: int, end: int, size: int) -> Batch:
    """Samples ``begin`` to ``end`` of ``size``; ``counted``: which samples or tokens a mean goes over, None for all."""

    def cut(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: cut(part) for name, part in value.items()}
        if isinstance(value, tuple | list):
            return [cut(part) for part in value]
        if not isinstance(value, Tensor) or value.ndim == 0 or (len(value) == 1 and size > 1):
            return value
        if len(value) != size:
            raise ValueError(f"{size} samples, and a tensor {list(value.shape)} beside them: it cannot be dealt.")
        return value[begin:end]

    share = (end - begin) / size if counted is None else counted[begin:end].sum() / counted.sum()
    whole = 1.0 if batch.share is None else batch.share
    inputs, labels, mask, image, view = map(cut, batch[:-1])
    return Batch(inputs, labels, mask, image, view, whole * share)


def _counted(batch: Batch) -> Tensor | None:
    mask, labels = batch.mask, batch.labels
    if isinstance(labels, Tensor) and not labels.is_floating_point() and may_look(labels):
        labelled = labels != IGNORE_INDEX
        if not torch.equal(labelled, torch.ones_like(labelled) if mask is None else mask.bool()):
            raise ValueError(
                "labels of -100 leave out others than the mask does, so that the soft and the hard term are means over "
                "different things: such a batch cannot be dealt into parts. Give mask=(labels != -100), or train in "
                "one process with accumulate=1."
            )
    return None if mask is None else mask.bool()
