"""Exercise checks: run the reader's function on new random inputs, and say what is wrong with it.

One function an exercise, by the name of the function that the reader writes; each returns a ``Verdict``. What was
tried and solved is kept in a file beside the notebook: see ``progress``.
"""

from kdkit.check import museum
from kdkit.check.fair import argmax_loss, reach
from kdkit.check.judging import Verdict, guess
from kdkit.check.loss import kd_loss, sequence_kl, soft_cross_entropy
from kdkit.check.record import progress
from kdkit.check.shape import student_in_budget
from kdkit.check.step import kd_step
from kdkit.check.targets import entropy, mean_soft_targets, second_choice, soft_targets
from kdkit.check.temperature import high_temperature_gradient, kd_gradient, kl_divergence
from kdkit.check.triple import cosine_distance, masked_lm

__all__ = [
    "Verdict",
    "argmax_loss",
    "cosine_distance",
    "entropy",
    "guess",
    "high_temperature_gradient",
    "kd_gradient",
    "kd_loss",
    "kd_step",
    "kl_divergence",
    "masked_lm",
    "mean_soft_targets",
    "museum",
    "progress",
    "reach",
    "second_choice",
    "sequence_kl",
    "soft_cross_entropy",
    "soft_targets",
    "student_in_budget",
]
