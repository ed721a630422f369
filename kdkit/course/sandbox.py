"""A small, quick training for trying out a step: your own, or one with a line missing.

Not for results: one student, 400 drawn images, a few epochs. ``kdkit.train`` is for those.
"""

import functools
import inspect
import itertools
import linecache
import textwrap
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from kdkit import losses, models, training, zoo
from kdkit.data import things
from kdkit.data.images import ImageSet
from kdkit.data.seeds import generator
from kdkit.measure import metrics
from kdkit.training.step import step as core_step

TEMPERATURE = 4.0
BATCH, LEARNING_RATE, MOMENTUM = 40, 0.06, 0.9
_numbers = itertools.count()


@functools.cache
def data() -> ImageSet:
    """The images to learn from, 40 of each class."""
    return things.splits(per_class=40).train


@functools.cache
def fresh() -> ImageSet:
    """500 images that no network has seen."""
    return things.make(per_class=50, seed=303)


def teacher() -> nn.Module:
    """The shipped teacher, fresh from training: in train mode. A new copy each time."""
    return zoo.load("things-teacher").train()


def accuracy(network: nn.Module) -> float:
    """Its share of right answers on the 500 images that no network has seen."""
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
    ``seed``: of the student's weights and of the order of images.
    """
    student, seen = models.student(width=8, depth=3, seed=seed), []
    student.fit_input(models.as_input(data().images))
    optimizer = torch.optim.SGD(student.parameters(), lr=lr, momentum=MOMENTUM)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")  # a step may forget optimizer.step()
        training.fit(
            student,
            Shuffled(seed),
            None,  # type: ignore[arg-type]  # the step has a loss of its own
            optimizer,
            epochs=epochs,
            teacher=teacher(),
            seed=seed,
            progress=lambda run: seen.append(watch(run.student)),
            step_function=YourStep(step),
        )
    return seen


class Shuffled:
    """The images of ``data`` in batches of 40, in a new order each epoch, drawn from ``seed``."""

    def __init__(self, seed: int) -> None:
        self.generator = generator(seed)

    def __len__(self) -> int:
        return -(-len(data()) // BATCH)

    def epoch(self, number: int) -> Iterator[training.Batch]:
        """The batches of one epoch; they have to be asked for in order."""
        for index in torch.randperm(len(data()), generator=self.generator).split(BATCH):
            yield training.Batch(models.as_input(data().images[index]), data().labels[index])


class YourStep:
    """A step of your own in the place of ``training.step``. What it sees of the loss is its own affair."""

    def __init__(self, step: Callable) -> None:
        self.step = step
        self.wants_labels = len(inspect.signature(step).parameters) > 5

    def __call__(self, student, batch, loss, optimizer, *, teacher, **settings) -> tuple[Tensor]:
        labels = [batch.labels] if self.wants_labels else []
        self.step(teacher, student, TEMPERATURE, batch.inputs, optimizer, *labels)
        return (torch.zeros(()),)


def step_with(loss: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable:
    """A right training step around ``loss(student_logits [B, C], teacher_logits [B, C], labels [B]) -> scalar``."""

    def step(teacher, student, temperature, inputs, optimizer, labels):
        def of_logits(student_outputs, teacher_outputs, batch):
            return loss(student_outputs["logits"], teacher_outputs["logits"], batch.labels)

        core_step(student, training.Batch(inputs, labels), of_logits, optimizer, teacher=teacher)

    return step


def soft_and_hard(soft_weight: float) -> Callable:
    """A step with kdkit's loss at T = 4: ``soft_weight`` T^2 KL + (1 - ``soft_weight``) cross-entropy."""
    weights: dict[str, Any] = {"temperature": TEMPERATURE, "soft_weight": soft_weight, "hard_weight": 1 - soft_weight}
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
    core_step(student, training.Batch(inputs, labels), training.Distillation(), optimizer)


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
