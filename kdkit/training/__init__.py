"""Training: the step, the loop over epochs, and what a run leaves on disk; recipes for images and for text."""

from kdkit.training.cache import ViewCache
from kdkit.training.images import (
    ENOUGH_STEPS,
    MAX_GRAD_NORM,
    PEAK_LR,
    StepLosses,
    fit_input,
    kd_step,
    proposed,
    train,
)
from kdkit.training.runs import Diverged, Run, TrainingInterrupted

__all__ = [
    "ENOUGH_STEPS",
    "MAX_GRAD_NORM",
    "PEAK_LR",
    "Diverged",
    "Run",
    "StepLosses",
    "TrainingInterrupted",
    "ViewCache",
    "fit_input",
    "kd_step",
    "proposed",
    "train",
]
