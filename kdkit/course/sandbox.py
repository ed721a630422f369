"""A small, quick training for trying out a step: your own, or one with a line missing.

Not for results: one student, 400 drawn pictures, a few epochs. ``kdkit.train`` is for those.
"""

import functools
import inspect
import itertools
import linecache
import textwrap
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdkit import losses, models, zoo
from kdkit.data import seeds, things
from kdkit.data.images import ImageSet
from kdkit.measure import metrics

TEMPERATURE = 4.0
BATCH, LEARNING_RATE, MOMENTUM = 40, 0.06, 0.9
_numbers = itertools.count()


@functools.cache
def data() -> ImageSet:
    """The pictures to learn from, 40 of each class."""
    return things.splits(per_class=40).train


@functools.cache
def fresh() -> ImageSet:
    """500 pictures that no network has seen."""
    return things.make(per_class=50, seed=303)


def teacher() -> nn.Module:
    """The shipped teacher, fresh from training: in train mode. A new copy each time."""
    return zoo.load("things-teacher").train()


def accuracy(network: nn.Module) -> float:
    """Its share of right answers on the 500 pictures that no network has seen."""
    return metrics.accuracy(metrics.predict(network, fresh().images), fresh().labels)


def fit(
    step: Callable,
    *,
    watch: Callable[[nn.Module], Any] = accuracy,
    epochs: int = 8,
    lr: float = LEARNING_RATE,
    seed: int = 0,
) -> list:
    """Train a new small student with ``step``; what ``watch(student)`` says after each epoch, in a list.

    ``step``: ``step(teacher, student, temperature, inputs, optimizer)``, as ``kd_step`` of the DistilBERT article, or
    the same with ``labels`` ``[B]`` after it. T is 4. ``lr``: of SGD with momentum, falling to 0 in a straight line.
    ``seed``: of the student's weights and of the order of pictures.
    """
    student, big = models.student(width=8, depth=3, seed=seed), teacher()
    student.fit_input(models.as_input(data().images))
    optimizer = torch.optim.SGD(student.parameters(), lr=lr, momentum=MOMENTUM)
    wants_labels = len(inspect.signature(step).parameters) > 5
    generator, seen = seeds.generator(seed), []
    for epoch in range(epochs):
        batches = torch.randperm(len(data()), generator=generator).split(BATCH)
        for number, index in enumerate(batches):
            optimizer.param_groups[0]["lr"] = lr * (1 - (epoch + number / len(batches)) / epochs)
            labels = [data().labels[index]] if wants_labels else []
            step(big, student, TEMPERATURE, models.as_input(data().images[index]), optimizer, *labels)
        seen.append(watch(student))
    return seen


def step_with(loss: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable:
    """A right training step around ``loss(student_logits [B, C], teacher_logits [B, C], labels [B]) -> scalar``."""

    def step(teacher, student, temperature, inputs, optimizer, labels):
        teacher.eval()
        student.train()
        with torch.no_grad():
            teacher_logits = teacher(inputs)
        optimizer.zero_grad()
        loss(student(inputs), teacher_logits, labels).backward()
        optimizer.step()

    return step


def soft_and_hard(soft_weight: float) -> Callable:
    """A step with kdkit's loss at T = 4: ``soft_weight`` T^2 KL + (1 - ``soft_weight``) cross-entropy."""
    weights = {"temperature": TEMPERATURE, "soft_weight": soft_weight, "hard_weight": 1 - soft_weight}
    return step_with(lambda student, teacher, labels: losses.kd_loss(student, teacher, labels, **weights))


def labels_alone(
    teacher: nn.Module,
    student: nn.Module,
    temperature: float,
    inputs: Tensor,
    optimizer: torch.optim.Optimizer,
    labels: Tensor,
) -> None:
    """A step on inputs ``[B, C, H, W]`` and labels ``[B]`` that never asks the teacher."""
    student.train()
    optimizer.zero_grad()
    F.cross_entropy(student(inputs), labels).backward()
    optimizer.step()


def instead(function: Callable, line: str, other: str = "pass") -> Callable:
    """``function`` anew, with ``other`` in place of ``line`` in its source: what if that line were missing?

    Raises ``ValueError`` where ``line`` does not stand in it exactly once.
    """
    source = textwrap.dedent(inspect.getsource(function))
    if source.count(line) != 1:
        raise ValueError(
            f"{line!r} must stand once in {function.__name__}; it stands there {source.count(line)} times."
        )
    source = source.replace(line, other)
    name = f"<{function.__name__} {next(_numbers)}>"
    linecache.cache[name] = len(source), None, source.splitlines(True), name  # so that errors show the line
    namespace = dict(function.__globals__)
    exec(compile(source, name, "exec"), namespace)
    return namespace[function.__name__]
