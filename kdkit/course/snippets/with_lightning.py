"""In Lightning: a module whose training step is the kit's loss."""

import lightning
import torch

import kdkit
from kdkit import training


class Distilling(lightning.LightningModule):
    """``student`` learns from ``teacher``, which is kept in a list: its weights are no part of what is saved."""

    def __init__(self, student, teacher, lr=1e-3):
        super().__init__()
        self.student, self.beside, self.lr = student, [teacher], lr
        self.loss = training.Distillation(temperature=4.0, soft_weight=0.9, hard_weight=0.1)

    def training_step(self, batch, batch_idx):
        """The loss of a batch, a pair (inputs, labels)."""
        [teacher] = self.beside
        terms = kdkit.compute_loss(self.student, batch, self.loss, teacher=teacher.to(self.device))
        self.log("loss", terms.total)
        return terms.total

    def configure_optimizers(self):
        """The student's weights alone."""
        return torch.optim.AdamW(self.student.parameters(), lr=self.lr)
