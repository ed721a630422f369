"""Failures of distillation to cause on purpose: wrong images, other views, teachers that were taught in another way."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdkit import models, training
from kdkit.data.images import ImageSet, Splits
from kdkit.data.seeds import generator
from kdkit.training import images as recipe

BATCH, RATE = 25, 0.25
STUDENT = (8, 3)  # width and depth
SOFT_ONLY = {"soft_weight": 1.0, "hard_weight": 0.0}


def learn(
    network: nn.Module,
    data: Splits,
    loss: training.Loss,
    *,
    epochs: int,
    teacher: nn.Module | None = None,
    cache: Any = None,
    lr: float = RATE,
    seed: int = 0,
    validate: Callable[[nn.Module], dict] | None = None,
) -> training.Run:
    """Train ``network`` as ``kdkit.train`` does, 25 images a step, where the teacher's answers may come from anywhere.

    ``cache``: what has ``outputs(image, view, inputs)``, such as ``OtherViews``. ``validate``: called after each epoch.
    """
    recipe.fit_input(network, data)
    learning = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = torch.optim.SGD(
        learning, lr=lr, momentum=recipe.MOMENTUM, nesterov=True, weight_decay=recipe.WEIGHT_DECAY
    )
    return training.fit(
        network,
        recipe.ImageBatches(data, BATCH, seed, models.device_of(network), cache),
        loss,
        optimizer,
        epochs=epochs,
        teacher=teacher,
        cache=cache,
        seed=seed,
        warm_up=recipe.WARM_UP,
        max_grad_norm=recipe.MAX_GRAD_NORM,
        validate=validate,
        progress=False,
    )


def student_of(
    teacher: nn.Module, data: Splits, *, epochs: int, temperature: float = 4.0, cache: Any = None, seed: int = 0
) -> nn.Module:
    """A small student (width 8, depth 3) that learnt from a teacher's soft targets alone."""
    loss = training.Distillation(temperature, **SOFT_ONLY)
    student = models.student(*STUDENT, classes=len(data.train.classes), seed=seed)
    return learn(student, data, loss, epochs=epochs, teacher=teacher, cache=cache, seed=seed).student


def teacher_of(data: Splits, *, epochs: int, width: int = 12, smoothing: float = 0.0, seed: int = 0) -> nn.Module:
    """A teacher (depth 6) that learnt from labels, of which the share ``smoothing`` is dealt out among all classes."""

    def loss(student, _, batch):
        return F.cross_entropy(student["logits"], batch.labels, label_smoothing=smoothing)

    network = models.teacher(width, len(data.train.classes), seed=seed)
    return learn(network, data, loss, epochs=epochs, seed=seed).student


class OtherViews:
    """A teacher's answers about a view that the student does not see: the fault of many a cache.

    Parameters: ``teacher``; ``data``; ``plain``: True to ask about the image as it is, False about another of its
    views, at a distance that is drawn for each image. To be given to ``learn`` as ``cache``.
    """

    def __init__(self, teacher: nn.Module, data: Splits, *, plain: bool) -> None:
        self.views, self.padded = data.views, data.views.pad(data.train.images)
        self.cache = training.ViewCache(teacher, data)
        self.plain = plain
        self.away = torch.randint(1, max(2, self.views.count), (len(data.train),), generator=generator(0))

    def outputs(self, image: Tensor, view: Tensor, inputs: Tensor | None = None) -> dict[str, Tensor]:
        """As ``ViewCache.outputs``, about other views than ``view`` ``[B]``."""
        middle = self.views.shift * self.views.side + self.views.shift  # not mirrored, not shifted
        asked = torch.full_like(view, middle) if self.plain else (view + self.away[image]) % self.views.count
        return self.cache.outputs(image, asked, self.views.take(self.padded, image, asked))


class Given(nn.Module):
    """A teacher that is given something else than the student: ``change``, a module, is applied to its images."""

    def __init__(self, network: nn.Module, change: nn.Module) -> None:
        super().__init__()
        self.network, self.change = network, change

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``[N, C]`` of images ``[N, 3, H, W]``, after the change."""
        return models.logits(self.network, self.change(images))


class Normalised(nn.Module):
    """What a network gets that normalises inside, where the loader has done so, too: about -2 to 2, not 0 to 1."""

    def forward(self, images: Tensor) -> Tensor:
        """Images ``[N, C, H, W]``, 0.5 subtracted, divided by 0.25."""
        return (images - 0.5) / 0.25


class Resized(nn.Module):
    """The middle ``crop`` pixels of each side, drawn at ``size`` pixels, then brought back to the size of before."""

    def __init__(self, crop: int, size: int) -> None:
        super().__init__()
        self.crop, self.size = crop, size

    def extra_repr(self) -> str:
        """What it prints of itself."""
        return f"crop={self.crop}, size={self.size}"

    def forward(self, images: Tensor) -> Tensor:
        """``[N, C, H, W]`` of the same size, with less in it."""
        rim, shape = (images.shape[-1] - self.crop) // 2, images.shape[-2:]
        inner = images[..., rim : rim + self.crop, rim : rim + self.crop]
        smaller = F.interpolate(inner, self.size, mode="area")
        return F.interpolate(smaller, shape, mode="bilinear", align_corners=False)


class OtherOrder(nn.Module):
    """A teacher of the same classes in another order: each of its logits stands one place further on."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``[N, C]``, rolled by one."""
        return models.logits(self.network, images).roll(1, dims=1)


def with_noisy_labels(data: Splits, share: float, seed: int = 0) -> Splits:
    """The same images, of which the ``share`` to learn from has another label than its own, drawn from ``seed``."""
    train, drawn, classes = data.train, generator(seed), len(data.train.classes)
    wrong = torch.rand(len(train), generator=drawn) < share
    away = torch.randint(1, classes, (len(train),), generator=drawn)
    labels = torch.where(wrong, (train.labels + away) % classes, train.labels)
    return Splits(ImageSet(train.images, labels, train.classes, train.name), data.val, data.test, data.views)


def unlabelled(images: Tensor, data: Splits) -> Splits:
    """``data`` with other ``images``, uint8 ``[N, C, H, W]``, to learn from. Their labels, all 0, mean nothing."""
    train = ImageSet(images, torch.zeros(len(images), dtype=torch.int64), data.train.classes, "unlabelled images")
    return Splits(train, data.val, data.test, data.views)


def shuffled_patches(images: Tensor, seed: int = 0, side: int = 8) -> Tensor:
    """``images``, uint8 ``[N, C, H, W]``, cut into squares that are dealt out anew among all of them."""
    count, channels, height, width = images.shape
    rows, columns = height // side, width // side
    patches = images.view(count, channels, rows, side, columns, side).permute(0, 2, 4, 1, 3, 5).flatten(0, 2)
    dealt = patches[torch.randperm(len(patches), generator=generator(seed))]
    return dealt.view(count, rows, columns, channels, side, side).permute(0, 3, 1, 4, 2, 5).reshape(images.shape)


def smooth_noise(count: int, seed: int = 0) -> Tensor:
    """Clouds of colour: uint8 ``[count, 3, 32, 32]``."""
    clouds = F.interpolate(torch.rand(count, 3, 6, 6, generator=generator(seed)), 32, mode="bicubic")
    return clouds.clamp(0, 1).mul(255).round().to(torch.uint8)


def pixel_noise(count: int, seed: int = 0) -> Tensor:
    """Each value of each pixel drawn for itself: uint8 ``[count, 3, 32, 32]``."""
    return torch.randint(0, 256, (count, 3, 32, 32), generator=generator(seed)).to(torch.uint8)


def fitted_temperature(logits: Tensor, labels: Tensor) -> float:
    """The number by which to divide ``logits`` ``[N, C]`` so that their cross-entropy with ``labels`` is least.

    Among 0.1, 0.2, … 10.0; to be chosen on validation images. Source: Guo et al. 2017 (arXiv:1706.04599).
    """
    tried = [step / 10 for step in range(1, 101)]
    return min(tried, key=lambda temperature: F.cross_entropy(logits / temperature, labels).item())
