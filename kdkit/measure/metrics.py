"""What is measured: accuracy, agreement, calibration, and paired differences with an interval.

No score comes out of what is no answer: logits that hold NaN or +inf, or a row of only -inf, are a ``ValueError``. A
single -inf, a class that is ruled out, is an answer. So are the other numbers here: all finite, or refused.
"""

import math
import numbers
from typing import NamedTuple

import torch

from kdkit import models
from kdkit.losses import arguments
from kdkit.losses.arguments import whole

MOST_BINS = 10_000


@torch.no_grad()  # not inference_mode: what it gives cannot be a target in a loss
def predict(model, images):
    """The logits of ``model`` in eval mode on uint8 images ``[N, C, H, W]``: float32 ``[N, classes]`` on the CPU.

    The model may be wrapped, traced or quantised, and answer as ``models.logits`` says. The mode of the model, and of
    each module in it, is put back afterwards. Raises ``ValueError`` for images that are not as said, or that the model
    does not take.
    """
    if not isinstance(model, torch.nn.Module):
        raise ValueError(f"model must be a torch.nn.Module; got {type(model).__name__}.")
    _check_tensor("images", images)
    if images.ndim != 4 or len(images) == 0:
        raise ValueError(f"images must be [N, C, H, W], at least one; got shape {list(images.shape)}.")
    device, parts = models.device_of(model), images.split(models.EVALUATION_BATCH)
    with models.evaluating(model):
        answers = [models.logits(model, models.as_input(part, device)) for part in parts]
    return torch.cat(answers).float().cpu()


def accuracy(logits, labels):
    """Share of samples whose highest logit ``[N, C]`` is that of the label ``[N]``."""
    _check_labels(labels, logits)
    return (logits.argmax(-1) == labels).double().mean().item()


def guessing(labels):
    """The accuracy below which a network may know nothing: that of naming the commonest class always.

    With two standard errors, for some of the ``labels``, int64 ``[N]``, may have been guessed right by luck; but at
    most half of the way to 1, so that whoever is always right has learnt something. ``ValueError`` for other labels.

    >>> guessing(torch.arange(10).repeat(40))
    0.13
    """
    if not isinstance(labels, torch.Tensor) or labels.dtype != torch.int64 or labels.ndim != 1 or not len(labels):
        raise ValueError(
            f"labels must be an int64 tensor [N], of at least one sample; got {arguments.described(labels)}."
        )
    if labels.min() < 0:
        raise ValueError(f"labels must be numbers of classes, from 0; got {int(labels.min())}.")
    share = labels.bincount().max().item() / len(labels)
    return min(share + 2 * math.sqrt(share * (1 - share) / len(labels)), (1 + share) / 2)


def agreement(student_logits, teacher_logits):
    """Share of samples on which two networks give the same answer, right or wrong."""
    _check_logits("student_logits", student_logits)
    _check_shape("teacher_logits", teacher_logits, student_logits.shape)
    _check_logits("teacher_logits", teacher_logits)
    arguments.check_dense("teacher_logits", teacher_logits, student_logits)
    return (student_logits.argmax(-1) == teacher_logits.argmax(-1)).double().mean().item()


def expected_calibration_error(logits, labels, bins=15):
    """How far confidence and accuracy lie apart: the mean over samples of |accuracy - confidence| of their bin.

    Parameters: ``logits`` ``[N, C]``, ``labels`` ``[N]``; ``bins`` of equal width over the confidence.
    Source: Guo et al. 2017 (arXiv:1706.04599), equation 3.
    """
    _check_labels(labels, logits)
    bins = whole(bins, "bins", 1, MOST_BINS)
    confidence, answer = logits.double().softmax(-1).max(-1)
    gap = (answer == labels).double() - confidence
    which = (confidence * bins).long().clamp_(max=bins - 1)
    return (torch.zeros(bins, dtype=torch.double).index_add_(0, which, gap).abs().sum() / len(labels)).item()


def confusion(logits, labels):
    """How often each answer was given to each class: int64 ``[C, C]``, one row a true class, one column an answer."""
    _check_labels(labels, logits)
    classes = logits.shape[1]
    return (labels.long() * classes + logits.argmax(1)).bincount(minlength=classes**2).view(classes, classes)


def entropy(probabilities):
    """How undecided each distribution ``[..., C]`` is, in bits ``[...]``: 0 for a one-hot, log2 C for a uniform one.

    Raises ``ValueError`` for what is no distribution: numbers below 0, or that do not add up to 1 (within a hundredth,
    for half precision), such as logits.
    """
    _check_tensor("probabilities", probabilities)
    total = probabilities.sum(-1)
    if probabilities.numel() == 0 or not ((probabilities >= 0).all() and ((total - 1).abs() < 0.01).all()):
        raise ValueError(
            "probabilities must be at least 0 and add up to 1 over the last dimension, for at least one sample; got "
            f"shape {list(probabilities.shape)} with sums of {total.flatten()[:3].tolist()} … (Logits: take their "
            "softmax.)"
        )
    return torch.special.entr(probabilities).sum(-1) / math.log(2)


def mean_soft_targets(logits, labels, temperature=1.0):
    """The mean of softmax(logits / T) over the pictures of each class: ``[C, C]``, one row a true class.

    Parameters: ``logits`` ``[N, C]``, ``labels`` ``[N]``. ``ValueError`` for a class without a picture, and for a
    temperature that is none.
    """
    temperature = arguments.check_temperature(temperature)
    _check_labels(labels, logits)
    scaled = logits / temperature
    _check_logits("logits / temperature", scaled)
    member = torch.nn.functional.one_hot(labels.long(), logits.shape[1]).to(scaled.dtype)
    counts = member.sum(0)
    if (counts == 0).any():
        raise ValueError(f"each class needs a picture; got none of class {int((counts == 0).nonzero()[0])}.")
    return member.T @ scaled.softmax(1) / counts[:, None]


def bias_for_prior(logits, label, prior):
    """What to add to the logit of class ``label`` so that its mean probability over all samples is ``prior``.

    It needs no labels, only unlabelled samples ``[N, C]`` and a belief how common the class is among them: a cure for
    a student that never saw one (Hinton et al. 2015, arXiv:1503.02531, section 3, chose that bias on the test set).
    Raises ``ValueError`` unless 0 < ``prior`` < 1 and ``label`` is one of the classes.
    """
    from scipy.optimize import brentq

    _check_tensor("logits", logits)
    if logits.ndim != 2 or len(logits) == 0 or logits.shape[1] < 2 or not logits.isfinite().all():
        raise ValueError(f"logits must be finite numbers [N, C], for at least one sample; got {list(logits.shape)}.")
    if isinstance(prior, bool) or not isinstance(prior, numbers.Real) or not 0 < prior < 1:
        raise ValueError(f"prior must be a share between 0 and 1, such as 0.1 for one in ten; got {prior!r}.")
    label = whole(label, "label", 0, logits.shape[1] - 1, advice="It is the number of a class.")
    others = logits.double().clone()
    others[:, label] = -math.inf
    margin = logits[:, label].double() - others.logsumexp(1)  # probability = sigmoid(margin + bias)
    reach = margin.abs().max().item() + 50
    return brentq(lambda bias: (margin + bias).sigmoid().mean().item() - prior, -reach, reach)


def _check_tensor(name, tensor):
    if not isinstance(tensor, torch.Tensor):
        raise ValueError(f"{name} must be a tensor; got {type(tensor).__name__}.")
    arguments.check_dense(name, tensor)


def _check_logits(name, logits):
    _check_tensor(name, logits)
    if logits.ndim != 2 or logits.numel() == 0 or logits.is_complex() or logits.dtype == torch.bool:
        raise ValueError(
            f"{name} must be numbers [N, C], for at least one sample; got {list(logits.shape)} of {logits.dtype}."
        )
    bad = int((~arguments.answered(logits)).sum())
    if bad:
        raise ValueError(
            f"{name} hold no answer in {bad} of {len(logits)} rows: NaN, +inf, or only -inf. A score of them would "
            "mean nothing; look at what gave them (a training that diverged?)."
        )


def _check_labels(labels, logits):
    _check_logits("logits", logits)
    _check_shape("labels", labels, logits.shape[:-1])
    arguments.check_dense("labels", labels, logits)
    if labels.dtype not in arguments.INTEGERS:
        raise ValueError(f"labels must be whole numbers; got {labels.dtype}.")
    low, high, classes = int(labels.min()), int(labels.max()), logits.shape[-1]
    if low < 0 or high >= classes:
        raise ValueError(f"labels must lie in 0..{classes - 1} for {classes} classes; got {low if low < 0 else high}.")


def _check_shape(name, tensor, expected):
    """Without this a shape that is off by one dimension would be broadcast, to a number that means nothing."""
    _check_tensor(name, tensor)
    if tensor.shape != expected or tensor.numel() == 0:
        raise ValueError(f"{name} must have shape {list(expected)}, for at least one sample; got {list(tensor.shape)}.")


class Paired(NamedTuple):
    """A paired difference: ``mean``, the ends of its 95 % interval, and each pair's difference."""

    mean: float
    low: float
    high: float
    differences: tuple

    @property
    def verdict(self):
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


def paired_interval(first, second):
    """The mean of ``second - first`` over pairs (one a seed) with its 95 % t interval.

    With one pair there is no interval: its ends are infinite. Raises ``ValueError`` for lists of unequal length, and
    for what is no finite number in them, such as the NaN of a run that diverged.
    """
    from scipy.stats import t  # scipy takes a second to import, and only reports need it

    first, second = _finite("first", first), _finite("second", second)
    if len(first) != len(second) or len(first) == 0:
        raise ValueError(f"paired runs come in pairs; got {len(first)} and {len(second)} of them.")
    differences = second - first
    mean, count = differences.mean().item(), len(differences)
    reach = math.inf
    if count > 1:
        reach = t.ppf(0.975, count - 1) * differences.std().item() / math.sqrt(count)
    return Paired(mean, mean - reach, mean + reach, tuple(differences.tolist()))


def _finite(name, values):
    """A list of numbers, or an array, as float64 ``[n]``."""
    try:
        found = torch.as_tensor(values, dtype=torch.double)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise ValueError(f"{name} must be a list of numbers; got {values!r}.") from None
    if found.ndim != 1:
        raise ValueError(f"{name} must be a list of numbers; got shape {list(found.shape)}.")
    if not found.isfinite().all():
        raise ValueError(f"{name} must hold finite numbers; got {found[~found.isfinite()][0].item()}.")
    return found


RESAMPLES = 10_000


def bootstrap_interval(first, second):
    """The same with a bootstrap interval: what the mean would be, had other pairs of these been drawn.

    It assumes nothing about how differences are spread, but with five pairs it knows only five differences, and is
    then too narrow: read it beside the t interval, not instead. Drawn from a fixed seed. Raises ``ValueError`` as
    ``paired_interval`` does.
    """
    pair = paired_interval(first, second)
    if len(pair.differences) == 1:
        return pair
    differences = torch.tensor(pair.differences, dtype=torch.double)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(len(differences), (RESAMPLES, len(differences)), generator=generator)
    low, high = differences[drawn].mean(1).quantile(torch.tensor([0.025, 0.975], dtype=torch.double)).tolist()
    return pair._replace(low=low, high=high)


class Correlation(NamedTuple):
    """A rank correlation: its ``value``, and the ends of its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self):
        return f"{self.value:.2f} (95 % interval {self.low:.2f} to {self.high:.2f})"


def rank_correlation(first, second):
    """Spearman's rank correlation of two lists of numbers, with a bootstrap interval over pairs: a ``Correlation``.

    1: both put all in the same order. 0: one tells nothing of the other's order. Drawn from a fixed seed. Raises
    ``ValueError`` for lists of unequal length, of fewer than three numbers, of numbers that are not finite, or without
    any order.
    """
    first, second = _finite("first", first), _finite("second", second)
    if len(first) != len(second) or len(first) < 3:
        raise ValueError(
            f"a rank correlation takes two lists of the same three or more numbers; got {len(first)} and "
            f"{len(second)} of them."
        )
    if min(len(first.unique()), len(second.unique())) == 1:
        raise ValueError("all numbers of one list are the same: they have no order.")
    drawn = torch.randint(len(first), (RESAMPLES, len(first)), generator=torch.Generator().manual_seed(0))
    values = _correlation(_ranks(first[drawn]), _ranks(second[drawn]))
    ends = torch.tensor([0.025, 0.975], dtype=torch.double)
    low, high = values[values.isfinite()].quantile(ends).tolist()  # a draw of equal numbers has no order
    return Correlation(_correlation(_ranks(first), _ranks(second)).item(), low, high)


def _ranks(values):
    """Ranks along the last dimension; equals share the mean of theirs."""
    from scipy.stats import rankdata

    return torch.from_numpy(rankdata(values.numpy(), axis=-1))


def _correlation(first, second):
    """Pearson's, along the last dimension."""
    first, second = (values - values.mean(-1, keepdim=True) for values in (first, second))
    return (first * second).sum(-1) / (first.square().sum(-1) * second.square().sum(-1)).sqrt()
