"""In Lightning: a module whose training step is the kit's loss."""

import lightning
import torch
from torch import Tensor, nn

import kdkit
from kdkit import training


class Distilling(lightning.LightningModule):
    """``student`` learns from ``teacher``, which is kept in a list: its weights are no part of what is saved."""

    def __init__(self, student: nn.Module, teacher: nn.Module, lr: float = 1e-3) -> None:
        super().__init__()
        self.student, self.beside, self.lr = student, [teacher], lr
        self.loss = training.Distillation(temperature=4.0, soft_weight=0.9, hard_weight=0.1)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """The loss of a batch, a pair (inputs, labels ``[B]``): a scalar."""
        [teacher] = self.beside
        terms = kdkit.compute_loss(self.student, batch, self.loss, teacher=teacher.to(self.device))
        self.log("loss", terms.total)
        return terms.total

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The student's weights alone."""
        return torch.optim.AdamW(self.student.parameters(), lr=self.lr)
