"""What would make a network right more often: other inputs, or the statistics of the batch."""

import contextlib
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdkit.losses.arguments import answered
from kdkit.studies.diagnosis.part import Part, Unchecked, copied

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
AS_GIVEN, BY_THE_BATCH = "as given", "by the statistics of the batch"
SHARPER = 1.0, 5.0  # after a resize, which blurs; where all images are blurred
FRAMES = {  # what it means if a network is right far more often on images so changed
    "drawn smaller, with a rim": "are cut to their middle, or larger than what it learnt from",
    "cut to their middle": "have more around the object than what it learnt from, or are smaller",
    "sharpened": "are blurred: drawn at a smaller size than what it learnt from, and enlarged",
}


def remedies(part: Part, network: nn.Module, enough: float) -> dict[str, Tensor]:
    """Where ``network`` is right on ``part``, a dict of ``[N]``, 1 where right: as given, by BatchNorm's statistics of
    the batch in place of the running ones (if it has any), and on images of other scales, colour orders and sizes (if
    they are images, and it is right less often than ``enough``).
    """
    reached = {AS_GIVEN: _right(part.asked(network), part.labels)}
    restless = copied(network).eval()
    norms = [layer for layer in restless.modules() if getattr(layer, "running_mean", None) is not None]
    for layer in norms:
        layer.train()
    if norms:
        reached[BY_THE_BATCH] = _right(part.said(restless), part.labels)
    x = part.batches[0].inputs
    if isinstance(x, Tensor) and x.ndim == 4 and x.is_floating_point() and reached[AS_GIVEN].mean() < enough:
        for name, change in _other_inputs(x).items():
            with contextlib.suppress(ValueError):  # another size may not fit, an answer be NaN
                reached[name] = _right(part.asked(network, change), part.labels)
    return reached


def _right(logits: Tensor, labels: Tensor) -> Tensor:
    if not answered(logits).all():
        raise Unchecked("the answers hold NaN or inf")
    return (logits.argmax(1) == labels).double()


def _standardised(mean: Tensor, deviation: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda x: (x - mean.to(x)) / deviation.to(x)


def _other_inputs(x: Tensor) -> dict[str, Callable]:
    """Other ways in which images ``[B, C, H, W]`` are handed to networks, by name."""
    mean, deviation = x.mean((0, 2, 3))[:, None, None], x.std((0, 2, 3))[:, None, None].clamp(min=1e-6)
    low, high = x.amin(), x.amax()
    ways = {
        "standardised, channel by channel": _standardised(mean, deviation),
        "from -1 to 1": lambda x: 2 * (x - low) / (high - low) - 1,
        "from 0 to 1": lambda x: (x - low) / (high - low),
        "from 0 to 255": lambda x: 255 * (x - low) / (high - low),
        "inverted, black for white": lambda x: low + high - x,
        "of twice the size": lambda x: F.interpolate(x, scale_factor=2.0, mode="bilinear"),
    }
    ways |= dict(zip(FRAMES, (_smaller, _middle, lambda x: _sharpened(x, SHARPER[1])), strict=True))
    if x.shape[1] == 3:
        imagenet = [torch.tensor(values)[:, None, None] for values in IMAGENET]
        ways["normalised as for ImageNet"] = _standardised(*imagenet)
        ways["as they were before ImageNet's normalisation"] = lambda x: x * imagenet[1].to(x) + imagenet[0].to(x)
        ways["with red and blue swapped"] = lambda x: x.flip(1)
    return ways


def _inner(length: int) -> tuple[int, int]:
    """Where the middle three quarters of so many pixels begin, and how many they are."""
    inner = round(0.75 * length)
    return (length - inner) // 2, inner


def _smaller(x: Tensor) -> Tensor:
    """Images ``[B, C, H, W]`` in the middle three quarters of each side; around them the outermost pixels again."""
    (top, height), (left, width) = map(_inner, x.shape[-2:])
    small = _sharpened(F.interpolate(x, (height, width), mode="bilinear"), SHARPER[0])
    rim = left, x.shape[-1] - width - left, top, x.shape[-2] - height - top
    return F.pad(small, rim, mode="replicate")


def _middle(x: Tensor) -> Tensor:
    """The middle three quarters of each side, at the size of before."""
    (top, height), (left, width) = map(_inner, x.shape[-2:])
    inner = x[..., top : top + height, left : left + width]
    return _sharpened(F.interpolate(inner, x.shape[-2:], mode="bilinear"), SHARPER[0])


def _sharpened(x: Tensor, strength: float) -> Tensor:
    """``strength`` times the difference from the mean of the 3 x 3 pixels around is added to each pixel."""
    return x + strength * (x - F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1))
