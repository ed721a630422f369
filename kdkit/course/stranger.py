"""A teacher that was not made for the reader's images: it wants other pixels, and has classes of its own.

Inside is the kit's teacher of Things; outside it is like networks that one finds: images of 64x64 pixels, normalised,
and ten classes in an order of their own.
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from kdkit import models, zoo
from kdkit.data import Splits, things
from kdkit.measure import metrics

SIZE = 64  # pixels a side
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # those of ImageNet, as with many networks
CLASSES = tuple(sorted(things.CLASSES, key=lambda name: name[::-1]))  # in an order of its own


class Stranger(nn.Module):
    """Logits ``[N, 10]`` in the order of ``CLASSES``, of normalised images ``[N, 3, 64, 64]``."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = zoo.load("things-teacher")
        self.order = [things.CLASSES.index(name) for name in CLASSES]
        self.normalised = models.ForImages(nn.Identity(), mean=MEAN, std=STD)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``[N, 10]`` of images ``[N, 3, 64, 64]``. Of another size it has an opinion too, and a bad one."""
        pixels = images * self.normalised.std + self.normalised.mean
        return self.inside(F.avg_pool2d(pixels, 2))[:, self.order]


def stated() -> str:
    """What its makers say of its accuracy, on the card that came with it."""
    card = zoo.card("things-teacher")
    return f"{card['results']['accuracy']:.1%} of their own test images, of all {len(card['classes'])} classes"


def network() -> nn.Module:
    """The bare network, as its makers left it."""
    return Stranger().eval()


def teacher() -> models.ForImages:
    """The same, with what it wants to be given and the names of its classes."""
    return models.ForImages(network(), size=SIZE, mean=MEAN, std=STD, classes=CLASSES)


def ways(data: Splits, class_map: dict[str, str]) -> dict[str, dict[str, str]]:
    """How right the network is on ``data.test``, asked in better and better ways, and in one that is nearly right."""
    size: dict[str, Any] = {"size": SIZE}
    pixels: dict[str, Any] = {"mean": MEAN, "std": STD}
    named: dict[str, Any] = {"classes": CLASSES, "wanted": data.train.classes, "class_map": class_map}
    asked = network()
    twice = models.ForImages(asked, **pixels)  # what it is given is normalised already
    networks = {
        "as it is": asked,
        "resized": models.ForImages(asked, **size),
        "resized, normalised": models.ForImages(asked, **size, **pixels),
        "resized, normalised, classes by name": models.ForImages(asked, **size, **pixels, **named),
        "the same, but normalised twice": models.ForImages(twice, **size, **pixels, **named),
    }
    test, count = data.test, len(data.train.classes)
    logits = {way: metrics.predict(each, test.images)[:, :count] for way, each in networks.items()}
    return {way: {"accuracy": f"{metrics.accuracy(said, test.labels):.1%}"} for way, said in logits.items()}
