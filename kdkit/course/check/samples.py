"""The random inputs that an exercise is tried on: new ones each time.

Five images, seven classes: no two sizes are equal, so a sum over the wrong dimension shows.
"""

import secrets
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

ROUNDS = 20


def fresh_generator() -> torch.Generator:
    """A generator with a new seed each time."""
    return torch.Generator().manual_seed(secrets.randbits(32))


def cases(*makers: Callable[[torch.Generator], Any]) -> list[tuple]:
    """``ROUNDS`` times one input of each kind, new each time."""
    generator = fresh_generator()
    return [tuple(make(generator) for make in makers) for _ in range(ROUNDS)]


def logits(generator: torch.Generator) -> Tensor:
    """Logits ``[5, 7]``."""
    return torch.randn(5, 7, generator=generator) * 4


def far_apart(generator: torch.Generator) -> Tensor:
    """Logits ``[5, 7]`` that are 1,000 higher for two classes than for the others, whose softmax rounds to 0."""
    return logits(generator) + _high(generator, 5)


def far_apart_sentences(generator: torch.Generator) -> Tensor:
    """The same of 3 sentences of 4 tokens: ``[3, 4, 7]``."""
    return sentences(generator) + _high(generator, 3, 4)


def _high(generator, *shape):
    return 1000.0 * (torch.rand(*shape, 7, generator=generator).argsort(-1) < 2)


def temperature(generator: torch.Generator) -> float:
    """A temperature from 1.5 to 7.5."""
    return 1.5 + 6 * torch.rand((), generator=generator).item()  # far from 1, where T, T^2 and 1/T look alike


def probabilities(generator: torch.Generator) -> Tensor:
    """Distributions ``[5, 7]``."""
    return logits(generator).softmax(1)


def probabilities_with_zeros(generator: torch.Generator) -> Tensor:
    """Distributions ``[6, 7]``, the last one with all on one class."""
    return torch.cat([probabilities(generator), torch.eye(7)[:1]])


def labels(generator: torch.Generator) -> Tensor:
    """Labels of 7 classes, int64 ``[5]``."""
    return torch.randint(7, (5,), generator=generator)


def logits_of_many(generator: torch.Generator) -> Tensor:
    """Logits of 40 images and 4 classes, ``[40, 4]``."""
    return torch.randn(40, 4, generator=generator) * 2


def all_labels(generator: torch.Generator) -> Tensor:
    """Labels of them in which no class is missing, int64 ``[40]``."""
    return torch.cat([torch.arange(4), torch.randint(4, (36,), generator=generator)])


def share(generator: torch.Generator) -> float:
    """A weight from 0.55 to 0.95."""
    return 0.55 + 0.4 * torch.rand((), generator=generator).item()  # not a half: swapped weights must show


def sentences(generator: torch.Generator) -> Tensor:
    """Logits of 7 words, or hidden states of 7 numbers, of 3 sentences of 4 tokens: ``[3, 4, 7]``."""
    return torch.randn(3, 4, 7, generator=generator) * 4


def mask(generator: torch.Generator) -> Tensor:
    """Which tokens count, ``[3, 4]``: sentences of 1, 2 and 4 tokens, in any order."""
    lengths = torch.tensor([1, 2, 4])[torch.randperm(3, generator=generator)]
    return torch.arange(4) < lengths[:, None]


def gradient(function: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    """The gradient of ``function``, which gives a scalar, by its ``inputs`` ``[...]``: of the same shape."""
    inputs = inputs.detach().clone().requires_grad_()
    return torch.autograd.grad(function(inputs), inputs)[0]
