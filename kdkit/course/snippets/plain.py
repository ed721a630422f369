"""In a loop of plain PyTorch: gradients of several batches added up, gradients cut, bfloat16."""

from collections.abc import Collection

import torch
from torch import Tensor, nn

import kdkit
from kdkit import training


def distil(
    teacher: nn.Module,
    student: nn.Module,
    loader: Collection[tuple[Tensor, Tensor]],
    epochs: int = 1,
    parts: int = 4,
    lr: float = 1e-3,
) -> nn.Module:
    """Distil with one update for each ``parts`` batches of ``loader``: pairs (inputs, labels ``[B]``).

    Returns the student.
    """
    loss = training.Distillation(temperature=4.0, soft_weight=0.9, hard_weight=0.1)
    optimizer = torch.optim.AdamW(student.parameters(), lr=lr)
    for _ in range(epochs):
        for number, (inputs, labels) in enumerate(loader, start=1):
            with torch.autocast(inputs.device.type, dtype=torch.bfloat16):
                terms = kdkit.compute_loss(student, (inputs, labels), loss, teacher=teacher)
            (terms.total / parts).backward()
            if number % parts == 0 or number == len(loader):
                torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
    return student
