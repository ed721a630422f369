"""The exhibits of the bug museum as they are found: each has a bug, and none may be used for anything else.

Notebook 03b shows them, ``kdkit.course.bugs`` measures their symptoms, ``kdkit.course.check.bugs`` knows them again.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdkit import losses


def quiet_teacher(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, temperature: float, soft_weight: float
) -> Tensor:
    """A loss of logits ``[B, C]`` and labels ``[B]``."""
    t = F.softmax(teacher_logits / temperature, dim=1)
    log_s = F.log_softmax(student_logits / temperature, dim=1)
    soft = F.kl_div(log_s, t, reduction="none").mean() * temperature**2
    hard = F.cross_entropy(student_logits, labels)
    return soft_weight * soft + (1 - soft_weight) * hard


def cliff(
    student_logits: Tensor, teacher_logits: Tensor, labels: Any, temperature: float, hard_weight: float
) -> Tensor:
    """A loss of logits ``[B, C]`` and labels ``[B]``, or of None."""
    t = F.softmax(teacher_logits / temperature, dim=1)
    log_s = F.log_softmax(student_logits / temperature, dim=1)
    soft = F.kl_div(log_s, t, reduction="batchmean")
    if hard_weight == 0:  # labels may be missing then
        return soft
    hard = F.cross_entropy(student_logits, labels)
    return hard_weight * hard + (1 - hard_weight) * temperature**2 * soft


class Distiller(torch.nn.Module):
    """Teacher and student in one module, as loops like to have them."""

    def __init__(self, teacher: nn.Module, student: nn.Module):
        super().__init__()
        self.teacher, self.student = teacher.eval(), student

    def loss(self, inputs: Tensor, temperature: float) -> Tensor:
        """The soft term of inputs ``[B, ...]``, a scalar."""
        with torch.no_grad():
            teacher_logits = self.teacher(inputs)
        return losses.kd_loss(self.student(inputs), teacher_logits, temperature=temperature)


def coin_tosser(teacher: nn.Module, dataset: torch.utils.data.Dataset) -> Tensor:
    """The teacher's logits ``[N, C]``, to be kept."""
    loader = torch.utils.data.DataLoader(dataset, batch_size=100, shuffle=True)
    with torch.no_grad():
        return torch.cat([teacher(inputs) for inputs, _ in loader])


def never_zero(teacher: nn.Module, student: nn.Module, images: Tensor, augment: Callable, temperature: float) -> Tensor:
    """A loss of images ``[B, C, H, W]``, a scalar."""
    with torch.no_grad():
        teacher_logits = teacher(augment(images))
    student_logits = student(augment(images))
    return losses.kd_loss(student_logits, teacher_logits, temperature=temperature)


def pale_targets(teacher: nn.Module, student: nn.Module, inputs: Tensor, temperature: float) -> Tensor:
    """A loss of inputs ``[B, ...]``, a scalar."""
    with torch.no_grad():
        teacher_output = F.softmax(teacher(inputs), dim=1)
    t = F.softmax(teacher_output / temperature, dim=1)
    log_s = F.log_softmax(student(inputs) / temperature, dim=1)
    return temperature**2 * F.kl_div(log_s, t, reduction="batchmean")


def frozen_student(
    small: nn.Module, large: nn.Module, temperature: float, inputs: Tensor, optimizer: torch.optim.Optimizer
) -> None:
    """A step on inputs ``[B, ...]``."""
    teacher, student = small, large
    teacher.eval()
    student.train()
    with torch.no_grad():
        t = F.softmax(teacher(inputs) / temperature, dim=1)
    log_s = F.log_softmax(student(inputs) / temperature, dim=1)
    loss = temperature**2 * F.kl_div(log_s, t, reduction="batchmean")
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def restless_kl(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """What its author takes for KL of logits ``[B, C]``, a scalar."""
    t = F.softmax(teacher_logits, dim=1)
    return -(t * F.log_softmax(student_logits, dim=1)).sum(dim=1).mean()


def too_good(val_accuracies: Tensor, test_accuracies: Tensor) -> int:
    """Which epoch's network to publish, of accuracies ``[E]``: its number."""
    return int(test_accuracies.argmax())


def healthy_loss(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """KL(student || teacher) of logits ``[B, C]``, a scalar."""
    s = F.softmax(student_logits / temperature, dim=1)
    log_t = F.log_softmax(teacher_logits / temperature, dim=1)
    return F.kl_div(log_t, s, reduction="batchmean")


def short_sighted(
    teacher: nn.Module, student: nn.Module, images: Tensor, normalise: Callable, temperature: float
) -> Tensor:
    """A loss of images ``[B, C, H, W]`` from 0 to 1, a scalar."""
    images = normalise(images)
    with torch.no_grad():
        teacher_logits = teacher(images)
    student_logits = student(images)
    return losses.kd_loss(student_logits, teacher_logits, temperature=temperature)
