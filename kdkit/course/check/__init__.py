"""Exercise checks: run the reader's function on new random inputs, and say what is wrong with it.

One function an exercise, by the name of the function that the reader writes; each returns a ``Verdict``. What was
tried and solved is kept in a file beside the notebook: see ``progress``.
"""

from kdkit.course.check import bugs
from kdkit.course.check.fair import argmax_loss, margin_of_error
from kdkit.course.check.features import gram, other_classes, projected_hint
from kdkit.course.check.judging import Verdict, guess
from kdkit.course.check.loss import kd_loss, kl_divergence, sequence_kl, soft_cross_entropy
from kdkit.course.check.own import ask_teacher, memo
from kdkit.course.check.patients import diagnosis
from kdkit.course.check.record import progress
from kdkit.course.check.sequences import on_policy, reverse_kl, shift_and_mask, top_k_tail
from kdkit.course.check.shape import student_in_budget
from kdkit.course.check.step import kd_step
from kdkit.course.check.targets import beyond_class, entropy, mean_soft_targets, second_choice, soft_targets
from kdkit.course.check.temperature import high_temperature_gradient, kd_gradient
from kdkit.course.check.triple import cosine_distance, masked_lm

__all__ = [
    "Verdict",
    "argmax_loss",
    "ask_teacher",
    "beyond_class",
    "bugs",
    "cosine_distance",
    "diagnosis",
    "entropy",
    "gram",
    "guess",
    "high_temperature_gradient",
    "kd_gradient",
    "kd_loss",
    "kd_step",
    "kl_divergence",
    "margin_of_error",
    "masked_lm",
    "mean_soft_targets",
    "memo",
    "on_policy",
    "other_classes",
    "progress",
    "projected_hint",
    "reverse_kl",
    "second_choice",
    "sequence_kl",
    "shift_and_mask",
    "soft_cross_entropy",
    "soft_targets",
    "student_in_budget",
    "top_k_tail",
]
