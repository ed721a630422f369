"""Whole numbers that people give: counts, sizes and seeds."""

import operator

import torch

SEEDS = -(2**63), 2**64 - 1  # what torch's generators take


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
    bounds = "" if least is None else f" from {least}" if most is None else f" from {least} to {most}"
    raise ValueError(f"{name} must be a whole number{bounds}; got {value!r}.{advice and ' '}{advice}")


def seeded(seed):
    """A ``torch.Generator`` that begins at ``seed``. Raises ``ValueError`` for what torch takes for no seed."""
    return torch.Generator().manual_seed(whole(seed, "seed", *SEEDS))
