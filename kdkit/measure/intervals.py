"""How sure a handful of numbers can make one: paired differences and rank correlations, each with a 95 % interval.

All numbers are finite, or refused. SciPy takes a second to import, and only reports need it: it is imported where it is
used.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

RESAMPLES = 10_000


class Paired(NamedTuple):
    """A paired difference: ``mean``, the ends of its 95 % interval, and each pair's difference."""

    mean: float
    low: float
    high: float
    differences: tuple[float, ...]

    @property
    def verdict(self) -> str:
        """One sentence in points (hundredths): what was shown, or that nothing was."""
        points = [100 * value for value in (self.mean, self.low, self.high)]
        higher = sum(value > 0 for value in self.differences)
        count = f"higher in {higher} of {len(self.differences)} seeds"
        interval = f"95 % interval {points[1]:+.2f} to {points[2]:+.2f}, {count}"
        if self.low > 0:
            return f"a gain of {points[0]:.2f} points ({interval})"
        if self.high < 0:
            return f"a loss of {-points[0]:.2f} points ({interval})"
        return f"no difference shown: {points[0]:+.2f} points ({interval})"


def paired_interval(values: Sequence[float] | Tensor, *, baseline: Sequence[float] | Tensor) -> Paired:
    """The mean gain of ``values`` over ``baseline``, both ``[n]``, in pairs (one a seed), with its 95 % t interval.

    With one pair there is no interval: its ends are infinite. Raises ``ValueError`` for lists of unequal length, and
    for what is no finite number in them, such as the NaN of a run that diverged.

    >>> print(paired_interval([0.71, 0.72, 0.715], baseline=[0.70, 0.70, 0.70]).verdict)
    a gain of 1.50 points (95 % interval +0.26 to +2.74, higher in 3 of 3 seeds)
    """
    from scipy import stats

    differences = _differences(values, baseline)
    mean, margin = differences.mean().item(), math.inf
    if len(differences) > 1:  # not stats.ttest_rel, which warns of nearly equal differences: here they are a result
        margin = float(stats.t.ppf(0.975, len(differences) - 1) * stats.sem(differences))
    return Paired(mean, mean - margin, mean + margin, tuple(differences.tolist()))


def bootstrap_interval(values: Sequence[float] | Tensor, *, baseline: Sequence[float] | Tensor) -> Paired:
    """The same with a bootstrap interval: what the mean would be, had other pairs of these ``[n]`` been drawn.

    It assumes nothing about how differences are spread, but with five pairs it knows only five differences, and is
    then too narrow: read it beside the t interval, not instead. Its ends are percentiles, drawn from a fixed seed.
    Raises ``ValueError`` as ``paired_interval`` does.
    """
    from scipy import stats

    pair = paired_interval(values, baseline=baseline)
    if len(pair.differences) == 1:
        return pair
    fixed = {"n_resamples": RESAMPLES, "random_state": np.random.default_rng(0)}  # SciPy < 1.15 knows no rng=
    drawn = stats.bootstrap((pair.differences,), np.mean, method="percentile", **fixed)
    return pair._replace(low=float(drawn.confidence_interval.low), high=float(drawn.confidence_interval.high))


class Correlation(NamedTuple):
    """A rank correlation: its ``value``, from -1 to 1, and the ends of its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self):
        return f"{self.value:.2f} (95 % interval {self.low:.2f} to {self.high:.2f})"


def rank_correlation(first: Sequence[float] | Tensor, second: Sequence[float] | Tensor) -> Correlation:
    """Spearman's rank correlation of two lists of numbers ``[n]``, with a bootstrap interval over pairs.

    1: both put all in the same order. 0: one tells nothing of the other's order. The interval's ends are percentiles,
    drawn from a fixed seed; draws in which one list holds equal numbers alone have no order, and are left out.

    Raises ``ValueError`` for lists of unequal length, of fewer than three numbers, of numbers that are not finite, or
    without any order.
    """
    from scipy import stats

    one, other = _finite("first", first), _finite("second", second)
    if len(one) != len(other) or len(one) < 3:
        raise ValueError(
            f"a rank correlation takes two lists of the same three or more numbers; got {len(one)} and "
            f"{len(other)} of them."
        )
    if min(np.ptp(one), np.ptp(other)) == 0:
        raise ValueError("all numbers of one list are the same: they have no order.")
    # Not stats.bootstrap, which gives NaN as soon as one draw has no order, and would call spearmanr draw by draw: 2 s.
    drawn = torch.randint(len(one), (RESAMPLES, len(one)), generator=torch.Generator().manual_seed(0)).numpy()
    low, high = np.nanquantile(_rank_correlations(one[drawn], other[drawn]), [0.025, 0.975])
    return Correlation(float(stats.spearmanr(one, other).statistic), float(low), float(high))


def _rank_correlations(first, second):
    """Spearman's, row by row of ``[draws, n]``: ``[draws]``, NaN where a row has no order."""
    from scipy.stats import rankdata

    first, second = (rankdata(values, axis=1) for values in (first, second))
    first, second = (ranks - ranks.mean(1, keepdims=True) for ranks in (first, second))
    with np.errstate(invalid="ignore"):
        return (first * second).sum(1) / np.sqrt((first**2).sum(1) * (second**2).sum(1))


def _differences(values, baseline):
    """``values - baseline``, float64 ``[n]``, of as many finite numbers in both, at least one."""
    values, baseline = _finite("values", values), _finite("baseline", baseline)
    if len(values) != len(baseline) or len(values) == 0:
        raise ValueError(f"paired runs come in pairs; got {len(values)} values and a baseline of {len(baseline)}.")
    return values - baseline


def _finite(name, values):
    """A list of numbers, an array or a tensor, as a float64 array ``[n]``."""
    try:
        found = torch.as_tensor(values, dtype=torch.double).numpy(force=True)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise ValueError(f"{name} must be a list of numbers; got {values!r}.") from None
    if found.ndim != 1:
        raise ValueError(f"{name} must be a list of numbers; got shape {list(found.shape)}.")
    if not np.isfinite(found).all():
        raise ValueError(f"{name} must hold finite numbers; got {found[~np.isfinite(found)][0]}.")
    return found
