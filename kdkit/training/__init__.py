"""Training: the step, the loop over epochs, and what a run leaves on disk; recipes for images and for text."""

from kdkit.training.batch import Batch
from kdkit.training.cache import ViewCache
from kdkit.training.features import Beside
from kdkit.training.images import MAX_GRAD_NORM, PEAK_LR, fit_input, train
from kdkit.training.loop import fit
from kdkit.training.schedule import ENOUGH_STEPS, proposed
from kdkit.training.state import Diverged, Run, TrainingInterrupted
from kdkit.training.step import Distillation, Loss, StepLosses, compute_loss, kd_step

__all__ = [
    "ENOUGH_STEPS",
    "MAX_GRAD_NORM",
    "PEAK_LR",
    "Batch",
    "Beside",
    "Distillation",
    "Diverged",
    "Loss",
    "Run",
    "StepLosses",
    "TrainingInterrupted",
    "ViewCache",
    "compute_loss",
    "fit",
    "fit_input",
    "kd_step",
    "proposed",
    "train",
]
