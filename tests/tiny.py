"""Data and networks so small that a training takes a fraction of a second."""

from dataclasses import replace

import torch

from kdkit import models
from kdkit.data import Splits, Views
from kdkit.data.images import ImageSet

CLASSES = ("dark", "grey", "light")


def images(count, seed, name="tiny"):
    """Images 10x10 whose class is their brightness, with noise: something that can be learnt, but not at once."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(len(CLASSES), (count,), generator=generator)
    noise = torch.randint(0, 140, (count, 3, 10, 10), generator=generator)
    return ImageSet((noise + 50 * labels.view(-1, 1, 1, 1)).to(torch.uint8), labels, CLASSES, name)


def splits(train=96, val=32, test=32, views=None):
    return Splits(
        images(train, 1), images(val, 2), images(test, 3), views or Views(flip=True, shift=1), "made by a test"
    )


def net(seed=0, width=2, depth=3):
    return models.student(width, depth, classes=len(CLASSES), seed=seed)


def reordered(data):
    """The same images, another order."""
    return replace(data, train=data.train.subset(torch.arange(len(data.train)).flip(0)))


def relabelled(data):
    """The same images in the same order, other labels."""
    return replace(data, train=replace(data.train, labels=(data.train.labels + 1) % len(CLASSES)))


class Answer:
    def __init__(self, logits):
        self.logits = logits


class HuggingFaceLike(torch.nn.Module):
    """Answers as a Hugging Face model does, with an object that has ``.logits``."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, inputs):
        return Answer(self.net(inputs))
