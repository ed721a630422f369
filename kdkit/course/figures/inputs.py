"""What figures are handed, lists and tensors alike, as plain numbers. ``ValueError`` for what is none."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from kdkit.losses.arguments import whole


def floats(values: Iterable[float] | Tensor) -> list[float]:
    """``values``, a list or a tensor ``[N]``, as numbers that matplotlib takes without a warning."""
    return [float(value) for value in values]


def parts(name: str, values: Any) -> list:
    """``values`` as a list. Raises ``ValueError`` for what has no parts, or no place in memory."""
    try:
        return [] if isinstance(values, str) else list(values)
    except (TypeError, RuntimeError, NotImplementedError):
        raise ValueError(f"{name} must be several, such as a list or a tensor; got {type(values).__name__}.") from None


def finite(name: str, values: Iterable[float] | Tensor, count: int | None = None) -> list[float]:
    """``values``, a list or a tensor ``[N]``, as finite floats. Raises ``ValueError`` for anything else.

    ``count``: how many they must be; None: one or more.
    """
    try:
        found = floats(parts(name, values))
    except (TypeError, ValueError, RuntimeError, OverflowError):
        found = []
    if not found or count not in (None, len(found)) or not all(map(math.isfinite, found)):
        many = "" if count is None else f"{count} "
        raise ValueError(f"{name} must be {many}finite numbers, a list or a 1-D tensor; got {values!r}.")
    return found


def distribution(name: str, values: Iterable[float] | Tensor, classes: Sequence[str]) -> list[float]:
    """Probabilities ``[C]``, one for each of ``classes``, as floats. Raises ``ValueError`` for anything else."""
    check_names("classes", classes)
    found = finite(name, values, len(classes))
    if not all(-1e-6 <= value <= 1 + 1e-6 for value in found):
        raise ValueError(f"{name} must be probabilities, from 0 to 1; got {found}. (Take the softmax of logits.)")
    return found


def check_names(name: str, names: Sequence[str], count: int | None = None) -> None:
    """Raises ``ValueError`` unless these are texts, ``count`` of them if that is given."""
    good = isinstance(names, list | tuple) and names and all(isinstance(each, str) for each in names)
    if not good or count not in (None, len(names)):
        many = "" if count is None else f"{count} "
        raise ValueError(f"{name} must be a list or tuple of {many}texts; got {names!r}.")


def check_label(label: int | None, classes: Sequence[str]) -> None:
    """Raises ``ValueError`` unless ``label`` is the number of one of ``classes``, or None."""
    check_names("classes", classes)
    if label is not None:
        whole(label, "label", 0, len(classes) - 1, "It is the number of the true class.")


def check_dict(name: str, values: object) -> None:
    """Raises ``ValueError`` unless ``values`` is a dict with something in it."""
    if not isinstance(values, dict) or not values:
        raise ValueError(f"{name} must be a dict of name to numbers; got {values!r}.")


def check_images(name: str, images: Tensor, axes: int) -> None:
    """Raises ``ValueError`` unless these are uint8 images ``[N, C, H, W]`` or, with 3 ``axes``, one ``[C, H, W]``."""
    plain = isinstance(images, Tensor) and images.layout == torch.strided and not images.is_meta
    good = plain and images.dtype == torch.uint8 and images.ndim == axes and images.shape[-3] in (1, 3)
    if not good or images.numel() == 0:
        got = f"{images.dtype} {list(images.shape)}" if plain else type(images).__name__
        shape = "[N, C, H, W]" if axes == 4 else "[C, H, W]"
        raise ValueError(f"{name} must be uint8 {shape} of 1 or 3 channels; got {got}.")
