"""What is measured: accuracy, agreement, calibration, and paired differences with an interval."""

import math
from typing import NamedTuple

import torch

from kdkit import losses, models


@torch.no_grad()  # not inference_mode: what it gives cannot be a target in a loss
def predict(model, images):
    """The logits of ``model`` in eval mode on uint8 images ``[N, C, H, W]``: float32 ``[N, classes]`` on the CPU.

    The mode of the model, and of each module in it, is put back afterwards.
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    device = next(model.parameters()).device
    try:
        batches = [
            models.logits(model, models.as_input(part, device)) for part in images.split(models.EVALUATION_BATCH)
        ]
    finally:
        for module, mode in modes.items():
            module.training = mode
    return torch.cat(batches).float().cpu()


def accuracy(logits, labels):
    """Share of samples whose highest logit ``[N, C]`` is that of the label ``[N]``."""
    _check_shape("labels", labels, logits.shape[:-1])
    return (logits.argmax(-1) == labels).double().mean().item()


def guessing(labels):
    """The accuracy up to which a network may know nothing: that of naming the commonest class always.

    With two standard errors, for some of the ``labels`` ``[N]`` may have been guessed right by luck.

    >>> guessing(torch.arange(10).repeat(40))
    0.13
    """
    _check_shape("labels", labels, labels.shape[:1])
    share = labels.bincount().max().item() / len(labels)
    return share + 2 * math.sqrt(share * (1 - share) / len(labels))


def agreement(student_logits, teacher_logits):
    """Share of samples on which two networks give the same answer, right or wrong."""
    _check_shape("teacher_logits", teacher_logits, student_logits.shape)
    return (student_logits.argmax(-1) == teacher_logits.argmax(-1)).double().mean().item()


def expected_calibration_error(logits, labels, bins=15):
    """How far confidence and accuracy lie apart: the mean over samples of |accuracy - confidence| of their bin.

    Parameters: ``logits`` ``[N, C]``, ``labels`` ``[N]``; ``bins`` of equal width over the confidence.
    Source: Guo et al. 2017 (arXiv:1706.04599), equation 3.
    """
    _check_shape("labels", labels, logits.shape[:-1])
    confidence, answer = logits.double().softmax(-1).max(-1)
    gap = (answer == labels).double() - confidence
    which = (confidence * bins).long().clamp_(max=bins - 1)
    return (torch.zeros(bins, dtype=torch.double).index_add_(0, which, gap).abs().sum() / len(labels)).item()


def confusion(logits, labels):
    """How often each answer was given to each class: int64 ``[C, C]``, one row a true class, one column an answer."""
    _check_shape("labels", labels, logits.shape[:1])
    classes = logits.shape[1]
    return (labels * classes + logits.argmax(1)).bincount(minlength=classes**2).view(classes, classes)


def entropy(probabilities):
    """How undecided each distribution ``[..., C]`` is, in bits ``[...]``: 0 for a one-hot, log2 C for a uniform one."""
    return torch.special.entr(probabilities).sum(-1) / math.log(2)


def mean_soft_targets(logits, labels, temperature=1.0):
    """The mean of softmax(logits / T) over the pictures of each class: ``[C, C]``, one row a true class.

    Parameters: ``logits`` ``[N, C]``, ``labels`` ``[N]``. ``ValueError`` for a class without a picture, and for a
    temperature that is none.
    """
    temperature = losses.check_temperature(temperature)
    _check_shape("labels", labels, logits.shape[:1])
    member = torch.nn.functional.one_hot(labels, logits.shape[1]).to(logits.dtype)
    counts = member.sum(0)
    if (counts == 0).any():
        raise ValueError(f"each class needs a picture; got none of class {int((counts == 0).nonzero()[0])}.")
    return member.T @ (logits / temperature).softmax(1) / counts[:, None]


def bias_for_prior(logits, label, prior):
    """What to add to the logit of class ``label`` so that its mean probability over all samples is ``prior``.

    It needs no labels, only unlabelled samples ``[N, C]`` and a belief how common the class is among them: a cure for
    a student that never saw one (Hinton et al. 2015, arXiv:1503.02531, section 3, chose that bias on the test set).
    Raises ``ValueError`` unless 0 < ``prior`` < 1 and ``label`` is one of the classes.
    """
    from scipy.optimize import brentq

    if logits.ndim != 2 or len(logits) == 0 or logits.shape[1] < 2 or not logits.isfinite().all():
        raise ValueError(f"logits must be finite numbers [N, C], for at least one sample; got {list(logits.shape)}.")
    if not 0 < prior < 1:
        raise ValueError(f"prior must be a share between 0 and 1, such as 0.1 for one in ten; got {prior!r}.")
    if not 0 <= label < logits.shape[1]:
        raise ValueError(f"label must be the number of a class, 0 to {logits.shape[1] - 1}; got {label!r}.")
    others = logits.double().clone()
    others[:, label] = -math.inf
    margin = logits[:, label].double() - others.logsumexp(1)  # probability = sigmoid(margin + bias)
    reach = margin.abs().max().item() + 50
    return brentq(lambda bias: (margin + bias).sigmoid().mean().item() - prior, -reach, reach)


def _check_shape(name, tensor, expected):
    """Without this a shape that is off by one dimension would be broadcast, to a number that means nothing."""
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

    With one pair there is no interval: its ends are infinite. Raises ``ValueError`` for lists of unequal length.
    """
    from scipy.stats import t  # scipy takes a second to import, and only reports need it

    if len(first) != len(second) or len(first) == 0:
        raise ValueError(f"paired runs come in pairs; got {len(first)} and {len(second)} of them.")
    differences = torch.as_tensor(second, dtype=torch.double) - torch.as_tensor(first, dtype=torch.double)
    mean, count = differences.mean().item(), len(differences)
    reach = math.inf
    if count > 1:
        reach = t.ppf(0.975, count - 1) * differences.std().item() / math.sqrt(count)
    return Paired(mean, mean - reach, mean + reach, tuple(differences.tolist()))


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
    ``ValueError`` for lists of unequal length, of fewer than three numbers, or without any order.
    """
    first, second = (torch.as_tensor(numbers, dtype=torch.double) for numbers in (first, second))
    if first.shape != second.shape or first.ndim != 1 or len(first) < 3:
        got = f"{list(first.shape)} and {list(second.shape)}"
        raise ValueError(f"a rank correlation takes two lists of the same three or more numbers; got shapes {got}.")
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
