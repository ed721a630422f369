"""In a loop of plain PyTorch: gradients of several batches added up, gradients cut, bfloat16."""

import torch

import kdkit
from kdkit import training


def distil(teacher, student, loader, epochs=1, parts=4, lr=1e-3):
    """Distil with one update for each ``parts`` batches of ``loader``: pairs (inputs, labels). Returns the student."""
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
