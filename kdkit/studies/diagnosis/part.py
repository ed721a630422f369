"""A sample of the data, and what both networks say of it, asked once."""

import copy
import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from kdkit import models
from kdkit.losses.arguments import IGNORE_INDEX, answered
from kdkit.training.batch import Batch

MOST_ROWS = 2000  # tokens of each part, where a sample has many: their logits have to fit into the memory
MOST_CLASSES = 2000  # for a table of them all by them all
BATCH = 50  # enough for BatchNorm's own statistics of a batch


class Unchecked(ValueError):
    """Why a check could not be made, in words."""


class Part:
    """A sample of the training or of the validation data, and what both networks say of it in eval mode.

    ``batches``: a list of ``Batch``, of which ``image`` is the number of each sample in the whole, if that is known.
    Rows without a label (-100), or that a mask leaves out, are not looked at.
    """

    def __init__(self, name: str, batches: list[Batch], student: nn.Module, teacher: nn.Module) -> None:
        self.name, self.batches, self._networks = name, batches, {"student": student, "teacher": teacher}
        self._said: dict[str, Tensor] = {}
        self.all_labels = torch.cat([labels_of(batch).flatten().long().cpu() for batch in batches])
        self.samples = sum(len(labels_of(batch)) for batch in batches)

    @functools.cached_property
    def labels(self) -> Tensor:
        """The labels that count, int64 ``[N]``."""
        kept = [labels_of(batch).flatten()[_counts(batch)] for batch in self.batches]
        return self._some(torch.cat(kept).long().cpu())

    @property
    def of_each(self) -> float:
        """How many samples a class has on the mean, of the classes that occur."""
        return len(self.labels) / len(self.labels.unique())

    @functools.cached_property
    def image(self) -> Tensor:
        """The number of each row in the whole, int64 ``[N]``. Raises ``Unchecked`` where that is not known."""
        kept = [batch.image.cpu()[_counts(batch).cpu()] for batch in self.batches if batch.image is not None]
        if len(kept) < len(self.batches):
            raise Unchecked("the loader's samples have no numbers: give a DataLoader with a data set, or Splits")
        return torch.cat(kept)[:MOST_ROWS]

    @functools.cached_property
    def student(self) -> Tensor:
        """The student's logits ``[N, C]``. Raises ``Unchecked`` where they are no answers."""
        return self._sound("student")

    @functools.cached_property
    def teacher(self) -> Tensor:
        """The teacher's logits ``[N, C]``. Raises ``Unchecked`` where they are no answers."""
        return self._sound("teacher")

    def answers(self, name: str) -> Tensor:
        """What the "teacher" or the "student" says, NaN or not: logits ``[N, C]``."""
        if name not in self._said:
            self._said[name] = self.asked(self._networks[name])
        return self._said[name]

    def _sound(self, name: str) -> Tensor:
        logits = self.answers(name)
        if not answered(logits).all():
            raise Unchecked(f"the {name}'s answers hold NaN or inf")
        return logits

    def asked(self, network: nn.Module, change: Callable[[Any], Any] = lambda inputs: inputs) -> Tensor:
        """What ``network`` says in eval mode of the inputs, after ``change``: logits ``[N, C]`` on the CPU."""
        with models.evaluating(network):
            return self.said(network, change)

    @torch.no_grad()
    def said(self, network: nn.Module, change: Callable[[Any], Any] = lambda inputs: inputs) -> Tensor:
        """The same in the mode that ``network`` is in: logits ``[N, C]``. Raises ``Unchecked`` if it cannot say."""
        try:
            found = [self._rows(models.logits(network, change(batch.inputs)), batch) for batch in self.batches]
        except ValueError as error:
            raise Unchecked(str(error)) from error
        return self._some(torch.cat(found))

    def _some(self, rows: Tensor) -> Tensor:
        if not len(rows):
            raise Unchecked(f"no sample of {self.name} has a label")
        return rows[:MOST_ROWS]

    @staticmethod
    def _rows(logits: Tensor, batch: Batch) -> Tensor:
        if logits.shape[:-1] != labels_of(batch).shape:
            raise Unchecked(f"logits {list(logits.shape)} do not fit labels {list(labels_of(batch).shape)}")
        return logits.flatten(0, -2)[_counts(batch)].float().cpu()

    def smaller(self, samples: int) -> "Part":
        """The first ``samples`` of it, or a few more."""
        labelled = [batch for batch in self.batches if _counts(batch).any()] or self.batches
        return Part(self.name, labelled[: -(-samples // BATCH)], **self._networks)


def labels_of(batch: Batch) -> Tensor:
    """The labels ``[B]`` or ``[B, L]`` of a batch that was looked through: it has some."""
    assert batch.labels is not None
    return batch.labels


def _counts(batch):
    counts = labels_of(batch).flatten().long() != IGNORE_INDEX
    return counts if batch.mask is None else counts & batch.mask.flatten().bool()


def check_table(logits: Tensor) -> None:
    """Raise ``Unchecked`` where ``logits`` ``[N, C]`` name more classes than a table ``[C, C]`` should have."""
    if logits.shape[1] > MOST_CLASSES:
        raise Unchecked(f"a table of {logits.shape[1]} by {logits.shape[1]} classes is too large to look at")


def copied(network: nn.Module) -> nn.Module:
    """A copy of ``network`` to try things on. Raises ``Unchecked`` for one that cannot be copied."""
    try:
        return copy.deepcopy(network)
    except Exception as error:  # whatever a wrapper or a frozen network says
        raise Unchecked(f"the network cannot be copied ({type(error).__name__}), and yours is not to change") from error
