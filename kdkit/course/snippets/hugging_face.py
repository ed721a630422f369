"""In Hugging Face's Trainer: it moves batches, updates, logs and saves; the loss is the kit's."""

from typing import Any

from torch import nn
from transformers import Trainer

import kdkit
from kdkit import training


class DistillationTrainer(Trainer):
    """A ``Trainer`` whose student learns from ``teacher`` too."""

    def __init__(self, *args: Any, teacher: nn.Module, temperature: float = 4.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.teacher = teacher.to(self.args.device)
        self.loss = training.Distillation(temperature, soft_weight=0.9, hard_weight=0.1)
        self.model_accepts_loss_kwargs = False  # so that it divides by gradient_accumulation_steps itself

    def compute_loss(
        self, model: nn.Module, inputs: dict, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The distillation loss; in an evaluation the model's own, on the labels alone."""
        if not model.training:
            return super().compute_loss(model, inputs, return_outputs)
        total = kdkit.compute_loss(model, inputs, self.loss, teacher=self.teacher).total
        return (total, None) if return_outputs else total
