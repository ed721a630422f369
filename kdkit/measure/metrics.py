"""What is measured: accuracy, agreement, calibration; and, from ``intervals``, how sure of it one may be.

No score comes out of what is no answer: logits that hold NaN or +inf, or a row of only -inf, are a ``ValueError``. A
single -inf, a class that is ruled out, is an answer.
"""

import math
import numbers

import torch
from torch import Tensor, nn

from kdkit import models
from kdkit.data.streaming import StreamedImages
from kdkit.losses import arguments
from kdkit.losses.arguments import whole
from kdkit.measure.intervals import (  # metrics.paired_interval is the name that notebooks and users know
    Correlation,
    Paired,
    bootstrap_interval,
    paired_interval,
    rank_correlation,
)

__all__ = [
    "Correlation",
    "Paired",
    "accuracy",
    "agreement",
    "beyond_class",
    "bias_for_prior",
    "bootstrap_interval",
    "confusion",
    "entropy",
    "expected_calibration_error",
    "guessing",
    "mean_soft_targets",
    "paired_interval",
    "predict",
    "rank_correlation",
    "reliability",
]

MOST_BINS = 10_000


@torch.no_grad()  # not inference_mode: what it gives cannot be a target in a loss
def predict(model: nn.Module, images: Tensor | StreamedImages) -> Tensor:
    """The logits of ``model`` in eval mode on uint8 images ``[N, C, H, W]``: float32 ``[N, classes]`` on the CPU.

    The model may be wrapped, traced or quantised, and answer as ``models.logits`` says. The mode of the model, and of
    each module in it, is put back afterwards. Raises ``ValueError`` for images that are not as said, or that the model
    does not take.
    """
    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be a torch.nn.Module; got {type(model).__name__}.")
    if not isinstance(images, StreamedImages):
        _check_tensor("images", images)
    if images.ndim != 4 or len(images) == 0:
        raise ValueError(f"images must be [N, C, H, W], at least one; got shape {list(images.shape)}.")
    device, parts = models.device_of(model), images.split(models.evaluation_batch(images))
    with models.evaluating(model):
        answers = [models.logits(model, models.as_input(part, device)) for part in parts]
    return torch.cat(answers).float().cpu()


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Share of samples whose highest logit ``[N, C]`` is that of the label ``[N]``.

    Raises ``ValueError`` for labels that do not fit, or logits that are no answer.
    """
    _check_labels(labels, logits)
    return (logits.argmax(-1) == labels).double().mean().item()


def guessing(labels: Tensor) -> float:
    """The accuracy below which a network may know nothing: that of naming the commonest class always.

    With two standard errors, for some of the ``labels``, int64 ``[N]``, may have been guessed right by luck; but at
    most half of the way to 1, so that whoever is always right has learnt something.

    Raises ``ValueError`` for other labels.

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


def agreement(student_logits: Tensor, teacher_logits: Tensor) -> float:
    """Share of samples on which two networks, by their logits ``[N, C]``, give the same answer, right or wrong.

    Raises ``ValueError`` for logits of two shapes, or that are no answer.
    """
    _check_logits("student_logits", student_logits)
    _check_shape("teacher_logits", teacher_logits, student_logits.shape)
    _check_logits("teacher_logits", teacher_logits)
    arguments.check_dense("teacher_logits", teacher_logits, student_logits)
    return (student_logits.argmax(-1) == teacher_logits.argmax(-1)).double().mean().item()


def expected_calibration_error(logits: Tensor, labels: Tensor, bins: int = 15) -> float:
    """How far confidence and accuracy lie apart: the mean over samples of |accuracy - confidence| of their bin.

    Parameters: ``logits`` ``[N, C]``, ``labels`` ``[N]``; ``bins`` of equal width over the confidence. Raises
    ``ValueError`` as ``accuracy`` does, and for a number of bins that is none.
    Source: Guo et al. 2017 (arXiv:1706.04599), equation 3.
    """
    gaps = [count * abs(right - confidence) for confidence, right, count in reliability(logits, labels, bins)]
    return sum(gaps) / len(labels)


def reliability(logits: Tensor, labels: Tensor, bins: int = 15) -> list[tuple[float, float, int]]:
    """Of each bin of confidence that holds a sample: mean confidence, accuracy, and how many samples.

    Parameters and errors: as ``expected_calibration_error``, ``logits`` ``[N, C]`` and ``labels`` ``[N]``. Who can be
    trusted is right as often as sure: the first two are equal (Guo et al. 2017, figure 1).
    """
    _check_labels(labels, logits)
    bins = whole(bins, "bins", 1, MOST_BINS)
    confidence, answer = logits.double().softmax(-1).max(-1)
    which = (confidence * bins).long().clamp_(max=bins - 1)
    sums = torch.zeros(3, bins, dtype=torch.double)  # of confidence, of right answers, of samples
    for row, values in zip(sums, (confidence, (answer == labels).double(), torch.ones_like(confidence)), strict=True):
        row.index_add_(0, which, values)
    return [(sure / count, right / count, int(count)) for sure, right, count in sums.T.tolist() if count]


def confusion(logits: Tensor, labels: Tensor) -> Tensor:
    """How often each answer was given to each class: int64 ``[C, C]``, one row a true class, one column an answer.

    Parameters: ``logits`` ``[N, C]``, ``labels`` ``[N]``. Raises ``ValueError`` as ``accuracy`` does.
    """
    _check_labels(labels, logits)
    classes = logits.shape[1]
    cells = labels.long() * classes + logits.argmax(1)  # [N], the number of a cell in the table
    return cells.bincount(minlength=classes**2).view(classes, classes)  # [C * C] -> [C, C]


def entropy(probabilities: Tensor) -> Tensor:
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


def mean_soft_targets(logits: Tensor, labels: Tensor, temperature: float = 1.0) -> Tensor:
    """The mean of softmax(logits / T) over the images of each class: ``[C, C]``, one row a true class.

    Parameters: ``logits`` ``[N, C]``, ``labels`` ``[N]``. Raises ``ValueError`` for a class without an image, for a
    temperature that is none, and as ``accuracy`` does.
    """
    temperature = arguments.check_temperature(temperature)
    _check_labels(labels, logits)
    scaled = logits / temperature
    _check_logits("logits / temperature", scaled)
    member = nn.functional.one_hot(labels.long(), logits.shape[1]).to(scaled.dtype)
    counts = member.sum(0)
    if (counts == 0).any():
        raise ValueError(f"each class needs an image; got none of class {int((counts == 0).nonzero()[0])}.")
    return member.T @ scaled.softmax(1) / counts[:, None]


def beyond_class(logits: Tensor, labels: Tensor, temperature: float = 1.0) -> float:
    """What soft targets say beyond their class, in bits: 0 where all images of a class get the same one.

    The mean over images of KL(softmax(logits / T) || the mean of these over the images of the class), which is the
    entropy of that mean less the mean of the entropies. Parameters: ``logits`` ``[N, C]``, ``labels`` ``[N]``. Raises
    ``ValueError`` for a temperature that is none, and as ``accuracy`` does.
    """
    temperature = arguments.check_temperature(temperature)
    _check_labels(labels, logits)
    scaled = logits.double() / temperature
    _check_logits("logits / temperature", scaled)
    targets, member = scaled.softmax(1), nn.functional.one_hot(labels.long(), logits.shape[1]).double()  # [N, C] each
    mean = member.T @ targets / member.sum(0).clamp(min=1)[:, None]  # [C, C], 0 for a class without an image
    less = torch.special.xlogy(targets, targets) - torch.special.xlogy(targets, mean[labels.long()])
    return less.sum(1).mean().item() / math.log(2)


def bias_for_prior(logits: Tensor, label: int, prior: float) -> float:
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
    bound = margin.abs().max().item() + 50
    return brentq(lambda bias: (margin + bias).sigmoid().mean().item() - prior, -bound, bound)


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
