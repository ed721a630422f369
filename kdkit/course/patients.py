"""The consulting room of notebook 08: five distillations that went wrong, rebuilt from their seeds in seconds each.

What is wrong with whom is not said here in words; ``check.diagnosis`` knows, by the figures of ``kdkit.diagnose``.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdkit import losses, models, zoo
from kdkit.data import things
from kdkit.data.images import Splits
from kdkit.data.seeds import generator
from kdkit.measure import metrics
from kdkit.studies import Diagnosis, diagnose
from kdkit.training import Run, train

# What a reader may say: names of checks that ``kdkit.diagnose`` makes, and what each would mean.
DIAGNOSES = {
    "smoothed": "the teacher was trained with label smoothing",
    "memorised": "the teacher knows its training pictures by heart",
    "class order": "teacher and labels number the classes differently",
    "other inputs": "the teacher expects pictures of another scale",
    "kept answers": "kept answers of the teacher are not those of these pictures",
    "learning rate": "the student's learning rate is wrong",
    "temperature": "the temperature does not suit the teacher's logits",
    "missing class": "the student never saw one of the classes",
    "train mode": "the teacher was left in train mode",
}


class Patient(NamedTuple):
    """A distillation that went wrong: ``student`` and ``teacher``, the ``data`` that both saw, the student's ``run``,
    and ``kept``: the teacher's logits ``[N, C]`` that it learnt from, row by row of ``data.train``, or None.
    """

    student: nn.Module
    teacher: nn.Module
    data: Splits
    run: Run
    kept: Tensor | None = None


class Before(nn.Module):
    """A ``network`` behind something that is done to its images ``[B, C, H, W]``."""

    def __init__(self, network: nn.Module, change: Callable) -> None:
        super().__init__()
        self.network, self.change = network, change

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``[B, C]``."""
        return self.network(self.change(images))


class Picked(nn.Module):
    """A ``network`` of whose logits ``columns`` are given, in that order."""

    def __init__(self, network: nn.Module, columns: list[int]) -> None:
        super().__init__()
        self.network, self.columns = network, columns

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``[B, C]`` of images ``[B, C, H, W]``."""
        return self.network(images)[:, self.columns]


@functools.cache
def patient(name: str) -> Patient:
    """The patient ``name``, one of ``names()``: trained now, the same each time. Raises ``ValueError`` for another."""
    if name not in _RECIPES:
        raise ValueError(f"there is no patient {name!r}; in the consulting room sit {', '.join(_RECIPES)}.")
    return _RECIPES[name]()


def names() -> list[str]:
    """Who sits in the consulting room."""
    return list(_RECIPES)


@functools.cache
def report(name: str) -> Diagnosis:
    """What ``kdkit.diagnose`` says of the patient ``name``. Raises ``ValueError`` as ``patient`` does."""
    one = patient(name)
    return diagnose(one.student, one.teacher, one.data, run=one.run, cache=one.kept)


@functools.cache
def _data():
    return things.splits(30)


def _distilled(teacher, data=None, **settings):
    student, data = models.student(8, 3), data or _data()
    settings = {"epochs": 8, "batch_size": 25, **settings}
    return Patient(student, teacher, data, train(student, data, teacher=teacher, progress=False, **settings))


def _alma():
    order = sorted(range(10), key=things.CLASSES.__getitem__)
    return _distilled(Picked(zoo.load("things-teacher"), order).eval())


def _boris():
    teacher, data = models.student(8, 3, seed=100), things.splits(60)

    def loss(student, _, batch):
        return F.cross_entropy(student["logits"], batch.labels, label_smoothing=0.1)

    train(teacher, data, loss=loss, epochs=10, batch_size=32, seed=100, progress=False)
    return _distilled(teacher, data, epochs=5)


def _chen():
    teacher = zoo.load("things-teacher")
    kept = metrics.predict(teacher, _data().train.images)
    kept = kept[torch.randperm(len(kept), generator=generator(0))]

    def loss(student, _, batch):
        return losses.kd_loss(student["logits"], kept[batch.image], batch.labels, temperature=4.0)

    student = models.student(8, 3)
    run = train(student, _data(), loss=loss, epochs=8, batch_size=25, progress=False)
    return Patient(student, teacher, _data(), run, kept)


def _dora():
    return _distilled(Before(zoo.load("things-teacher"), lambda images: 0.25 * images + 0.5).eval())


def _emil():
    return _distilled(zoo.load("things-teacher"), lr=0.0005)


_RECIPES = {"Alma": _alma, "Boris": _boris, "Chen": _chen, "Dora": _dora, "Emil": _emil}
