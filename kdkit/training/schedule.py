"""When a training does how much: its learning rate over the steps, and how many steps suit how many images."""

from collections.abc import Mapping

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from kdkit import models
from kdkit.losses.arguments import whole

STEPS_AN_EPOCH, ENOUGH_STEPS = 20, 200  # from these on a small network learns something
MOST_EPOCHS = 1_000_000  # a number with a slip of the finger is refused before it trains for years


def warm_up_and_decay(optimizer: Optimizer, steps: int, warm_up: float) -> LambdaLR:
    """The one learning-rate schedule: up to each group's own rate over the share ``warm_up`` of the steps, then to 0.

    Both ways in a straight line. ``warm_up`` 0: down from the first step on.
    """
    turn = warm_up * steps

    def factor(step: int) -> float:
        rise = (step + 1) / turn if turn else 1.0
        return min(1.0, rise, (steps - step) / (steps - turn))

    return LambdaLR(optimizer, factor)


def back_to_peaks(schedule: LambdaLR) -> None:
    """Give the optimizer its peak rates back, for whoever goes on with it."""
    for group, peak in zip(schedule.optimizer.param_groups, schedule.base_lrs, strict=True):
        group["lr"] = peak


def proposed(images: int, epochs: int, batch_size: int | None = None) -> tuple[int, int]:
    """``(batch_size, epochs)`` for so many training images: with few of them, smaller batches and more epochs.

    Batches of 512 where an epoch then has at least 20 steps, else smaller ones, down to 16, unless ``batch_size`` is
    given; ``epochs``, or as many more as make 200 steps. Raises ``ValueError`` for what is no number from 1.

    >>> proposed(45_000, 8), proposed(300, 8)
    ((512, 8), (16, 11))
    """
    images, epochs = whole(images, "images", 1), whole(epochs, "epochs", 1)
    if batch_size is None:
        batch_size = 512
        while batch_size > 16 and images < STEPS_AN_EPOCH * batch_size:
            batch_size //= 2
    batch_size = whole(batch_size, "batch_size", 1)
    return batch_size, max(epochs, -(-ENOUGH_STEPS // -(-images // batch_size)))


def check_networks(student: nn.Module, teacher: nn.Module | None) -> None:
    """``ValueError`` for what is no network, and for a student that would be its own teacher."""
    models.check_network("student", student)
    if teacher is not None:
        models.check_network("teacher", teacher)
    if teacher is student:
        raise ValueError("teacher and student are the same network: it would learn from itself. Pass two networks.")


def check_numbers(epochs: object, seed: object) -> dict[str, int]:
    """Both as ints, in a dict; ``ValueError`` for numbers that no training can have."""
    return {"epochs": whole(epochs, "epochs", 1, MOST_EPOCHS), "seed": whole(seed, "seed")}


def check_unused(weights: Mapping[str, object], defaults: Mapping[str, object], where: str, advice: str) -> None:
    """``ValueError`` for ``weights`` other than the ``defaults``, ``where`` they would do nothing."""
    unused = ", ".join(f"{name}={value!r}" for name, value in weights.items() if value != defaults[name])
    if unused:
        raise ValueError(f"{where} {unused} would do nothing: {advice}, or leave it out.")
