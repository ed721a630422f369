"""Whole numbers that people give: counts, sizes and seeds."""

import operator

import torch


def whole(value, name, least=None, most=None, advice=""):
    """``value`` as an int: anything that counts as a whole number, NumPy's too, but neither True nor 1.0.

    Raises ``ValueError`` that names ``name``, what it must be and what was got.
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is not None and (least is None or number >= least) and (most is None or number <= most):
        return number
    bounds = "" if least is None else f" of at least {least}" if most is None else f" from {least} to {most}"
    raise ValueError(f"{name} must be a whole number{bounds}; got {value!r}.{advice and ' '}{advice}")


def as_seed(seed):
    """``seed``, a whole number of any size, as torch takes it: 64 bits of it count. ``ValueError`` for all else."""
    return whole(seed, "seed") % 2**64


def generator(seed):
    """A ``torch.Generator`` of its own that begins at ``seed``, as ``as_seed`` takes it."""
    return torch.Generator().manual_seed(as_seed(seed))
